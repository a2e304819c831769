/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream_fields.h"

/* Holdings and deaths may outnumber the slots (two generations, own and mirror; several deaths of a
 * slot in one recovery), but not without end. */
#define ITEMS_MAX (4 * MUSTER_SLOTS_MAX)

void muster_stream_slot(muster_stream *stream, int32_t *slot)
{
    muster_stream_i32(stream, slot);
    if (!stream->failure && (*slot < MUSTER_SLOT_SPARE_WIRE || *slot >= MUSTER_SLOTS_MAX)) {
        muster_stream_fail(stream, "a slot number is out of range");
    }
}

void muster_stream_blob(muster_stream *stream, muster_blob *blob)
{
    muster_stream_u32(stream, &blob->bytes);
    if (blob->bytes > MUSTER_BLOB_BYTES) {
        muster_stream_fail(stream, "a blob is too long");
        return;
    }
    muster_stream_bytes(stream, blob->data, blob->bytes);
}

#define MEMBER_BYTES_MIN (4 + 4 + 4 + 8 + 4)

void muster_stream_members(muster_stream *stream, int32_t *count, muster_member **members)
{
    if (!muster_stream_array(stream, count, (void **)members, sizeof **members, MUSTER_SLOTS_MAX,
                             MEMBER_BYTES_MIN)) {
        return;
    }
    for (int32_t i = 0; i < *count; i++) {
        muster_member *member = &(*members)[i];
        muster_stream_slot(stream, &member->slot);
        muster_stream_u32(stream, &member->incarnation);
        muster_stream_i32(stream, &member->process_id);
        muster_stream_u64(stream, &member->host);
        muster_stream_blob(stream, &member->blob);
    }
}

#define DEATH_BYTES (4 + 4 + 4 + 4 + 1)

void muster_stream_deaths(muster_stream *stream, int32_t *count, muster_death **deaths)
{
    if (!muster_stream_array(stream, count, (void **)deaths, sizeof **deaths, ITEMS_MAX,
                             DEATH_BYTES)) {
        return;
    }
    for (int32_t i = 0; i < *count; i++) {
        muster_death *death = &(*deaths)[i];
        muster_stream_slot(stream, &death->slot);
        muster_stream_u32(stream, &death->incarnation);
        muster_stream_u32(stream, &death->evidence);
        muster_stream_i32(stream, &death->wait_status);
        muster_stream_bool(stream, &death->proven_gone);
    }
}

#define HOLDING_BYTES (4 + 8 + 8 + 1 + 1)

void muster_stream_holdings(muster_stream *stream, int32_t *count, muster_holding **holdings)
{
    if (!muster_stream_array(stream, count, (void **)holdings, sizeof **holdings, ITEMS_MAX,
                             HOLDING_BYTES)) {
        return;
    }
    for (int32_t i = 0; i < *count; i++) {
        muster_holding *holding = &(*holdings)[i];
        muster_stream_slot(stream, &holding->slot);
        muster_stream_u64(stream, &holding->epoch);
        muster_stream_u64(stream, &holding->step);
        muster_stream_bool(stream, &holding->mirror);
        muster_stream_bool(stream, &holding->committed);
    }
}

void muster_stream_slots(muster_stream *stream, int32_t *count, int32_t **slots)
{
    if (!muster_stream_array(stream, count, (void **)slots, sizeof **slots, MUSTER_SLOTS_MAX, 4)) {
        return;
    }
    for (int32_t i = 0; i < *count; i++) {
        muster_stream_slot(stream, &(*slots)[i]);
    }
}

/* Slots from `first` on that go up by one. */
static int32_t slots_run(const int32_t *slots, int32_t count, int32_t first)
{
    int32_t length = 1;
    while (first + length < count && slots[first + length] == slots[first] + length) {
        length++;
    }
    return length;
}

static void slot_runs_read(muster_stream *stream, int32_t *count, int32_t *slots)
{
    for (int32_t filled = 0; filled < *count;) {
        int32_t first = 0;
        int32_t length = 0;
        muster_stream_slot(stream, &first);
        muster_stream_i32(stream, &length);
        if (!stream->failure &&
            (length < 1 || length > *count - filled || length > MUSTER_SLOTS_MAX - first ||
             (filled > 0 && first == slots[filled - 1] + 1))) {
            muster_stream_fail(stream, "a run of slots does not fit");
        }
        if (stream->failure) {
            return;
        }
        for (int32_t i = 0; i < length; i++) {
            slots[filled++] = first + i;
        }
    }
}

void muster_stream_slot_runs(muster_stream *stream, int32_t *count, int32_t **slots)
{
    /* The count is bounded; how many bytes its runs take is not known before. */
    if (!muster_stream_array(stream, count, (void **)slots, sizeof **slots, MUSTER_SLOTS_MAX, 0)) {
        return;
    }
    if (!stream->writing) {
        slot_runs_read(stream, count, *slots);
        return;
    }
    for (int32_t i = 0; i < *count;) {
        int32_t length = slots_run(*slots, *count, i);
        muster_stream_slot(stream, &(*slots)[i]);
        muster_stream_i32(stream, &length);
        i += length;
    }
}

void muster_stream_policy(muster_stream *stream, muster_policy *policy)
{
    muster_stream_i32(stream, &policy->slot_count);
    muster_stream_u32(stream, &policy->on_loss);
    muster_stream_i32(stream, &policy->min_ranks);
    muster_stream_i32(stream, &policy->max_replacements);
    muster_stream_i32(stream, &policy->crash_loop_deaths);
    muster_stream_bool(stream, &policy->grow);
#define STREAM_DEADLINE(name, default_ms, sentence) \
    muster_stream_i64(stream, &policy->deadlines.name##_ns);
    MUSTER_DEADLINE_LIST(STREAM_DEADLINE)
#undef STREAM_DEADLINE
}
