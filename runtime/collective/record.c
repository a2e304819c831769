/* SPDX-License-Identifier: Apache-2.0 */
#include "collective/record.h"

#include <stddef.h>

typedef struct call_row {
    const char *text;
    bool has_root;
    bool has_lengths;
} call_row;

static const call_row rows[] = {
#define MUSTER_CALL_ROW(name, value, text, has_root, has_lengths) \
    [value] = {text, has_root, has_lengths},
    MUSTER_CALL_LIST(MUSTER_CALL_ROW)
#undef MUSTER_CALL_ROW
};

/* A record may carry any number: one that is no call has no text, root or lengths. */
static const call_row *row_of(muster_call call)
{
    static const call_row unknown = {"unknown call", false, false};
    const size_t index = (size_t)call;
    if (index >= sizeof(rows) / sizeof(rows[0]) || rows[index].text == NULL)
        return &unknown;
    return &rows[index];
}

const char *muster_call_text(muster_call call)
{
    return row_of(call)->text;
}

bool muster_call_has_root(muster_call call)
{
    return row_of(call)->has_root;
}

bool muster_call_has_lengths(muster_call call)
{
    return row_of(call)->has_lengths;
}
