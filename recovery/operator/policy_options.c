/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/policy_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define POLICY_REPLACEMENTS_DEFAULT 100
#define POLICY_CRASH_LOOP_DEFAULT 3
#define POLICY_COUNT_MAX 1000000
#define DEADLINE_NAME_BYTES 64

void muster_policy_defaults(muster_policy *policy)
{
    memset(policy, 0, sizeof *policy);
    policy->on_loss = MUSTER_ON_LOSS_REPLACE;
    policy->max_replacements = POLICY_REPLACEMENTS_DEFAULT;
    policy->crash_loop_deaths = POLICY_CRASH_LOOP_DEFAULT;
    muster_deadlines_defaults(&policy->deadlines);
}

/* Deadlines of two words are written with a dash: verdict_grace is --verdict-grace-ms. */
static void policy_deadline_option(char name[MUSTER_POLICY_OPTION_NAME_BYTES], const char *deadline)
{
    snprintf(name, MUSTER_POLICY_OPTION_NAME_BYTES, "%s-ms", deadline);
    for (char *c = name; *c != '\0'; c++) {
        if (*c == '_')
            *c = '-';
    }
}

void muster_policy_option_names_fill(muster_policy_option_names *names)
{
    size_t count = 0;
#define POLICY_NAME(option, argument, sentence) \
    snprintf(names->names[count++], MUSTER_POLICY_OPTION_NAME_BYTES, "%s", option);
    MUSTER_POLICY_OPTION_LIST(POLICY_NAME)
#undef POLICY_NAME
#define DEADLINE_NAME(name, default_ms, sentence) \
    policy_deadline_option(names->names[count++], #name);
    MUSTER_DEADLINE_LIST(DEADLINE_NAME)
#undef DEADLINE_NAME
}

bool muster_option_number(const char *text, int64_t low, int64_t high, int64_t *number)
{
    char *end = NULL;
    errno = 0;
    /* strtoll takes leading blanks and an empty text; neither is a number here. */
    if (!((text[0] >= '0' && text[0] <= '9') || (text[0] == '-' && text[1] >= '0')))
        return false;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < low || value > high)
        return false;
    *number = value;
    return true;
}

static muster_status policy_set_count(int32_t *field, const char *name, int64_t low,
                                      const char *value, muster_error *error)
{
    int64_t number = 0;
    if (!muster_option_number(value, low, POLICY_COUNT_MAX, &number))
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, low, 0,
                                "--%s: expected a number from %lld to %d, came '%.60s'", name,
                                (long long)low, POLICY_COUNT_MAX, value);
    *field = (int32_t)number;
    return muster_error_set_ok(error);
}

static muster_status policy_set_on_loss(muster_policy *policy, const char *value,
                                        muster_error *error)
{
    if (strcmp(value, "replace") == 0)
        policy->on_loss = MUSTER_ON_LOSS_REPLACE;
    else if (strcmp(value, "shrink") == 0)
        policy->on_loss = MUSTER_ON_LOSS_SHRINK;
    else
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "--on-loss: expected 'replace' or 'shrink', came '%.60s'", value);
    return muster_error_set_ok(error);
}

static muster_status policy_set_grow(muster_policy *policy, const char *value, muster_error *error)
{
    if (strcmp(value, "step") != 0 && strcmp(value, "no") != 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "--grow: expected 'step' or 'no', came '%.60s'", value);
    policy->grow = strcmp(value, "step") == 0;
    return muster_error_set_ok(error);
}

static muster_status policy_set_deadline(muster_policy *policy, const char *name, const char *value,
                                         muster_error *error)
{
    char deadline[MUSTER_POLICY_OPTION_NAME_BYTES];
    int64_t ms = 0;
    size_t length = strlen(name);
    if (length < 4 || length >= sizeof deadline || strcmp(name + length - 3, "-ms") != 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "there is no option '--%.60s'", name);
    if (!muster_option_number(value, 1, INT64_MAX, &ms))
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 1, 0,
                                "--%s: expected a number of milliseconds above 0, came '%.60s'",
                                name, value);
    snprintf(deadline, sizeof deadline, "%.*s", (int)(length - 3), name);
    for (char *c = deadline; *c != '\0'; c++) {
        if (*c == '-')
            *c = '_';
    }
    return muster_deadlines_set(&policy->deadlines, deadline, ms, error);
}

muster_status muster_policy_option_set(muster_policy *policy, const char *name, const char *value,
                                       muster_error *error)
{
    if (strcmp(name, "on-loss") == 0)
        return policy_set_on_loss(policy, value, error);
    if (strcmp(name, "min-ranks") == 0)
        return policy_set_count(&policy->min_ranks, name, 1, value, error);
    if (strcmp(name, "max-replacements") == 0)
        return policy_set_count(&policy->max_replacements, name, 0, value, error);
    if (strcmp(name, "crash-loop-deaths") == 0)
        return policy_set_count(&policy->crash_loop_deaths, name, 1, value, error);
    if (strcmp(name, "grow") == 0)
        return policy_set_grow(policy, value, error);
    return policy_set_deadline(policy, name, value, error);
}

muster_status muster_policy_check(const muster_policy *policy, muster_error *error)
{
    if (policy->slot_count > 0 && policy->min_ranks > policy->slot_count)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION,
                                policy->slot_count, policy->min_ranks,
                                "--min-ranks %d is more than the %d ranks of the job",
                                policy->min_ranks, policy->slot_count);
    return muster_deadlines_check(&policy->deadlines, error);
}

static void policy_print_line(FILE *out, const char *name, const char *argument,
                              const char *sentence)
{
    char left[80];
    snprintf(left, sizeof left, "--%s %s", name, argument);
    fprintf(out, "  %-28s %s\n", left, sentence);
}

void muster_policy_options_print(FILE *out)
{
#define POLICY_LINE(option, argument, sentence) policy_print_line(out, option, argument, sentence);
    MUSTER_POLICY_OPTION_LIST(POLICY_LINE)
#undef POLICY_LINE
    fprintf(out, "Deadlines, in milliseconds; the numbers are the defaults:\n");
#define DEADLINE_LINE(name, default_ms, sentence) \
    { \
        char option[MUSTER_POLICY_OPTION_NAME_BYTES]; \
        policy_deadline_option(option, #name); \
        policy_print_line(out, option, #default_ms, sentence); \
    }
    MUSTER_DEADLINE_LIST(DEADLINE_LINE)
#undef DEADLINE_LINE
}
