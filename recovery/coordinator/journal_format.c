/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/journal_format.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"

static const char journal_magic[8] = {'M', 'S', 'T', 'R', 'J', 'N', 'L', '2'};

#define JOURNAL_VERSION 2u
#define JOURNAL_HEADER_BYTES ((size_t)48)
#define JOURNAL_RECORD_BYTES ((size_t)24) /* before its payload */
#define JOURNAL_CHECKED_BYTES ((size_t)16)
#define JOURNAL_CHECKSUM_BYTES ((size_t)8)
#define JOURNAL_JOB_BYTES ((size_t)20) /* before name, state and claims */
#define JOURNAL_PAYLOAD_BYTES_MAX \
    (JOURNAL_JOB_BYTES + MUSTER_NAME_BYTES + MUSTER_JOURNAL_STATE_BYTES_MAX)
/* A checksum in which one flipped bit can never leave zeros, which mean "not written". */
#define JOURNAL_CHECKSUM_NEVER_ZERO UINT64_C(0x0101010101010101)

typedef enum journal_kind { JOURNAL_TERM = 1, JOURNAL_JOB = 2, JOURNAL_END = 3 } journal_kind;

static uint8_t *journal_put(uint8_t *at, uint64_t value, size_t byte_count)
{
    for (size_t i = 0; i < byte_count; i++)
        at[i] = (uint8_t)(value >> (8 * i));
    return at + byte_count;
}

static uint8_t *journal_put_bytes(uint8_t *at, const void *bytes, size_t byte_count)
{
    if (byte_count > 0)
        memcpy(at, bytes, byte_count);
    return at + byte_count;
}

