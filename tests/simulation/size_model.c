/* SPDX-License-Identifier: Apache-2.0 */
#include "size_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "chance.h"
#include "core/core.h"
#include "size_words.h"

#define MS ((int64_t)1000000)
#define SECOND (1000 * MS)
#define NEVER INT64_MAX
#define LAUNCHER_CONNECTIONS ((uint64_t)1 << 32)
#define SIZE_TYPES 128
#define NOTE_BYTES 96  /* without its text */
#define FRAME_BYTES 80 /* of TCP, IP and ZeroMQ around each */
#define LIMIT_NS (600 * SECOND)

const size_machine size_machine_default = {
    .latency_ns = 50000,
    .local_ns = 20000,
    .receive_ns = 12000,
    .message_ns = 3000,
    .send_ns = 12000,
    .gather_ns = MS,
    .release_ns = 2 * MS,
    .connect_ns = 5 * MS,
    .exit_ns = 2 * MS,
    .flush_ns = 2 * MS,
    .disk_bytes_a_ns = 1.0,
    .wire_bytes_a_ns = 1.25,
};

typedef struct size_rank {
    bool dead;
    uint64_t epoch;
} size_rank;

/* Ranks of one connection. */
typedef struct size_group {
    size_frame pending;
    uint64_t flush; /* the number of the FLUSH that counts */
    uint64_t sent_step;
    uint32_t sent_type;
    int64_t sent_arrive_ns;
} size_group;

typedef struct size_model {
    const size_machine *machine;
    sim_chance chance;
    int32_t ranks, hosts, group_size, groups;
    size_rank *all;
    size_group *group;
    muster_core *core;
    muster_core_actions actions;
    int64_t now_ns, next_ns, free_ns, card_ns;
    size_queue queue;
    uint64_t step;
    uint64_t type_step[2 * SIZE_TYPES]; /* sizes by type, and of an AGREED that is a difference */
    size_t type_bytes[2 * SIZE_TYPES];
    size_t said_bytes[SIZE_TYPES];
    uint64_t frames_heard, noted_frame;
    /* what is measured */
    bool counting;
    uint64_t frames, bytes, messages, core_messages;
    double core_ns;
    int64_t verdict_ns, told_ns, established_ns;
    int32_t established;
    uint64_t epoch_heard;
} size_model;

/* ---- the coordinator ---- */

