/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/journal_format.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"

static const char journal_magic[8] = {'M', 'S', 'T', 'R', 'J', 'N', 'L', '1'};

#define JOURNAL_VERSION 1u
#define JOURNAL_HEADER_BYTES ((size_t)32)
#define JOURNAL_JOB_BYTES ((size_t)16)
#define JOURNAL_CHECKSUM_BYTES ((size_t)8)

void muster_journal_content_clean_up(muster_journal_content *content)
{
    for (size_t i = 0; i < content->count; i++)
        free(content->entries[i].state);
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
                                         const char *name, void *state, size_t state_bytes,
                                         muster_error *error)
{
    muster_journal_entry *entry = muster_journal_content_find(content, job);
    if (state_bytes > MUSTER_JOURNAL_STATE_BYTES_MAX ||
        (entry == NULL && content->count >= MUSTER_JOURNAL_JOBS_MAX)) {
        free(state);
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_BYTES,
                                MUSTER_JOURNAL_JOBS_MAX, (int64_t)content->count,
                                "the journal holds at most %d jobs of at most %zu bytes",
                                MUSTER_JOURNAL_JOBS_MAX, MUSTER_JOURNAL_STATE_BYTES_MAX);
    }
    if (entry == NULL)
        entry = journal_append(content);
    if (entry == NULL) {
        free(state);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a journal of %zu jobs", content->count + 1);
    }
    free(entry->state);
    entry->job = job;
    entry->state = state;
    entry->state_bytes = (uint32_t)state_bytes;
    memset(entry->name, 0, sizeof entry->name);
    memcpy(entry->name, name, strnlen(name, sizeof entry->name - 1));
    return muster_error_set_ok(error);
}

void muster_journal_content_remove(muster_journal_content *content, uint64_t job)
{
    muster_journal_entry *entry = muster_journal_content_find(content, job);
    if (entry == NULL)
        return;
    free(entry->state);
    *entry = content->entries[--content->count];
}

