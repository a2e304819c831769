/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/findings.h"

#include <stdlib.h>
#include <string.h>

const char *muster_recovery_step_text(muster_recovery_step step)
{
    static const char *const texts[] = {
#define MUSTER_RECOVERY_STEP_TEXT(name, text) text,
        MUSTER_RECOVERY_STEP_LIST(MUSTER_RECOVERY_STEP_TEXT)
#undef MUSTER_RECOVERY_STEP_TEXT
    };
    return step < MUSTER_RECOVERY_STEP_COUNT ? texts[step] : "unknown step";
}

const char *muster_clock_state_text(muster_clock_state state)
{
    static const char *const texts[] = {
#define MUSTER_CLOCK_STATE_TEXT(name, text) text,
        MUSTER_CLOCK_STATE_LIST(MUSTER_CLOCK_STATE_TEXT)
#undef MUSTER_CLOCK_STATE_TEXT
    };
    return texts[state];
}

void muster_findings_clean_up(muster_findings *findings)
{
    for (size_t i = 0; i < findings->recovery_count; i++) {
        free(findings->recoveries[i].deaths);
        free(findings->recoveries[i].stands);
    }
    free(findings->recoveries);
    free(findings->rings);
    memset(findings, 0, sizeof *findings);
}
