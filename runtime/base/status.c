/* SPDX-License-Identifier: Apache-2.0 */
/* Everything here is made from the lists in <muster/status.h>: a row added there is a row here. */
#include <muster/status.h>

#include <stddef.h>

typedef struct status_row {
    muster_status status;
    muster_advice advice;
    const char *name;
    const char *text;
} status_row;

static const status_row rows[] = {
#define MUSTER_STATUS_ROW(name, value, advice, text) \
    {MUSTER_##name, MUSTER_ADVICE_##advice, "MUSTER_" #name, text},
    MUSTER_STATUS_LIST(MUSTER_STATUS_ROW)
#undef MUSTER_STATUS_ROW
};

static const char *const field_texts[] = {
#define MUSTER_FIELD_ROW(name, value, text) [value] = (text),
    MUSTER_FIELD_LIST(MUSTER_FIELD_ROW)
#undef MUSTER_FIELD_ROW
};

/* NULL where there is none. */
static const status_row *row_of(muster_status status)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].status == status)
            return &rows[i];
    }
    return NULL;
}

const char *muster_status_text(muster_status status)
{
    const status_row *row = row_of(status);
    return row != NULL ? row->text : "unknown status";
}

const char *muster_status_name(muster_status status)
{
    const status_row *row = row_of(status);
    return row != NULL ? row->name : "unknown status";
}

muster_advice muster_status_advice(muster_status status)
{
    const status_row *row = row_of(status);
    return row != NULL ? row->advice : MUSTER_ADVICE_GIVE_UP;
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
    const size_t index = (size_t)field;
    if (index >= sizeof(field_texts) / sizeof(field_texts[0]) || field_texts[index] == NULL)
        return "unknown field";
    return field_texts[index];
}
