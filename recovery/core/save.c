/* SPDX-License-Identifier: Apache-2.0 */
/* What survives the coordinator: enough that no epoch or incarnation number is used twice, that the
 * fenced stay fenced, and that the next term knows whom to expect. What ranks can say again (holdings,
 * activity, connections) is not in it. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/core_state.h"
#include "core/stream_fields.h"

#define SAVE_MAGIC 0x4352534du /* "MSRC" */
#define SAVE_VERSION 4u
/* Ten years: so that no sum with a clock can overflow. */
#define SAVE_DEADLINE_NS_MAX ((int64_t)10 * 365 * 24 * 3600 * 1000000000)

static void save_slot(muster_stream *stream, muster_core_slot *slot)
{
    uint8_t seat = (uint8_t)slot->seat;
    uint8_t replacement = (uint8_t)slot->replacement;
    muster_stream_u8(stream, &seat);
    muster_stream_u8(stream, &replacement);
    muster_stream_bool(stream, &slot->member);
    muster_stream_bool(stream, &slot->process.left);
    muster_stream_bool(stream, &slot->late);
    muster_stream_bool(stream, &slot->left_for_good);
    muster_stream_bool(stream, &slot->process.from_spare);
    muster_stream_u32(stream, &slot->process.incarnation);
    muster_stream_i32(stream, &slot->process.launched_id);
    muster_stream_u32(stream, &slot->fence);
    muster_stream_u32(stream, &slot->start_incarnation);
    muster_stream_i32(stream, &slot->start_tries);
    muster_stream_i32(stream, &slot->deaths_without_commit);
    if (!stream->writing &&
        (slot->process.incarnation > MUSTER_CORE_INCARNATION_SAVED_MAX ||
         slot->fence > MUSTER_CORE_INCARNATION_SAVED_MAX ||
         slot->start_incarnation > MUSTER_CORE_INCARNATION_SAVED_MAX ||
         seat > MUSTER_CORE_SEAT_RETIRED || replacement > MUSTER_CORE_REPLACEMENT_STARTED)) {
        muster_stream_fail(stream, "a slot's state is none");
        return;
    }
    if (!stream->writing) {
        slot->seat = (muster_core_seat)seat;
        slot->replacement = (muster_core_replacement)replacement;
    }
}

static void save_deaths(muster_stream *stream, muster_core *core)
{
    int32_t count = (int32_t)core->death_count;
    if (!muster_stream_array(stream, &count, (void **)&core->deaths, sizeof *core->deaths,
                             4 * MUSTER_SLOTS_MAX, 43)) {
        return;
    }
    if (!stream->writing) {
        core->death_count = (size_t)count;
        core->death_capacity = (size_t)count;
    }
    for (int32_t i = 0; i < count; i++) {
        muster_core_death *death = &core->deaths[i];
        muster_stream_slot(stream, &death->death.slot);
        muster_stream_u32(stream, &death->death.incarnation);
        muster_stream_u32(stream, &death->death.evidence);
        muster_stream_i32(stream, &death->death.wait_status);
        muster_stream_bool(stream, &death->death.proven_gone);
        muster_stream_u64(stream, &death->epoch);
        muster_stream_i32(stream, &death->process_id);
        muster_stream_i32(stream, &death->launched_id);
        muster_stream_bool(stream, &death->from_spare);
        muster_stream_u64(stream, &death->host);
        muster_stream_bool(stream, &death->abandoned);
    }
}

static void save_pasts(muster_stream *stream, muster_core *core)
{
    int32_t count = core->past_count;
    muster_stream_i32(stream, &count);
    if (count < 0 || count > MUSTER_CORE_PASTS_MAX) {
        muster_stream_fail(stream, "an impossible number of past epochs");
    }
    for (int32_t i = 0; !stream->failure && i < count; i++) {
        if (!stream->writing) {
            core->past_count = i + 1;
        }
        muster_stream_u64(stream, &core->pasts[i].epoch);
        muster_stream_slots(stream, &core->pasts[i].slot_count, &core->pasts[i].slots);
    }
}