static uint64_t journal_get(const uint8_t *at, size_t byte_count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < byte_count; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static uint64_t journal_checksum(const void *bytes, size_t byte_count, uint64_t identity,
                                 uint64_t sequence)
{
    return muster_hash_bytes(bytes, byte_count, identity ^ (sequence << 1)) |
           JOURNAL_CHECKSUM_NEVER_ZERO;
}

/* ---- writing ---- */

static size_t journal_record_bytes(size_t payload_bytes)
{
    return JOURNAL_RECORD_BYTES + payload_bytes + JOURNAL_CHECKSUM_BYTES;
}

static size_t journal_job_bytes(const muster_journal_entry *entry)
{
    return JOURNAL_JOB_BYTES + strlen(entry->name) + entry->state.core_bytes +
           entry->state.claims_bytes;
}

/* The payload stands at its place already. */
static uint8_t *journal_seal(uint8_t *record, journal_kind kind, size_t payload_bytes,
                             muster_journal_position *position)
{
    position->sequence++;
    journal_put(record, kind, 4);
    journal_put(record + 4, payload_bytes, 4);
    journal_put(record + 8, position->sequence, 8);
    journal_put(
        record + JOURNAL_CHECKED_BYTES,
        journal_checksum(record, JOURNAL_CHECKED_BYTES, position->identity, position->sequence), 8);
    uint8_t *payload = record + JOURNAL_RECORD_BYTES;
    journal_put(payload + payload_bytes,
                journal_checksum(payload, payload_bytes, position->identity, position->sequence),
                8);
    position->byte_count += journal_record_bytes(payload_bytes);
    return record + journal_record_bytes(payload_bytes);
}

static uint8_t *journal_write_number(uint8_t *record, journal_kind kind, uint64_t number,
                                     muster_journal_position *position)
{
    journal_put(record + JOURNAL_RECORD_BYTES, number, 8);
    return journal_seal(record, kind, 8, position);
}

static uint8_t *journal_write_job(uint8_t *record, const muster_journal_entry *entry,
                                  muster_journal_position *position)
{
    size_t name_bytes = strlen(entry->name);
    uint8_t *at = record + JOURNAL_RECORD_BYTES;
    at = journal_put(at, entry->job, 8);
    at = journal_put(at, name_bytes, 4);
    at = journal_put(at, entry->state.core_bytes, 4);
    at = journal_put(at, entry->state.claims_bytes, 4);
    at = journal_put_bytes(at, entry->name, name_bytes);
    at = journal_put_bytes(at, entry->state.core, entry->state.core_bytes);
    at = journal_put_bytes(at, entry->state.claims, entry->state.claims_bytes);
    return journal_seal(record, JOURNAL_JOB, (size_t)(at - record) - JOURNAL_RECORD_BYTES,
                        position);
}

static uint8_t *journal_allocate(size_t wanted, void **bytes, size_t *byte_count)
{
    *bytes = malloc(wanted);
    *byte_count = wanted;
    return *bytes;
}

muster_status muster_journal_encode_whole(const muster_journal_content *content,
                                          muster_journal_position *position, void **bytes,
                                          size_t *byte_count)
{
    size_t total = JOURNAL_HEADER_BYTES + journal_record_bytes(8);
    for (size_t i = 0; i < content->count; i++)
        total += journal_record_bytes(journal_job_bytes(&content->entries[i]));
    uint8_t *start = journal_allocate(total, bytes, byte_count);
    if (start == NULL)
        return MUSTER_ERR_NO_MEMORY;
    position->sequence = 0;
    position->byte_count = JOURNAL_HEADER_BYTES;
    position->torn_bytes = 0;
    position->whole_bytes = total;
    memcpy(start, journal_magic, sizeof journal_magic);
    journal_put(start + 8, JOURNAL_VERSION, 4);
    journal_put(start + 12, JOURNAL_HEADER_BYTES, 4);
    journal_put(start + 16, position->identity, 8);
    journal_put(start + 24, position->inode, 8);
    journal_put(start + 32, total, 8);
    journal_put(start + 40, journal_checksum(start, 40, 0, 0), 8);
    uint8_t *at =
        journal_write_number(start + JOURNAL_HEADER_BYTES, JOURNAL_TERM, content->term, position);
    for (size_t i = 0; i < content->count; i++)
        at = journal_write_job(at, &content->entries[i], position);
    MUSTER_ASSERT(at == start + total && position->byte_count == total);
    return MUSTER_OK;
}

static muster_status journal_encode_number(journal_kind kind, uint64_t number,
                                           muster_journal_position *position, void **bytes,
                                           size_t *byte_count)
{
    uint8_t *record = journal_allocate(journal_record_bytes(8), bytes, byte_count);
    if (record == NULL)
        return MUSTER_ERR_NO_MEMORY;
    journal_write_number(record, kind, number, position);
    return MUSTER_OK;
}

muster_status muster_journal_encode_term(uint64_t term, muster_journal_position *position,
                                         void **bytes, size_t *byte_count)
{
    return journal_encode_number(JOURNAL_TERM, term, position, bytes, byte_count);
}

muster_status muster_journal_encode_end(uint64_t job, muster_journal_position *position,
                                        void **bytes, size_t *byte_count)
{
    return journal_encode_number(JOURNAL_END, job, position, bytes, byte_count);
}

muster_status muster_journal_encode_job(const muster_journal_entry *entry,
                                        muster_journal_position *position, void **bytes,
                                        size_t *byte_count)
{
    uint8_t *record =
        journal_allocate(journal_record_bytes(journal_job_bytes(entry)), bytes, byte_count);
    if (record == NULL)
        return MUSTER_ERR_NO_MEMORY;
    journal_write_job(record, entry, position);
    return MUSTER_OK;
}

/* ---- reading ---- */

/* Sentence of a journal that cannot be believed. */
static muster_status journal_damaged(muster_error *error, size_t offset, const char *field,
                                     uint64_t expected, uint64_t came)
{
    return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_BYTES, (int64_t)expected,
                            (int64_t)came, "at offset %zu, %s: expected %llu, came %llu", offset,
                            field, (unsigned long long)expected, (unsigned long long)came);
}

