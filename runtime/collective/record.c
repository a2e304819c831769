/* SPDX-License-Identifier: Apache-2.0 */
#include "collective/record.h"

const char *muster_call_text(muster_call call)
{
    switch ((int)call) {
#define MUSTER_CALL_CASE(name, value, text, has_root, has_lengths) \
    case value: \
        return text;
        MUSTER_CALL_LIST(MUSTER_CALL_CASE)
#undef MUSTER_CALL_CASE
    default:
        return "unknown call";
    }
}

bool muster_call_has_root(muster_call call)
{
    switch ((int)call) {
#define MUSTER_CALL_CASE(name, value, text, has_root, has_lengths) \
    case value: \
        return (has_root) != 0;
        MUSTER_CALL_LIST(MUSTER_CALL_CASE)
#undef MUSTER_CALL_CASE
    default:
        return false;
    }
}

bool muster_call_has_lengths(muster_call call)
{
    switch ((int)call) {
#define MUSTER_CALL_CASE(name, value, text, has_root, has_lengths) \
    case value: \
        return (has_lengths) != 0;
        MUSTER_CALL_LIST(MUSTER_CALL_CASE)
#undef MUSTER_CALL_CASE
    default:
        return false;
    }
}