static void journal_put(uint8_t *at, uint64_t value, size_t byte_count)
{
    for (size_t i = 0; i < byte_count; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t journal_get(const uint8_t *at, size_t byte_count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < byte_count; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

muster_status muster_journal_encode(const muster_journal_content *content, void **bytes,
                                    size_t *byte_count)
{
    size_t body_bytes = 0;
    for (size_t i = 0; i < content->count; i++)
        body_bytes +=
            JOURNAL_JOB_BYTES + strlen(content->entries[i].name) + content->entries[i].state_bytes;
    size_t total = JOURNAL_HEADER_BYTES + body_bytes + JOURNAL_CHECKSUM_BYTES;
    uint8_t *at = malloc(total);
    if (at == NULL)
        return MUSTER_ERR_NO_MEMORY;
    *bytes = at;
    *byte_count = total;

    memcpy(at, journal_magic, sizeof journal_magic);
    journal_put(at + 8, JOURNAL_VERSION, 4);
    journal_put(at + 12, content->count, 4);
    journal_put(at + 16, content->term, 8);
    journal_put(at + 24, body_bytes, 8);
    at += JOURNAL_HEADER_BYTES;
    for (size_t i = 0; i < content->count; i++) {
        const muster_journal_entry *entry = &content->entries[i];
        size_t name_bytes = strlen(entry->name);
        journal_put(at, entry->job, 8);
        journal_put(at + 8, name_bytes, 4);
        journal_put(at + 12, entry->state_bytes, 4);
        at += JOURNAL_JOB_BYTES;
        memcpy(at, entry->name, name_bytes);
        at += name_bytes;
        if (entry->state_bytes > 0)
            memcpy(at, entry->state, entry->state_bytes);
        at += entry->state_bytes;
    }
    MUSTER_ASSERT(at + JOURNAL_CHECKSUM_BYTES == (uint8_t *)*bytes + total);
    journal_put(at, muster_hash_bytes(*bytes, total - JOURNAL_CHECKSUM_BYTES, 0), 8);
    return MUSTER_OK;
}

/* Sentence of a journal that cannot be believed. */
static muster_status journal_damaged(muster_error *error, size_t offset, const char *field,
                                     uint64_t expected, uint64_t came)
{
    return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_BYTES, (int64_t)expected,
                            (int64_t)came, "at offset %zu, %s: expected %llu, came %llu", offset,
                            field, (unsigned long long)expected, (unsigned long long)came);
}

static muster_status journal_check_header(const uint8_t *start, size_t byte_count,
                                          muster_error *error)
{
    size_t least = JOURNAL_HEADER_BYTES + JOURNAL_CHECKSUM_BYTES;
    if (byte_count < least)
        return journal_damaged(error, byte_count, "bytes of the file", least, byte_count);
    if (memcmp(start, journal_magic, sizeof journal_magic) != 0)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_BYTES, 0, 0,
                                "at offset 0, magic: this is not a journal of Muster");
    if (journal_get(start + 8, 4) != JOURNAL_VERSION)
        return journal_damaged(error, 8, "version", JOURNAL_VERSION, journal_get(start + 8, 4));
    if (journal_get(start + 24, 8) != byte_count - least)
        return journal_damaged(error, 24, "bytes of the body", byte_count - least,
                               journal_get(start + 24, 8));
    uint64_t sum = muster_hash_bytes(start, byte_count - JOURNAL_CHECKSUM_BYTES, 0);
    uint64_t written = journal_get(start + byte_count - JOURNAL_CHECKSUM_BYTES, 8);
    if (sum != written)
        return journal_damaged(error, byte_count - JOURNAL_CHECKSUM_BYTES, "checksum", sum,
                               written);
    if (journal_get(start + 12, 4) > MUSTER_JOURNAL_JOBS_MAX)
        return journal_damaged(error, 12, "number of jobs", MUSTER_JOURNAL_JOBS_MAX,
                               journal_get(start + 12, 4));
    return muster_error_set_ok(error);
}

/* One job at offset *at of a body that ends at end. */
static muster_status journal_decode_job(const uint8_t *start, size_t *at, size_t end,
                                        muster_journal_content *content, muster_error *error)
{
    size_t left = end - *at;
    if (left < JOURNAL_JOB_BYTES)
        return journal_damaged(error, *at, "bytes of a job", JOURNAL_JOB_BYTES, left);
    const uint8_t *job = start + *at;
    size_t name_bytes = (size_t)journal_get(job + 8, 4);
    size_t state_bytes = (size_t)journal_get(job + 12, 4);
    left -= JOURNAL_JOB_BYTES;
    if (name_bytes >= MUSTER_NAME_BYTES || name_bytes > left)
        return journal_damaged(error, *at + 8, "bytes of a name", left, name_bytes);
    if (state_bytes > left - name_bytes)
        return journal_damaged(error, *at + 12, "bytes of a state", left - name_bytes, state_bytes);
    char name[MUSTER_NAME_BYTES] = {0};
    memcpy(name, job + JOURNAL_JOB_BYTES, name_bytes);
    void *state = malloc(state_bytes > 0 ? state_bytes : 1);
    if (state == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, 0,
                                (int64_t)state_bytes, "no memory for a job of %zu bytes",
                                state_bytes);
    memcpy(state, job + JOURNAL_JOB_BYTES + name_bytes, state_bytes);
    *at += JOURNAL_JOB_BYTES + name_bytes + state_bytes;
    return muster_journal_content_put(content, journal_get(job, 8), name, state, state_bytes,
                                      error);
}

muster_status muster_journal_decode(const void *bytes, size_t byte_count,
                                    muster_journal_content *content, muster_error *error)
{
    const uint8_t *start = bytes;
    memset(content, 0, sizeof *content);
    muster_status status = journal_check_header(start, byte_count, error);
    if (status != MUSTER_OK)
        return status;
    size_t job_count = (size_t)journal_get(start + 12, 4);
    size_t end = byte_count - JOURNAL_CHECKSUM_BYTES;
    size_t at = JOURNAL_HEADER_BYTES;
    content->term = journal_get(start + 16, 8);
    for (size_t i = 0; i < job_count && status == MUSTER_OK; i++)
        status = journal_decode_job(start, &at, end, content, error);
    if (status == MUSTER_OK && at != end)
        status = journal_damaged(error, at, "end of the body", end, at);
    if (status != MUSTER_OK)
        muster_journal_content_clean_up(content);
    return status;
}