static void coordinator_count(size_model *it, size_t bytes, uint32_t type)
{
    if (it->counting && type != MUSTER_MESSAGE_HEARTBEAT &&
        type != MUSTER_MESSAGE_LAUNCHER_HEARTBEAT) {
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
    bytes += FRAME_BYTES;
    it->free_ns += machine->send_ns;
    it->card_ns = it->card_ns > it->free_ns ? it->card_ns : it->free_ns;
    it->card_ns += (int64_t)((double)bytes / machine->wire_bytes_a_ns);
    coordinator_count(it, bytes, type);
    return it->card_ns + machine->latency_ns;
}

/* What several ranks of a host are told in one moment goes in one frame: the bytes once, and for whom. */
static void coordinator_send(size_model *it, const muster_core_action *action)
{
    const muster_message *message = &action->message;
    if (action->connection >= LAUNCHER_CONNECTIONS) {
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
    size_queue_push(&it->queue,
                    (size_event){.at_ns = of->sent_arrive_ns,
                                 .kind = SIZE_EVENT_HEAR,
                                 .who = to,
                                 .word = {.type = message->type, .epoch = message->epoch}});
}

/* A rank's own goes to the launcher of its host, all else to every launcher. */
static void coordinator_note(size_model *it, const muster_core_action *action)
{
    const muster_note *note = &action->message.u.note;
    size_t bytes = coordinator_bytes(it, action);
    int32_t receivers = it->hosts;
    switch (note->kind) {
    case MUSTER_NOTE_JOINED:
    case MUSTER_NOTE_RELEASED:
    case MUSTER_NOTE_QUIET:
    case MUSTER_NOTE_CONNECTED:
        if (it->group_size > 1 && it->noted_frame == it->frames_heard) {
            it->bytes += it->counting ? bytes : 0; /* with those of the frame's other ranks */
            return;
        }
        it->noted_frame = it->frames_heard;
        receivers = 1;
        break;
    case MUSTER_NOTE_VERDICT:
        it->verdict_ns = it->free_ns;
        break;
    default:
        break;
    }
    for (int32_t i = 0; i < receivers; i++) {
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
    it->free_ns +=
        it->machine->flush_ns + (int64_t)((double)saved_bytes / it->machine->disk_bytes_a_ns);
}

static void coordinator_step(size_model *it, const muster_core_event *what)
{
    struct timespec before;
    struct timespec after;
    it->step++;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    it->next_ns = muster_core_step(it->core, it->free_ns, what, &it->actions);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    it->core_ns +=
        (double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec);
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

static void coordinator_hear(size_model *it, size_frame *came)
{
    muster_holding holdings[4];
    it->free_ns = it->free_ns > it->now_ns ? it->free_ns : it->now_ns;
    it->free_ns += it->machine->receive_ns;
    it->frames_heard++;
    for (int32_t i = 0; i < came->count; i++) {
        muster_message message;
        const size_word *said = &came->words[i];
        size_words_message(it->ranks, said, &message, holdings);
        muster_core_event what = {.kind = MUSTER_CORE_MESSAGE, .message = &message};
        what.connection = said->rank >= 0 ? 1 + (uint64_t)said->rank
                                          : LAUNCHER_CONNECTIONS + (uint64_t)(-said->rank);
        if (said->type ==
            MUSTER_MESSAGE_EXITED) { /* of the host's last rank but one, by a signal */
            message.slot = (-said->rank) * SIZE_RANKS_A_HOST - 2;
            message.u.process.process_id = 1000 + message.slot;
            message.u.process.wait_status = 9;
        }
        it->free_ns += it->machine->message_ns;
        it->core_messages++;
        coordinator_step(it, &what);
    }
    free(came);
}

/* ---- ranks ---- */

static void group_flush(size_model *it, int32_t which)
{
    size_group *of = &it->group[which];
    if (of->pending.count == 0) {
        return;
    }
    size_frame *copy = malloc(sizeof *copy);
    MUSTER_ASSERT(copy);
    *copy = of->pending;
    size_t bytes = FRAME_BYTES;
    for (int32_t i = 0; i < copy->count; i++) {
        muster_message message;
        muster_holding holdings[4];
        size_words_message(it->ranks, &copy->words[i], &message, holdings);
        size_t *known = &it->said_bytes[copy->words[i].type];
        *known = *known ? *known : size_words_bytes(&message); /* all ranks say it alike */
        bytes += *known;
    }
    coordinator_count(it, bytes, copy->words[0].type);
    of->pending.count = 0;
    of->flush++;
    int64_t on_wire_ns = (int64_t)((double)bytes / it->machine->wire_bytes_a_ns);
    size_queue_push(&it->queue,
                    (size_event){.at_ns = it->now_ns + it->machine->latency_ns + on_wire_ns,
                                 .kind = SIZE_EVENT_ARRIVE,
                                 .frame = copy});
}

static int32_t group_living(const size_model *it, int32_t which)
{
    int32_t living = 0;
    for (int32_t i = 0; i < it->group_size; i++) {
        living += !it->all[which * it->group_size + i].dead;
    }
    return living;
}

static void rank_say(size_model *it, const size_word *said)
{
    int32_t which = said->rank / it->group_size;
    size_group *of = &it->group[which];
    of->pending.words[of->pending.count++] = *said;
    if (of->pending.count >= group_living(it, which) || said->type == MUSTER_MESSAGE_EVIDENCE) {
        group_flush(it, which);
    } else if (of->pending.count == 1) {
        size_queue_push(&it->queue, (size_event){.at_ns = it->now_ns + it->machine->gather_ns,
                                                 .kind = SIZE_EVENT_FLUSH,
                                                 .who = which,
                                                 .word = {.epoch = of->flush}});
    }
}

static void rank_will_say(size_model *it, int32_t who, uint32_t type, uint64_t epoch, int64_t at_ns)
{
    size_queue_push(&it->queue,
                    (size_event){.at_ns = at_ns + (it->group_size > 1 ? it->machine->local_ns : 0),
                                 .kind = SIZE_EVENT_SAY,
                                 .who = who,
                                 .word = {.rank = who, .type = type, .epoch = epoch}});
}

static void launcher_say(size_model *it, int32_t host, uint32_t type, int64_t at_ns)
{
    size_frame *alone = calloc(1, sizeof *alone);
    MUSTER_ASSERT(alone);
    alone->count = 1;
    alone->words[0] = (size_word){.rank = -1 - host, .type = type};
    coordinator_count(it, 150 + FRAME_BYTES, type);
    size_queue_push(&it->queue, (size_event){.at_ns = at_ns + it->machine->latency_ns,
                                             .kind = SIZE_EVENT_ARRIVE,
                                             .frame = alone});
}

static void rank_hear(size_model *it, int32_t who, const size_word *heard)
{
    size_rank *one = &it->all[who];
    int64_t release_ns = 0;
    if (one->dead) {
        return;
    }
    switch (heard->type) {
    case MUSTER_MESSAGE_REVOKE:
        it->told_ns = it->now_ns;
        release_ns =
            sim_chance_between(&it->chance, it->machine->release_ns / 10, it->machine->release_ns);
        rank_will_say(it, who, MUSTER_MESSAGE_QUIET, heard->epoch, it->now_ns + release_ns);
        return;
    case MUSTER_MESSAGE_AGREED:
        one->epoch = heard->epoch;
        rank_will_say(it, who, MUSTER_MESSAGE_CONNECTED, heard->epoch,
                      it->now_ns + it->machine->connect_ns);
        return;
    case MUSTER_MESSAGE_ESTABLISHED:
        if (heard->epoch != it->epoch_heard) {
            it->epoch_heard = heard->epoch;
            it->established = 0;
        }
        it->established++;
        it->established_ns = it->now_ns;
        return;
    default:
        return;
    }
}

static void group_beat(size_model *it, int32_t which)
{
    if (group_living(it, which) == 0) {
        return;
    }
    size_frame *beats = calloc(1, sizeof *beats);
    MUSTER_ASSERT(beats);
    for (int32_t i = 0; i < it->group_size; i++) {
        int32_t who = which * it->group_size + i;
        if (!it->all[who].dead) {
            beats->words[beats->count++] = (size_word){
                .rank = who, .type = MUSTER_MESSAGE_HEARTBEAT, .epoch = it->all[who].epoch};
        }
    }
    size_queue_push(&it->queue, (size_event){.at_ns = it->now_ns + it->machine->latency_ns,
                                             .kind = SIZE_EVENT_ARRIVE,
                                             .frame = beats});
    size_queue_push(
        &it->queue,
        (size_event){.at_ns = it->now_ns + SECOND, .kind = SIZE_EVENT_BEAT, .who = which});
}

/* ---- running ---- */

static void model_event(size_model *it, size_event *what)
{
    switch (what->kind) {
    case SIZE_EVENT_BEAT:
        if (what->who < it->groups) {
            group_beat(it, what->who);
        } else if (!it->all[(what->who - it->groups) * SIZE_RANKS_A_HOST].dead) {
            launcher_say(it, what->who - it->groups, MUSTER_MESSAGE_LAUNCHER_HEARTBEAT, it->now_ns);
            size_queue_push(&it->queue, (size_event){.at_ns = it->now_ns + SECOND,
                                                     .kind = SIZE_EVENT_BEAT,
                                                     .who = what->who});
        }
        return;
    case SIZE_EVENT_SAY:
        if (!it->all[what->who].dead) {
            rank_say(it, &what->word);
        }
        return;
    case SIZE_EVENT_FLUSH:
        if (it->group[what->who].flush == what->word.epoch) {
            group_flush(it, what->who);
        }
        return;
    case SIZE_EVENT_ARRIVE:
        coordinator_hear(it, what->frame);
        return;
    case SIZE_EVENT_HEAR:
        rank_hear(it, what->who, &what->word);
        return;
    }
}

/* Until so many ranks have heard that this epoch is established, or the time is over. */
static bool model_run(size_model *it, uint64_t epoch, int32_t ranks, int64_t until_ns)
{
    while (it->epoch_heard < epoch || it->established < ranks) {
        int64_t event_ns = it->queue.count > 0 ? it->queue.heap[0].at_ns : NEVER;
        int64_t tick_ns = it->next_ns > it->free_ns ? it->next_ns : it->free_ns;
        it->now_ns = event_ns < tick_ns ? event_ns : tick_ns;
        if (it->now_ns >= until_ns) {
            return false;
        }
        if (it->now_ns == event_ns) {
            size_event what = size_queue_pop(&it->queue);
            model_event(it, &what);
        } else {
            const muster_core_event tick = {.kind = MUSTER_CORE_TICK};
            it->free_ns = it->now_ns;
            coordinator_step(it, &tick);
        }
    }
    return true;
}

static void model_begin_loss(size_model *it)
{
    it->counting = true;
    it->frames = 0;
    it->bytes = 0;
}

static size_loss model_end_loss(size_model *it, int64_t began_ns)
{
    it->counting = false;
    return (size_loss){
        .detect_ms = (double)(it->verdict_ns - began_ns) / 1e6,
        .told_ms = (double)(it->told_ns - it->verdict_ns) / 1e6,
        .rebuilt_ms = (double)(it->established_ns - it->told_ns) / 1e6,
        .frames = (double)it->frames / it->ranks,
        .bytes = (double)it->bytes / it->ranks,
    };
}

static bool model_form(size_model *it, size_result *result)
{
    /* Of the launchers those have something to say whose ranks are lost: the first and the last. */
    for (int32_t host = 0; host < it->hosts;
         host += host == 0 && it->hosts > 1 ? it->hosts - 1 : 1) {
        int64_t at_ns = sim_chance_between(&it->chance, 0, 100 * MS);
        launcher_say(it, host, MUSTER_MESSAGE_LAUNCHER_JOIN, at_ns);
        size_queue_push(&it->queue, (size_event){.at_ns = at_ns + SECOND,
                                                 .kind = SIZE_EVENT_BEAT,
                                                 .who = it->groups + host});
    }
    for (int32_t who = 0; who < it->ranks; who++) {
        rank_will_say(it, who, MUSTER_MESSAGE_JOIN, 0,
                      200 * MS + sim_chance_between(&it->chance, 0, 800 * MS));
    }
    for (int32_t which = 0; which < it->groups; which++) {
        size_queue_push(&it->queue,
                        (size_event){.at_ns = sim_chance_between(&it->chance, SECOND, 2 * SECOND),
                                     .kind = SIZE_EVENT_BEAT,
                                     .who = which});
    }
    bool formed = model_run(it, 1, it->ranks, LIMIT_NS);
    result->formed_ms = (double)it->established_ns / 1e6;
    return formed;
}

/* The last rank but one of the first host; the one behind it sees that first. */
static bool model_kill(size_model *it, size_result *result)
{
    int64_t at_ns = it->now_ns + 3 * SECOND;
    if (model_run(it, 2, 1, at_ns)) {
        return false; /* nothing was lost yet */
    }
    it->now_ns = at_ns;
    model_begin_loss(it);
    it->all[SIZE_RANKS_A_HOST - 2].dead = true;
    rank_will_say(it, SIZE_RANKS_A_HOST - 1, MUSTER_MESSAGE_EVIDENCE, 1, at_ns + MS / 10);
    launcher_say(it, 0, MUSTER_MESSAGE_EXITED, at_ns + it->machine->exit_ns);
    bool rebuilt = model_run(it, 2, it->ranks - 1, at_ns + LIMIT_NS);
    result->killed = model_end_loss(it, at_ns);
    return rebuilt;
}

static bool model_vanish(size_model *it, size_result *result)
{
    int64_t at_ns = it->now_ns + 3 * SECOND;
    if (it->hosts == 1) {
        return true;
    }
    (void)model_run(it, UINT64_MAX, 1, at_ns);
    it->now_ns = at_ns;
    model_begin_loss(it);
    for (int32_t i = 0; i < SIZE_RANKS_A_HOST; i++) {
        it->all[(it->hosts - 1) * SIZE_RANKS_A_HOST + i].dead = true;
    }
    bool rebuilt = model_run(it, 3, it->ranks - 1 - SIZE_RANKS_A_HOST, at_ns + LIMIT_NS);
    result->vanished = model_end_loss(it, at_ns);
    return rebuilt;
}

static void model_clean_up(size_model *it)
{
    for (size_t i = 0; i < it->queue.count; i++) {
        free(it->queue.heap[i].kind == SIZE_EVENT_ARRIVE ? it->queue.heap[i].frame : NULL);
    }
    free(it->queue.heap);
    free(it->all);
    free(it->group);
    muster_core_actions_clean_up(&it->actions);
    muster_core_free(it->core);
}

/* What one connection's heartbeats cost in a second, and their bytes. */
static double model_heartbeats(const size_model *it, double *bytes)
{
    muster_message message;
    const size_word beat = {.rank = 0, .type = MUSTER_MESSAGE_HEARTBEAT};
    size_words_message(it->ranks, &beat, &message, NULL);
    *bytes = (double)size_words_bytes(&message) + (double)FRAME_BYTES / it->group_size;
    int64_t frames_ns = it->machine->receive_ns * (it->groups + it->hosts);
    return (double)(frames_ns + it->machine->message_ns * it->ranks) / (double)SECOND;
}

bool size_model_run(const size_machine *machine, int32_t ranks, bool aggregated,
                    size_result *result)
{
    muster_policy policy;
    size_model it = {.machine = machine,
                     .ranks = ranks,
                     .hosts = ranks / SIZE_RANKS_A_HOST,
                     .group_size = aggregated ? SIZE_RANKS_A_HOST : 1,
                     .next_ns = NEVER};
    MUSTER_ASSERT(ranks % SIZE_RANKS_A_HOST == 0 && ranks <= MUSTER_SLOTS_MAX);
    it.groups = ranks / it.group_size;
    it.chance.state = (uint64_t)ranks;
    it.all = calloc((size_t)ranks, sizeof *it.all);
    it.group = calloc((size_t)it.groups, sizeof *it.group);
    muster_core_actions_init(&it.actions);
    size_words_policy(ranks, &policy);
    it.core = muster_core_new(SIZE_JOB, SIZE_TERM, &policy);
    MUSTER_ASSERT(it.all && it.group && it.core);
    *result = (size_result){.ranks = ranks, .hosts = it.hosts, .aggregated = aggregated};
    result->busy = model_heartbeats(&it, &result->heartbeat_bytes);
    result->feasible = result->busy < 0.8;
    bool went_well = true;
    if (result->feasible) {
        went_well = model_form(&it, result) && model_kill(&it, result) && model_vanish(&it, result);
        result->core_us = it.core_ns / 1e3 / (double)(it.core_messages + 1);
    }
    if (!went_well) {
        fprintf(stderr, "size: %d ranks, %s: the job is %s in epoch %llu after %.1f s\n", ranks,
                aggregated ? "aggregated" : "direct", muster_core_state_text(it.core),
                (unsigned long long)muster_core_epoch(it.core), (double)it.now_ns / 1e9);
    }
    model_clean_up(&it);
    return went_well;
}