static muster_status journal_read_header(const uint8_t *start, size_t byte_count,
                                         muster_journal_position *position, muster_error *error)
{
    if (byte_count < JOURNAL_HEADER_BYTES)
        return journal_damaged(error, byte_count, "bytes of the header", JOURNAL_HEADER_BYTES,
                               byte_count);
    if (memcmp(start, journal_magic, sizeof journal_magic) != 0)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_BYTES, 0, 0,
                                "at offset 0, magic: this is not a journal of Muster, or of "
                                "another version");
    if (journal_get(start + 8, 4) != JOURNAL_VERSION)
        return journal_damaged(error, 8, "version", JOURNAL_VERSION, journal_get(start + 8, 4));
    uint64_t sum = journal_checksum(start, 40, 0, 0);
    if (journal_get(start + 40, 8) != sum)
        return journal_damaged(error, 40, "checksum of the header", sum,
                               journal_get(start + 40, 8));
    position->identity = journal_get(start + 16, 8);
    position->inode = journal_get(start + 24, 8);
    position->whole_bytes = journal_get(start + 32, 8);
    position->byte_count = JOURNAL_HEADER_BYTES;
    if (byte_count < position->whole_bytes)
        return journal_damaged(error, byte_count, "bytes that were written at once",
                               position->whole_bytes, byte_count);
    return MUSTER_OK;
}

static bool journal_all_zero(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at == 0)
        at++;
    return at == end;
}

typedef struct journal_record {
    uint32_t kind;
    const uint8_t *payload;
    size_t payload_bytes;
    bool torn; /* it is the tail, and not whole */
} journal_record;

/* The record at position. */
static muster_status journal_read_record(const uint8_t *start, size_t byte_count,
                                         const muster_journal_position *position,
                                         journal_record *record, muster_error *error)
{
    size_t offset = (size_t)position->byte_count;
    const uint8_t *at = start + offset;
    const uint8_t *end = start + byte_count;
    uint64_t sequence = position->sequence + 1;
    memset(record, 0, sizeof *record);
    record->torn = byte_count - offset < JOURNAL_RECORD_BYTES ||
                   journal_all_zero(at + JOURNAL_CHECKED_BYTES, end);
    if (record->torn)
        return MUSTER_OK;
    uint64_t sum = journal_checksum(at, JOURNAL_CHECKED_BYTES, position->identity, sequence);
    if (journal_get(at + JOURNAL_CHECKED_BYTES, 8) != sum)
        return journal_damaged(error, offset, "checksum of a record's head", sum,
                               journal_get(at + JOURNAL_CHECKED_BYTES, 8));
    record->kind = (uint32_t)journal_get(at, 4);
    record->payload_bytes = (size_t)journal_get(at + 4, 4);
    record->payload = at + JOURNAL_RECORD_BYTES;
    if (journal_get(at + 8, 8) != sequence || record->payload_bytes > JOURNAL_PAYLOAD_BYTES_MAX)
        return journal_damaged(error, offset, "sequence of a record", sequence,
                               journal_get(at + 8, 8));
    size_t left = byte_count - offset - JOURNAL_RECORD_BYTES;
    record->torn = left < record->payload_bytes + JOURNAL_CHECKSUM_BYTES ||
                   journal_all_zero(record->payload + record->payload_bytes, end);
    if (record->torn)
        return MUSTER_OK;
    sum = journal_checksum(record->payload, record->payload_bytes, position->identity, sequence);
    uint64_t came = journal_get(record->payload + record->payload_bytes, 8);
    if (came != sum)
        return journal_damaged(error, offset, "checksum of a record", sum, came);
    return MUSTER_OK;
}

static void *journal_copy(const uint8_t *at, size_t byte_count)
{
    void *copy = malloc(byte_count > 0 ? byte_count : 1);
    if (copy != NULL && byte_count > 0)
        memcpy(copy, at, byte_count);
    return copy;
}