static void save_stream(muster_stream *stream, muster_core *core)
{
    uint32_t magic = SAVE_MAGIC;
    uint32_t version = SAVE_VERSION;
    uint8_t state = (uint8_t)core->state;
    uint32_t ended_status = (uint32_t)core->ended_status;
    muster_stream_u32(stream, &magic);
    muster_stream_u32(stream, &version);
    if (magic != SAVE_MAGIC || version != SAVE_VERSION) {
        muster_stream_fail(stream, "it is not a saved job, or of another version");
    }
    muster_stream_u64(stream, &core->job);
    muster_stream_u64(stream, &core->term);
    muster_stream_u64(stream, &core->began_term);
    muster_stream_policy(stream, &core->policy);
    muster_stream_bool(stream, &core->policy_open);
    muster_stream_u8(stream, &state);
    muster_stream_u32(stream, &ended_status);
    muster_stream_text(stream, core->ended_text, sizeof core->ended_text);
    muster_stream_u64(stream, &core->epoch);
    muster_stream_u64(stream, &core->epoch_floor);
    muster_stream_bool(stream, &core->met_before);
    muster_stream_u32(stream, &core->kind);
    muster_stream_members(stream, &core->member_count, &core->members);
    muster_stream_bool(stream, &core->restore.has_step);
    muster_stream_bool(stream, &core->restore.state_lost);
    muster_stream_u64(stream, &core->restore.step);
    muster_stream_u64(stream, &core->restore.epoch);
    muster_stream_slots(stream, &core->restore.slot_count, &core->restore_slots);
    save_pasts(stream, core);
    save_deaths(stream, core);
    muster_stream_i32(stream, &core->replacements_used);
    muster_stream_bool(stream, &core->has_run);
    muster_stream_bool(stream, &core->has_committed);
    muster_stream_u64(stream, &core->committed_epoch);
    muster_stream_u64(stream, &core->committed_step);
    muster_stream_bool(stream, &core->crash_has_step);
    muster_stream_u64(stream, &core->crash_step);
    if (state >= MUSTER_CORE_STATE_COUNT) {
        muster_stream_fail(stream, "the job's state is none");
    }
    if (stream->failure) {
        return;
    }
    if (!stream->writing) {
        core->state = (muster_core_state)state;
        core->ended_status = (muster_status)ended_status;
    }
    bool has_slots = core->slots != NULL;
    muster_stream_bool(stream, &has_slots);
    if (!has_slots || stream->failure) {
        return;
    }
    if (!stream->writing && !muster_core_members_open(core, core->policy.slot_count)) {
        muster_stream_fail(stream, "an impossible number of slots");
        return;
    }
    MUSTER_ASSERT(core->slots != NULL);
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        save_slot(stream, &core->slots[i]);
    }
}

muster_status muster_core_save(const muster_core *core, void **saved, size_t *saved_bytes)
{
    muster_stream stream;
    muster_stream_write_begin(&stream);
    save_stream(&stream, (muster_core *)(uintptr_t)core); /* a writer only reads */
    if (stream.failure) {
        free(stream.bytes);
        *saved = NULL;
        *saved_bytes = 0;
        MUSTER_ASSERT(stream.out_of_memory);
        return MUSTER_ERR_NO_MEMORY;
    }
    *saved = stream.bytes;
    *saved_bytes = stream.byte_count;
    return MUSTER_OK;
}

/* ---- back ---- */

/* Everything that later turns take for granted. */
static const char *restore_inconsistent(const muster_core *core)
{
#define RESTORE_DEADLINE(name, default_ms, sentence) \
    if (core->policy.deadlines.name##_ns < 0 || \
        core->policy.deadlines.name##_ns > SAVE_DEADLINE_NS_MAX) { \
        return "its deadline " #name " is out of range"; \
    }
    MUSTER_DEADLINE_LIST(RESTORE_DEADLINE)
#undef RESTORE_DEADLINE
    if (!core->slots) {
        return core->state == MUSTER_CORE_FORMING || core->state == MUSTER_CORE_ENDED
                   ? NULL
                   : "it has no slots";
    }
    int32_t slot_count = core->policy.slot_count;
    for (int32_t i = 0; i < core->member_count; i++) {
        int32_t slot = core->members[i].slot;
        if (slot < 0 || slot >= slot_count || (i > 0 && slot <= core->members[i - 1].slot)) {
            return "its members are no slots";
        }
    }
    for (int32_t i = 0; i < core->past_count; i++) {
        for (int32_t k = 0; k < core->pasts[i].slot_count; k++) {
            if (core->pasts[i].slots[k] < 0 || core->pasts[i].slots[k] >= slot_count) {
                return "a past epoch's members are no slots";
            }
        }
    }
    for (size_t i = 0; i < core->death_count; i++) {
        if (core->deaths[i].death.slot < 0 || core->deaths[i].death.slot >= slot_count) {
            return "a death is of no slot";
        }
    }
    return NULL;
}

