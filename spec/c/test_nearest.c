#include <string.h>

#include "base/nearest.h"
#include "../support/tap.h"

static const char *const names[] = { "learning_rate", "batch_size", "epochs", "id", "file", "title", "seed" };

static void expect(const char *word, const char *want)
{
    struct xpm_nearest n;
    xpm_nearest_start(&n, word, strlen(word));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        xpm_nearest_try(&n, names[i], strlen(names[i]));
    bool ok = want ? n.best && n.best_len == strlen(want) && memcmp(n.best, want, n.best_len) == 0 : !n.best;
    tap_ok(ok, "'%s' is near %s", word, want ? want : "nothing");
}

int main(void)
{
    char longest[100];
    expect("learning_rat", "learning_rate");
    expect("learnign_rate", "learning_rate");
    expect("Learning_Rate", "learning_rate");
    expect("lerning_rte", "learning_rate");
    expect("epoch", "epochs");
    expect("ids", "id");
    expect("di", "id");
    expect("tilte", "title");
    expect("sed", "seed");
    expect("momentum", NULL);
    expect("x", NULL);
    expect("", NULL);
    expect("epochs", NULL);
    memset(longest, 'a', 99);
    longest[99] = '\0';
    expect(longest, NULL);
    return tap_done();
}
