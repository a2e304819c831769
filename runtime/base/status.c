/* SPDX-License-Identifier: Apache-2.0 */
/* Everything here is made from the lists in <muster/status.h>: a row added there is a row here. Two
 * rows of one value do not compile (duplicate case). */
#include <muster/status.h>

const char *muster_status_text(muster_status status)
{
    switch ((int)status) {
#define MUSTER_STATUS_CASE(name, value, advice, text) \
    case value: \
        return text;
        MUSTER_STATUS_LIST(MUSTER_STATUS_CASE)
#undef MUSTER_STATUS_CASE
    default:
        return "unknown status";
    }
}

const char *muster_status_name(muster_status status)
{
    switch ((int)status) {
#define MUSTER_STATUS_CASE(name, value, advice, text) \
    case value: \
        return "MUSTER_" #name;
        MUSTER_STATUS_LIST(MUSTER_STATUS_CASE)
#undef MUSTER_STATUS_CASE
    default:
        return "unknown status";
    }
}

muster_advice muster_status_advice(muster_status status)
{
    switch ((int)status) {
#define MUSTER_STATUS_CASE(name, value, advice, text) \
    case value: \
        return MUSTER_ADVICE_##advice;
        MUSTER_STATUS_LIST(MUSTER_STATUS_CASE)
#undef MUSTER_STATUS_CASE
    default:
        return MUSTER_ADVICE_GIVE_UP;
    }
}

const char *muster_advice_text(muster_advice advice)
{
    switch (advice) {
    case MUSTER_ADVICE_NONE:
        return "nothing to do";
    case MUSTER_ADVICE_FIX_CALL:
        return "fix the call";
    case MUSTER_ADVICE_RETRY:
        return "retry";
    case MUSTER_ADVICE_RECOVER:
        return "recover";
    case MUSTER_ADVICE_GIVE_UP:
        return "give up";
    }
    return "unknown advice";
}

const char *muster_field_text(muster_field field)
{
    switch ((int)field) {
#define MUSTER_FIELD_CASE(name, value, text) \
    case value: \
        return text;
        MUSTER_FIELD_LIST(MUSTER_FIELD_CASE)
#undef MUSTER_FIELD_CASE
    default:
        return "unknown field";
    }
}