/* Members are expected back as if their connections had just been lost; others join again. */
static bool restore_slots(muster_core *core)
{
    int32_t next = 0; /* members ascend by slot */
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        muster_core_slot *slot = &core->slots[i];
        bool listed = next < core->member_count && core->members[next].slot == i;
        const muster_member *member = listed && slot->member ? &core->members[next] : NULL;
        next += listed;
        if (slot->member && (!member || slot->seat != MUSTER_CORE_SEAT_FILLED)) {
            return false;
        }
        muster_core_process kept = slot->process;
        if (!member && core->state == MUSTER_CORE_FORMING && kept.left &&
            slot->seat == MUSTER_CORE_SEAT_FILLED) {
            continue; /* of an epoch that had no journal either; its launcher may have gone since */
        }
        if (!member) {
            if (slot->seat == MUSTER_CORE_SEAT_FILLED) {
                /* Joined, but in no epoch yet: it is alive most likely and will say so. */
                slot->seat = MUSTER_CORE_SEAT_OPEN;
                slot->fence = kept.incarnation;
                slot->start_incarnation = kept.incarnation;
                slot->replacement = core->state == MUSTER_CORE_FORMING
                                        ? MUSTER_CORE_REPLACEMENT_NONE
                                        : MUSTER_CORE_REPLACEMENT_STARTED;
                if (kept.from_spare) {
                    /* It comes back as the spare that it was: the number was its own. */
                    slot->fence = kept.incarnation + 1;
                    slot->replacement = MUSTER_CORE_REPLACEMENT_WANTED;
                }
                if (slot->late) {
                    slot->seat = MUSTER_CORE_SEAT_RETIRED; /* as before it came: it comes again */
                    slot->replacement = MUSTER_CORE_REPLACEMENT_NONE;
                }
            }
            slot->late = false;
            memset(&slot->process, 0, sizeof slot->process);
            continue;
        }
        slot->process.process_id = member->process_id;
        slot->process.host = member->host;
        slot->process.blob = member->blob;
        slot->process.connection_lost = true;
        slot->process.expected = true;
    }
    return true;
}

muster_core *muster_core_restore(const void *saved, size_t saved_bytes, uint64_t term,
                                 muster_error *error)
{
    muster_policy none;
    memset(&none, 0, sizeof none);
    muster_core *core = muster_core_new(0, term, &none);
    if (!core) {
        muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                         "memory ran out for a saved job");
        return NULL;
    }
    muster_stream stream;
    muster_stream_read_begin(&stream, saved, saved_bytes);
    save_stream(&stream, core);
    const char *failure = stream.failure;
    if (!failure && stream.position != stream.byte_count) {
        failure = "it goes on after its end";
    }
    if (!failure) {
        failure = restore_inconsistent(core);
    }
    if (!failure && !restore_slots(core)) {
        failure = "its slots and its members do not fit together";
    }
    if (failure) {
        muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_BYTES, 0,
                         (int64_t)saved_bytes,
                         "the saved job cannot be read: %s (byte %zu of %zu); start without it, "
                         "and the ranks will say what they know",
                         failure, stream.position, stream.byte_count);
        muster_core_free(core);
        return NULL;
    }
    /* Above the saved one in any case: that may be above all that the journal and the wall clock know, since it was
     * raised above what ranks had seen. */
    core->term = term > core->term ? term : core->term + 1;
    core->restored = true;
    core->persist_due = true;
    muster_error_set_ok(error);
    return core;
}
