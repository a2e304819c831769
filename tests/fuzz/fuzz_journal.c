/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a coordinator's journal, and as its claims: refused, or something that can be written and
 * read again. Checksums are put right, so that what lies behind them is reached. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "coordinator/claims.h"
#include "coordinator/journal_format.h"

#define FUZZ_HEADER_BYTES 48
#define FUZZ_RECORD_BYTES 24

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

static uint64_t fuzz_get(const uint8_t *at, size_t byte_count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < byte_count; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static void fuzz_seal(uint8_t *at, size_t checked, uint64_t identity, uint64_t sequence)
{
    uint64_t sum =
        muster_hash_bytes(at, checked, identity ^ (sequence << 1)) | UINT64_C(0x0101010101010101);
    for (size_t i = 0; i < 8; i++)
        at[checked + i] = (uint8_t)(sum >> (8 * i));
}

/* All sums and sequences as a writer would have them, as far as lengths lead. */
static void fuzz_repair(uint8_t *bytes, size_t byte_count)
{
    if (byte_count < FUZZ_HEADER_BYTES)
        return;
    memcpy(bytes, "MSTRJNL2\2\0\0\0", 12);
    fuzz_seal(bytes, 40, 0, 0);
    const uint64_t identity = fuzz_get(bytes + 16, 8);
    size_t at = FUZZ_HEADER_BYTES;
    for (uint64_t sequence = 1; byte_count - at >= FUZZ_RECORD_BYTES + 8; sequence++) {
        memset(bytes + at + 8, 0, 8);
        bytes[at + 8] = (uint8_t)sequence;
        bytes[at + 9] = (uint8_t)(sequence >> 8);
        const size_t payload_bytes = (size_t)fuzz_get(bytes + at + 4, 4);
        fuzz_seal(bytes + at, 16, identity, sequence);
        if (payload_bytes > byte_count - at - FUZZ_RECORD_BYTES - 8)
            return;
        fuzz_seal(bytes + at + FUZZ_RECORD_BYTES, payload_bytes, identity, sequence);
        at += FUZZ_RECORD_BYTES + payload_bytes + 8;
    }
}

static void fuzz_read(const uint8_t *bytes, size_t byte_count)
{
    muster_journal_content content;
    muster_journal_content again;
    muster_journal_position position;
    muster_error error = {.struct_bytes = sizeof error};
    void *whole = NULL;
    size_t whole_bytes = 0;
    if (muster_journal_decode(bytes, byte_count, &content, &position, &error) != MUSTER_OK)
        return;
    MUSTER_ASSERT(position.byte_count + position.torn_bytes == byte_count);
    MUSTER_ASSERT(muster_journal_encode_whole(&content, &position, &whole, &whole_bytes) ==
                  MUSTER_OK);
    MUSTER_ASSERT(muster_journal_decode(whole, whole_bytes, &again, &position, &error) ==
                  MUSTER_OK);
    MUSTER_ASSERT(again.term == content.term && again.count == content.count);
    for (size_t i = 0; i < content.count; i++) {
        muster_claims claims;
        const muster_journal_state *state = &content.entries[i].state;
        if (muster_claims_restore(&claims, state->claims, state->claims_bytes))
            muster_claims_clean_up(&claims);
    }
    free(whole);
    muster_journal_content_clean_up(&content);
    muster_journal_content_clean_up(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    fuzz_read(bytes, byte_count);
    uint8_t *own = malloc(byte_count + 1);
    memcpy(own, bytes, byte_count);
    fuzz_repair(own, byte_count);
    fuzz_read(own, byte_count);
    free(own);
    muster_claims claims;
    if (muster_claims_restore(&claims, bytes, byte_count))
        muster_claims_clean_up(&claims);
    return 0;
}
