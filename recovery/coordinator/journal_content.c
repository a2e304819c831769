/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/journal_content.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void muster_journal_state_clean_up(muster_journal_state *state)
{
    free(state->core);
    free(state->claims);
    memset(state, 0, sizeof *state);
}

void muster_journal_content_clean_up(muster_journal_content *content)
{
    for (size_t i = 0; i < content->count; i++)
        muster_journal_state_clean_up(&content->entries[i].state);
    free(content->entries);
    memset(content, 0, sizeof *content);
}

muster_journal_entry *muster_journal_content_find(const muster_journal_content *content,
                                                  uint64_t job)
{
    for (size_t i = 0; i < content->count; i++) {
        if (content->entries[i].job == job)
            return &content->entries[i];
    }
    return NULL;
}

static muster_journal_entry *journal_append(muster_journal_content *content)
{
    if (content->count == content->capacity) {
        size_t capacity = content->capacity == 0 ? 4 : content->capacity * 2;
        muster_journal_entry *entries =
            realloc(content->entries, capacity * sizeof *content->entries);
        if (entries == NULL)
            return NULL;
        content->entries = entries;
        content->capacity = capacity;
    }
    muster_journal_entry *entry = &content->entries[content->count++];
    memset(entry, 0, sizeof *entry);
    return entry;
}

muster_status muster_journal_content_put(muster_journal_content *content, uint64_t job,
                                         const char *name, muster_journal_state *state,
                                         muster_error *error)
{
    muster_journal_entry *entry = muster_journal_content_find(content, job);
    if (state->core_bytes > MUSTER_JOURNAL_STATE_BYTES_MAX ||
        state->claims_bytes > MUSTER_JOURNAL_STATE_BYTES_MAX - state->core_bytes ||
        (entry == NULL && content->count >= MUSTER_JOURNAL_JOBS_MAX)) {
        muster_journal_state_clean_up(state);
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_BYTES,
                                MUSTER_JOURNAL_JOBS_MAX, (int64_t)content->count,
                                "the journal holds at most %d jobs of at most %zu bytes",
                                MUSTER_JOURNAL_JOBS_MAX, MUSTER_JOURNAL_STATE_BYTES_MAX);
    }
    if (entry == NULL)
        entry = journal_append(content);
    if (entry == NULL) {
        muster_journal_state_clean_up(state);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a journal of %zu jobs", content->count + 1);
    }
    muster_journal_state_clean_up(&entry->state);
    entry->job = job;
    entry->state = *state;
    memset(state, 0, sizeof *state);
    memset(entry->name, 0, sizeof entry->name);
    memcpy(entry->name, name, strnlen(name, sizeof entry->name - 1));
    return muster_error_set_ok(error);
}

void muster_journal_content_remove(muster_journal_content *content, uint64_t job)
{
    muster_journal_entry *entry = muster_journal_content_find(content, job);
    if (entry == NULL)
        return;
    muster_journal_state_clean_up(&entry->state);
    *entry = content->entries[--content->count];
}
