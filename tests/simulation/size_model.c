/* SPDX-License-Identifier: Apache-2.0 */
#include "size_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "size_state.h"
#include "size_words.h"

#define MS ((int64_t)1000000)
#define SECOND (1000 * MS)
#define NEVER INT64_MAX
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
    size_t bytes = SIZE_FRAME_BYTES;
    for (int32_t i = 0; i < copy->count; i++) {
        muster_message message;
        muster_holding holdings[4];
        size_words_message(it->ranks, &copy->words[i], &message, holdings);
        size_t *known = &it->said_bytes[copy->words[i].type];
        *known = *known ? *known : size_words_bytes(&message); /* all ranks say it alike */
        bytes += *known;
    }
    size_coordinator_count(it, bytes, copy->words[0].type);
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

static void launcher_say(size_model *it, int32_t host, uint32_t type, int32_t slot, int64_t at_ns)
{
    size_frame *alone = calloc(1, sizeof *alone);
    MUSTER_ASSERT(alone);
    alone->count = 1;
    alone->words[0] = (size_word){.rank = -1 - host, .type = type, .slot = slot};
    size_coordinator_count(it, 150 + SIZE_FRAME_BYTES, type);
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
        one->slot = heard->slot;
        one->incarnation = heard->incarnation;
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
            beats->words[beats->count++] = (size_word){.rank = who,
                                                       .type = MUSTER_MESSAGE_HEARTBEAT,
                                                       .slot = it->all[who].slot,
                                                       .incarnation = it->all[who].incarnation,
                                                       .epoch = it->all[who].epoch};
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
            launcher_say(it, what->who - it->groups, MUSTER_MESSAGE_LAUNCHER_HEARTBEAT, 0,
                         it->now_ns);
            size_queue_push(&it->queue, (size_event){.at_ns = it->now_ns + SECOND,
                                                     .kind = SIZE_EVENT_BEAT,
                                                     .who = what->who});
        }
        return;
    case SIZE_EVENT_SAY:
        if (!it->all[what->who].dead) {
            what->word.slot = it->all[what->who].slot;
            what->word.incarnation = it->all[what->who].incarnation;
            rank_say(it, &what->word);
        }
        return;
    case SIZE_EVENT_FLUSH:
        if (it->group[what->who].flush == what->word.epoch) {
            group_flush(it, what->who);
        }
        return;
    case SIZE_EVENT_ARRIVE:
        size_coordinator_hear(it, what->frame);
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
            size_coordinator_tick(it);
        }
    }
    return true;
}

static void model_begin_loss(size_model *it)
{
    it->counting = true;
    it->frames = 0;
    it->bytes = 0;
    it->work_ns = 0;
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
        .work_us = (double)it->work_ns / 1e3 / it->ranks,
    };
}

