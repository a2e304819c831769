/* SPDX-License-Identifier: Apache-2.0 */
#include "core/deadlines.h"

#include <stdbool.h>
#include <string.h>

#include "base/error.h"

#define NS_PER_MS ((int64_t)1000000)
/* Ten years: any sum of a monotonic clock and a few deadlines stays far from 64 bits. */
#define DEADLINE_MS_MAX ((int64_t)10 * 365 * 24 * 3600 * 1000)

void muster_deadlines_defaults(muster_deadlines *deadlines)
{
#define MUSTER_DEADLINE_DEFAULT(name, default_ms, sentence) \
    deadlines->name##_ns = (default_ms)*NS_PER_MS;
    MUSTER_DEADLINE_LIST(MUSTER_DEADLINE_DEFAULT)
#undef MUSTER_DEADLINE_DEFAULT
}

muster_status muster_deadlines_set(muster_deadlines *deadlines, const char *name, int64_t ms,
                                   muster_error *error)
{
    int64_t *field = NULL;
#define MUSTER_DEADLINE_FIND(field_name, default_ms, sentence) \
    if (strcmp(name, #field_name) == 0) { \
        field = &deadlines->field_name##_ns; \
    }
    MUSTER_DEADLINE_LIST(MUSTER_DEADLINE_FIND)
#undef MUSTER_DEADLINE_FIND
    if (!field) {
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "there is no deadline '%s'", name);
    }
    if (ms <= 0 || ms > DEADLINE_MS_MAX) {
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_TIMEOUT, 1, ms,
                                "deadline %s: expected 1 to %lld ms, came %lld", name,
                                (long long)DEADLINE_MS_MAX, (long long)ms);
    }
    *field = ms * NS_PER_MS;
    return muster_error_set_ok(error);
}

/* One rule between two deadlines. low_factor * low must be below high, or at most high. */
typedef struct deadline_rule {
    const char *low_name;
    int64_t low_ns;
    int64_t low_factor;
    bool equal_allowed;
    const char *high_name;
    int64_t high_ns;
    const char *because;
} deadline_rule;

muster_status muster_deadlines_check(const muster_deadlines *deadlines, muster_error *error)
{
#define MUSTER_DEADLINE_RANGE(name, default_ms, sentence) \
    if (deadlines->name##_ns <= 0 || deadlines->name##_ns > DEADLINE_MS_MAX * NS_PER_MS) { \
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_TIMEOUT, 1, \
                                deadlines->name##_ns, \
                                "deadline " #name ": expected above 0 and at most ten years, " \
                                "came %lld ns", \
                                (long long)deadlines->name##_ns); \
    }
    MUSTER_DEADLINE_LIST(MUSTER_DEADLINE_RANGE)
#undef MUSTER_DEADLINE_RANGE

#define MUSTER_DEADLINE_RULE(low, factor, sign, high, because) \
    {#low, deadlines->low##_ns, factor, #sign[1] == '=', #high, deadlines->high##_ns, because},
    const deadline_rule rules[] = {MUSTER_DEADLINE_ORDER_LIST(MUSTER_DEADLINE_RULE)};
#undef MUSTER_DEADLINE_RULE
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const deadline_rule *rule = &rules[i];
        int64_t low_ns = rule->low_ns * rule->low_factor;
        if (low_ns < rule->high_ns || (rule->equal_allowed && low_ns == rule->high_ns)) {
            continue;
        }
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_TIMEOUT,
                                rule->high_ns, rule->low_ns,
                                "deadlines: %s%s (%lld ms) must be %s %s (%lld ms), because %s",
                                rule->low_factor == 1   ? ""
                                : rule->low_factor == 2 ? "twice "
                                                        : "four times ",
                                rule->low_name, (long long)(rule->low_ns / NS_PER_MS),
                                rule->equal_allowed ? "at most" : "below", rule->high_name,
                                (long long)(rule->high_ns / NS_PER_MS), rule->because);
    }
    return muster_error_set_ok(error);
}