static muster_status journal_take_job(const journal_record *record, size_t offset,
                                      muster_journal_content *content, muster_error *error)
{
    const uint8_t *at = record->payload;
    if (record->payload_bytes < JOURNAL_JOB_BYTES)
        return journal_damaged(error, offset, "bytes of a job", JOURNAL_JOB_BYTES,
                               record->payload_bytes);
    uint64_t job = journal_get(at, 8);
    size_t name_bytes = (size_t)journal_get(at + 8, 4);
    size_t core_bytes = (size_t)journal_get(at + 12, 4);
    size_t claims_bytes = (size_t)journal_get(at + 16, 4);
    char name[MUSTER_NAME_BYTES] = "";
    if (name_bytes >= sizeof name ||
        JOURNAL_JOB_BYTES + name_bytes + core_bytes + claims_bytes != record->payload_bytes)
        return journal_damaged(error, offset, "bytes of a job", record->payload_bytes,
                               JOURNAL_JOB_BYTES + name_bytes + core_bytes + claims_bytes);
    at += JOURNAL_JOB_BYTES;
    memcpy(name, at, name_bytes);
    at += name_bytes;
    muster_journal_state state = {.core = journal_copy(at, core_bytes),
                                  .core_bytes = core_bytes,
                                  .claims = journal_copy(at + core_bytes, claims_bytes),
                                  .claims_bytes = claims_bytes};
    if (state.core == NULL || state.claims == NULL) {
        muster_journal_state_clean_up(&state);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the journal");
    }
    return muster_journal_content_put(content, job, name, &state, error);
}

static muster_status journal_take(const journal_record *record, size_t offset,
                                  muster_journal_content *content, muster_error *error)
{
    if (record->kind == JOURNAL_JOB)
        return journal_take_job(record, offset, content, error);
    if (record->kind != JOURNAL_TERM && record->kind != JOURNAL_END)
        return journal_damaged(error, offset, "kind of a record", JOURNAL_TERM, record->kind);
    if (record->payload_bytes != 8)
        return journal_damaged(error, offset, "bytes of a record", 8, record->payload_bytes);
    uint64_t number = journal_get(record->payload, 8);
    if (record->kind == JOURNAL_END)
        muster_journal_content_remove(content, number);
    else if (number <= content->term)
        return journal_damaged(error, offset, "a term that grows", content->term + 1, number);
    else
        content->term = number;
    return MUSTER_OK;
}

static muster_status journal_read_records(const uint8_t *start, size_t byte_count,
                                          muster_journal_content *content,
                                          muster_journal_position *position, muster_error *error)
{
    while (position->byte_count < byte_count) {
        journal_record record;
        size_t offset = (size_t)position->byte_count;
        muster_status status = journal_read_record(start, byte_count, position, &record, error);
        if (status != MUSTER_OK)
            return status;
        if (record.torn) {
            position->torn_bytes = byte_count - offset;
            /* What was written at once was durable before it had its name. */
            if (offset < position->whole_bytes)
                return journal_damaged(error, offset, "bytes that were written at once",
                                       position->whole_bytes, offset);
            break;
        }
        status = journal_take(&record, offset, content, error);
        if (status != MUSTER_OK)
            return status;
        position->sequence++;
        position->byte_count += journal_record_bytes(record.payload_bytes);
    }
    if (content->term == 0)
        return journal_damaged(error, JOURNAL_HEADER_BYTES, "a term", 1, 0);
    return muster_error_set_ok(error);
}

muster_status muster_journal_decode(const void *bytes, size_t byte_count,
                                    muster_journal_content *content,
                                    muster_journal_position *position, muster_error *error)
{
    memset(content, 0, sizeof *content);
    memset(position, 0, sizeof *position);
    muster_status status = journal_read_header(bytes, byte_count, position, error);
    if (status == MUSTER_OK)
        status = journal_read_records(bytes, byte_count, content, position, error);
    if (status != MUSTER_OK)
        muster_journal_content_clean_up(content);
    return status;
}
