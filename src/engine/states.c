#include "engine/states.h"

#include <string.h>

static const char *const states[XPM_STATE_COUNT] = { "unscheduled", "waiting", "ready", "scheduled",
                                                     "running",     "done",    "error" };
static const char *const reasons[XPM_REASON_COUNT] = { "",          "failed",       "dependency",      "memory", "timeout",
                                                       "cancelled", "start_failed", "missing_outputs", "lost",   "deleted" };

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