static bool model_form(size_model *it, size_result *result)
{
    for (int32_t host = 0; host < it->hosts; host++) {
        int64_t at_ns = sim_chance_between(&it->chance, 0, 100 * MS);
        launcher_say(it, host, MUSTER_MESSAGE_LAUNCHER_JOIN, 0, at_ns);
        size_queue_push(&it->queue, (size_event){.at_ns = at_ns + SECOND,
                                                 .kind = SIZE_EVENT_BEAT,
                                                 .who = it->groups + host});
    }
    for (int32_t who = 0; who <= it->ranks; who++) {
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

/* Three seconds, and until the coordinator has no more to do than heartbeats. False: it never has. */
static bool model_idle(size_model *it)
{
    int64_t until_ns = it->now_ns + 3 * SECOND;
    const int64_t limit_ns = it->now_ns + LIMIT_NS;
    do {
        (void)model_run(it, UINT64_MAX, 1, until_ns);
        it->now_ns = until_ns;
        until_ns += SECOND / 10;
    } while (it->free_ns > it->now_ns + MS && it->now_ns < limit_ns);
    return it->free_ns <= it->now_ns + MS;
}

/* A rank of the first host; the one behind it sees that first. */
static bool model_kill(size_model *it, int32_t slot, int32_t remaining, size_loss *loss)
{
    const uint64_t epoch = muster_core_epoch(it->core);
    if (!model_idle(it) || muster_core_epoch(it->core) != epoch) {
        return false; /* nothing was lost yet */
    }
    int64_t at_ns = it->now_ns;
    model_begin_loss(it);
    it->all[slot].dead = true;
    rank_will_say(it, slot + 1, MUSTER_MESSAGE_EVIDENCE, epoch, at_ns + MS / 10);
    launcher_say(it, 0, MUSTER_MESSAGE_EXITED, slot, at_ns + it->machine->exit_ns);
    bool rebuilt = model_run(it, epoch + 1, remaining, at_ns + LIMIT_NS);
    *loss = model_end_loss(it, at_ns);
    return rebuilt;
}

static bool model_vanish(size_model *it, int32_t remaining, size_loss *loss)
{
    const uint64_t epoch = muster_core_epoch(it->core);
    const int32_t host = it->ranks / SIZE_RANKS_A_HOST - 1;
    if (host == 0) {
        return true;
    }
    if (!model_idle(it) || muster_core_epoch(it->core) != epoch) {
        return false;
    }
    int64_t at_ns = it->now_ns;
    model_begin_loss(it);
    for (int32_t i = 0; i < SIZE_RANKS_A_HOST; i++) {
        it->all[host * SIZE_RANKS_A_HOST + i].dead = true;
    }
    bool rebuilt = model_run(it, epoch + 1, remaining, at_ns + LIMIT_NS);
    *loss = model_end_loss(it, at_ns);
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
    *bytes = (double)size_words_bytes(&message) + (double)SIZE_FRAME_BYTES / it->group_size;
    int64_t frames_ns = it->machine->receive_ns * (it->groups + it->hosts);
    int64_t messages_ns = it->machine->message_ns * (it->ranks + it->hosts);
    return (double)(frames_ns + messages_ns) / (double)SECOND;
}

bool size_model_run(const size_machine *machine, int32_t ranks, bool aggregated,
                    size_result *result)
{
    muster_policy policy;
    size_model it = {.machine = machine,
                     .ranks = ranks,
                     .hosts = ranks / SIZE_RANKS_A_HOST + 1,
                     .group_size = aggregated ? SIZE_RANKS_A_HOST : 1,
                     .next_ns = NEVER};
    MUSTER_ASSERT(ranks % SIZE_RANKS_A_HOST == 0 && ranks <= MUSTER_SLOTS_MAX);
    it.groups = ranks / it.group_size + 1;
    it.chance.state = (uint64_t)ranks;
    it.all = calloc((size_t)ranks + SIZE_RANKS_A_HOST, sizeof *it.all);
    it.group = calloc((size_t)it.groups, sizeof *it.group);
    muster_core_actions_init(&it.actions);
    size_words_policy(ranks, &policy);
    it.core = muster_core_new(SIZE_JOB, SIZE_TERM, &policy);
    MUSTER_ASSERT(it.all && it.group && it.core);
    for (int32_t i = 0; i < ranks + SIZE_RANKS_A_HOST; i++) {
        it.all[i].slot = i < ranks ? i : MUSTER_SLOT_SPARE_WIRE;
        it.all[i].dead = i > ranks;
    }
    *result = (size_result){.ranks = ranks, .hosts = it.hosts - 1, .aggregated = aggregated};
    result->busy = model_heartbeats(&it, &result->heartbeat_bytes);
    result->feasible = result->busy < 0.8;
    bool went_well = true;
    if (result->feasible) {
        went_well = model_form(&it, result) && model_kill(&it, 6, ranks, &result->replaced) &&
                    model_kill(&it, 4, ranks - 1, &result->shrunk) &&
                    model_vanish(&it, ranks - 1 - SIZE_RANKS_A_HOST, &result->vanished);
        result->core_us = it.core_ns / 1e3 / (double)(it.core_messages + 1);
        result->core_worst_ms = it.core_worst_ns / 1e6;
    }
    if (!went_well) {
        fprintf(stderr, "size: %d ranks, %s: the job is %s in epoch %llu after %.1f s\n", ranks,
                aggregated ? "aggregated" : "direct", muster_core_state_text(it.core),
                (unsigned long long)muster_core_epoch(it.core), (double)it.now_ns / 1e9);
    }
    model_clean_up(&it);
    return went_well;
}
