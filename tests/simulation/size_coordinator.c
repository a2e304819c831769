/* SPDX-License-Identifier: Apache-2.0 */
/* One thread, one card, one disk, and the real core. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "size_state.h"
#include "size_words.h"

#define NOTE_BYTES 96 /* without its text */

static bool coordinator_beat(uint32_t type)
{
    return type == MUSTER_MESSAGE_HEARTBEAT || type == MUSTER_MESSAGE_LAUNCHER_HEARTBEAT;
}

/* Its one thread is busy. type: of what it is busy with. */
static void coordinator_work(size_model *it, int64_t busy_ns, uint32_t type)
{
    it->free_ns += busy_ns;
    it->work_ns += it->counting && !coordinator_beat(type) ? busy_ns : 0;
}

void size_coordinator_count(size_model *it, size_t bytes, uint32_t type)
{
    if (it->counting && !coordinator_beat(type)) {
        it->frames++;
        it->bytes += bytes;
    }
}

/* Encoded once for each type and step (of an AGREED, and epoch): they are of one size, but for texts. */
static size_t coordinator_bytes(size_model *it, const muster_core_action *action)
{
    const muster_message *message = &action->message;
    bool base = message->type == MUSTER_MESSAGE_AGREED && message->u.agreed.base_epoch != 0;
    size_t at = message->type + (base ? SIZE_TYPES : 0);
    MUSTER_ASSERT(message->type < SIZE_TYPES);
    if (message->type == MUSTER_MESSAGE_NOTE) {
        return NOTE_BYTES + strlen(message->u.note.text);
    }
    if (message->type == MUSTER_MESSAGE_AGREED && message->epoch == 1) {
        return 0; /* forming is not what is measured: all members to all, as if through a tree */
    }
    uint64_t of = message->type == MUSTER_MESSAGE_AGREED ? message->epoch : it->step;
    if (it->type_step[at] != of) {
        it->type_step[at] = of;
        it->type_bytes[at] = size_words_bytes(message);
    }
    return it->type_bytes[at];
}

/* When the frame is at the other end. */
static int64_t coordinator_put(size_model *it, size_t bytes, uint32_t type)
{
    const size_machine *machine = it->machine;
    bytes += SIZE_FRAME_BYTES;
    coordinator_work(it, machine->send_ns, type);
    it->card_ns = it->card_ns > it->free_ns ? it->card_ns : it->free_ns;
    it->card_ns += (int64_t)((double)bytes / machine->wire_bytes_a_ns);
    size_coordinator_count(it, bytes, type);
    return it->card_ns + machine->latency_ns;
}

/* What several ranks of a host are told in one moment goes in one frame: the bytes once, and for whom. */
static void coordinator_send(size_model *it, const muster_core_action *action)
{
    const muster_message *message = &action->message;
    if (action->connection >= SIZE_LAUNCHER_CONNECTIONS) {
        (void)coordinator_put(it, coordinator_bytes(it, action), message->type);
        return;
    }
    int32_t to = (int32_t)action->connection - 1;
    size_group *of = &it->group[to / it->group_size];
    if (it->group_size > 1 && of->sent_step == it->step && of->sent_type == message->type) {
        of->sent_arrive_ns += 2000; /* its agent hands on one after the other */
    } else {
        of->sent_arrive_ns = coordinator_put(it, coordinator_bytes(it, action), message->type) +
                             (it->group_size > 1 ? it->machine->local_ns : 0);
        of->sent_step = it->step;
        of->sent_type = message->type;
    }
    size_queue_push(&it->queue, (size_event){.at_ns = of->sent_arrive_ns,
                                             .kind = SIZE_EVENT_HEAR,
                                             .who = to,
                                             .word = {.type = message->type,
                                                      .slot = message->slot,
                                                      .incarnation = message->incarnation,
                                                      .epoch = message->epoch}});
}

/* What one launcher alone is told goes in one frame with the same of others of its host, where those came in
 * one frame. */
static void coordinator_note(size_model *it, const muster_core_action *action)
{
    size_t bytes = coordinator_bytes(it, action);
    if (action->message.u.note.kind == MUSTER_NOTE_VERDICT) {
        it->verdict_ns = it->free_ns;
    }
    if (action->connection == 0) {
        for (int32_t i = 0; i < it->hosts; i++) {
            (void)coordinator_put(it, bytes, MUSTER_MESSAGE_NOTE);
        }
    } else if (it->group_size > 1 && it->noted_frame == it->frames_heard) {
        it->bytes += it->counting ? bytes : 0;
    } else {
        it->noted_frame = it->frames_heard;
        (void)coordinator_put(it, bytes, MUSTER_MESSAGE_NOTE);
    }
}

static void coordinator_persist(size_model *it)
{
    void *saved = NULL;
    size_t saved_bytes = 0;
    muster_status status = muster_core_save(it->core, &saved, &saved_bytes);
    MUSTER_ASSERT(status == MUSTER_OK);
    free(saved);
    int64_t written_ns = (int64_t)((double)saved_bytes / it->machine->disk_bytes_a_ns);
    coordinator_work(it, it->machine->flush_ns + written_ns, MUSTER_MESSAGE_NOTE);
}

static void coordinator_step(size_model *it, const muster_core_event *what)
{
    struct timespec before;
    struct timespec after;
    it->step++;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    it->next_ns = muster_core_step(it->core, it->free_ns, what, &it->actions);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    double took_ns =
        (double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec);
    it->core_ns += took_ns;
    it->core_worst_ns = took_ns > it->core_worst_ns ? took_ns : it->core_worst_ns;
    for (size_t i = 0; i < it->actions.count; i++) {
        const muster_core_action *action = &it->actions.items[i];
        if (action->kind == MUSTER_CORE_SEND) {
            coordinator_send(it, action);
        } else if (action->kind == MUSTER_CORE_NOTE) {
            coordinator_note(it, action);
        } else if (action->kind == MUSTER_CORE_PERSIST) {
            coordinator_persist(it);
        }
    }
    muster_core_actions_clear(&it->actions);
}

void size_coordinator_hear(size_model *it, size_frame *came)
{
    muster_holding holdings[4];
    it->free_ns = it->free_ns > it->now_ns ? it->free_ns : it->now_ns;
    coordinator_work(it, it->machine->receive_ns, came->words[0].type);
    it->frames_heard++;
    for (int32_t i = 0; i < came->count; i++) {
        muster_message message;
        const size_word *said = &came->words[i];
        size_words_message(it->ranks, said, &message, holdings);
        muster_core_event what = {.kind = MUSTER_CORE_MESSAGE, .message = &message};
        what.connection = said->rank >= 0 ? 1 + (uint64_t)said->rank
                                          : SIZE_LAUNCHER_CONNECTIONS + (uint64_t)(-said->rank);
        coordinator_work(it, it->machine->message_ns, said->type);
        it->core_messages++;
        coordinator_step(it, &what);
    }
    free(came);
}

void size_coordinator_tick(size_model *it)
{
    const muster_core_event tick = {.kind = MUSTER_CORE_TICK};
    it->free_ns = it->now_ns;
    coordinator_step(it, &tick);
}
