#include "engine/states.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const char *const states[XPM_STATE_COUNT] = { "unscheduled", "waiting", "ready", "scheduled",
                                                     "running",     "done",    "error" };
static const char *const reasons[XPM_REASON_COUNT] = {
    "", "failed", "dependency", "memory", "timeout", "cancelled", "start_failed", "missing_outputs", "lost", "deleted",
};

const char *xpm_state_word(int state)
{
    return state >= 0 && state < XPM_STATE_COUNT ? states[state] : "";
}

const char *xpm_reason_word(int reason)
{
    return reason >= 0 && reason < XPM_REASON_COUNT ? reasons[reason] : "";
}

int xpm_reason_from_word(const char *word)
{
    for (int i = 1; word && i < XPM_REASON_COUNT; i++)
        if (strcmp(word, reasons[i]) == 0)
            return i;
    return XPM_FAILED;
}

void xpm_facts_say(struct xpm_facts *facts, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(facts->message, sizeof facts->message, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n < sizeof facts->message)
        return;
    size_t len = sizeof facts->message - 1, from = len - 4;
    while (from < len && ((unsigned char)facts->message[from] & 0xC0) == 0x80)
        from++;
    facts->message[from + xpm_utf8_check(facts->message + from, len - from)] = '\0';
}
