/* SPDX-License-Identifier: Apache-2.0 */
/* Random sequences of events against what must always hold, whatever ranks, launchers and clocks do:
 *
 *   - epoch numbers only grow, and one number never names two memberships
 *   - an AGREED lists each slot once, ascending, and not fewer than the minimum
 *   - an incarnation that got a verdict is in no later epoch
 *   - no epoch is agreed before each of its survivors was quiet in the last one
 *   - a number is durable before anyone hears it
 *   - nothing is agreed after the end; the next deadline lies ahead
 *
 * MUSTER_TEST_SEED repeats a run. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <muster/version.h>

#include "core/core.h"

#define JOB 3u
#define SLOTS_MAX 6
#define PROCESSES_MAX 400
#define EPOCHS_MAX 400
#define SEQUENCES 3000
#define EVENTS 300
#define NS_PER_MS ((int64_t)1000000)
#define LAUNCHER_CONNECTION 1u

typedef struct process {
    muster_connection connection;
    int32_t slot;
    uint32_t incarnation;
    int32_t process_id;
    uint64_t epoch; /* it has heard of */
    uint64_t quiet_epoch;
    uint64_t term;
    bool exited;
} process;

typedef struct membership {
    int32_t count;
    uint32_t incarnations[SLOTS_MAX]; /* by slot; UINT32_MAX: not a member */
} membership;

typedef struct world {
    uint64_t random;
    muster_core *core;
    muster_policy policy;
    int64_t now_ns;
    process processes[PROCESSES_MAX];
    int process_count;
    membership epochs[EPOCHS_MAX];
    uint64_t last_epoch;
    uint32_t fenced[SLOTS_MAX]; /* incarnations below are */
    bool ended;
    bool left[SLOTS_MAX];
    muster_connection last_connection;
    void *saved;
    size_t saved_bytes;
    uint64_t agreed_count, verdict_count;
} world;

static uint64_t roll(world *it, uint64_t sides)
{
    uint64_t mixed = (it->random += 0x9e3779b97f4a7c15u);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return (mixed ^ (mixed >> 31)) % sides;
}

static process *process_by_connection(world *it, muster_connection connection)
{
    for (int i = 0; i < it->process_count; i++) {
        if (it->processes[i].connection == connection) {
            return &it->processes[i];
        }
    }
    return NULL;
}

static void check_new_epoch(world *it, const muster_message *agreed, bool persisted)
{
    const membership *last = &it->epochs[it->last_epoch];
    membership *now = &it->epochs[agreed->epoch];
    assert_true(agreed->epoch > it->last_epoch);
    assert_int_equal(agreed->epoch, muster_core_epoch(it->core));
    assert_true(persisted);
    now->count = agreed->u.agreed.member_count;
    for (int32_t slot = 0; slot < SLOTS_MAX; slot++) {
        now->incarnations[slot] = UINT32_MAX;
    }
    int32_t minimum = it->policy.min_ranks;
    assert_true(now->count >= minimum);
    int32_t before = -1;
    for (int32_t i = 0; i < now->count; i++) {
        const muster_member *member = &agreed->u.agreed.members[i];
        assert_true(member->slot > before && member->slot < it->policy.slot_count);
        before = member->slot;
        assert_true(member->incarnation >= it->fenced[member->slot]);
        now->incarnations[member->slot] = member->incarnation;
        if (it->last_epoch > 0 && last->incarnations[member->slot] == member->incarnation) {
            bool quiet = false;
            for (int k = 0; k < it->process_count; k++) {
                quiet = quiet || (it->processes[k].slot == member->slot &&
                                  it->processes[k].incarnation == member->incarnation &&
                                  it->processes[k].quiet_epoch == it->last_epoch);
            }
            assert_true(quiet);
        }
    }
    it->last_epoch = agreed->epoch;
    it->agreed_count++;
}

static void check_known_epoch(world *it, const muster_message *agreed)
{
    const membership *known = &it->epochs[agreed->epoch];
    assert_int_equal(known->count, agreed->u.agreed.member_count);
    for (int32_t i = 0; i < known->count; i++) {
        const muster_member *member = &agreed->u.agreed.members[i];
        assert_int_equal(known->incarnations[member->slot], member->incarnation);
    }
}

static void hear(world *it, const muster_core_action *action)
{
    process *to = process_by_connection(it, action->connection);
    const muster_message *message = &action->message;
    if (!to) {
        return;
    }
    to->term = message->term;
    if (message->type == MUSTER_MESSAGE_WELCOME || message->type == MUSTER_MESSAGE_AGREED) {
        if (message->slot >= 0) {
            to->slot = message->slot;
            to->incarnation = message->incarnation;
        }
    }
    if (message->type == MUSTER_MESSAGE_AGREED && message->epoch > to->epoch) {
        to->epoch = message->epoch;
    }
}

static void print_action(const world *it, const muster_core_action *action)
{
    const muster_message *message = &action->message;
    print_message("%8lldms %d %s %d.%u epoch %llu %s\n", (long long)(it->now_ns / NS_PER_MS),
                  action->kind, muster_message_type_text(message->type), message->slot,
                  message->incarnation, (unsigned long long)message->epoch,
                  message->type == MUSTER_MESSAGE_NOTE ? message->u.note.text : "");
}

static void turn(world *it, const muster_core_event *event)
{
    muster_core_actions actions;
    muster_core_actions_init(&actions);
    uint64_t epoch_before = muster_core_epoch(it->core);
    int64_t next_ns = muster_core_step(it->core, it->now_ns, event, &actions);
    assert_true(next_ns > it->now_ns);
    assert_true(muster_core_epoch(it->core) >= epoch_before);
    bool persisted = false;
    for (size_t i = 0; i < actions.count; i++) {
        const muster_core_action *action = &actions.items[i];
        if (getenv("MUSTER_TEST_VERBOSE")) {
            print_action(it, action);
        }
        switch (action->kind) {
        case MUSTER_CORE_PERSIST:
            persisted = true;
            break;
        case MUSTER_CORE_END:
            assert_false(it->ended);
            it->ended = true;
            break;
        case MUSTER_CORE_NOTE:
            if (action->message.u.note.kind == MUSTER_NOTE_VERDICT) {
                it->fenced[action->message.u.note.slot] = action->message.u.note.incarnation + 1;
                it->verdict_count++;
            }
            break;
        case MUSTER_CORE_SEND:
            if (action->message.type == MUSTER_MESSAGE_AGREED) {
                assert_false(it->ended);
                if (action->message.epoch == it->last_epoch) {
                    check_known_epoch(it, &action->message);
                } else {
                    check_new_epoch(it, &action->message, persisted);
                }
            }
            hear(it, action);
            break;
        }
    }
    muster_core_actions_clean_up(&actions);
    if (persisted) {
        free(it->saved);
        assert_int_equal(muster_core_save(it->core, &it->saved, &it->saved_bytes), MUSTER_OK);
    }
}

static void say(world *it, muster_connection connection, muster_message *message)
{
    message->job = JOB;
    turn(it, &(muster_core_event){
                 .kind = MUSTER_CORE_MESSAGE, .connection = connection, .message = message});
}

static void say_from(world *it, const process *from, muster_message *message)
{
    message->slot = from->slot;
    message->incarnation = from->incarnation;
    message->term = from->term;
    if (message->epoch == 0) {
        message->epoch = from->epoch;
    }
    say(it, from->connection, message);
}

/* ---- events ---- */

static process *any_process(world *it)
{
    return it->process_count ? &it->processes[roll(it, (uint64_t)it->process_count)] : NULL;
}

/* Mostly one that is the latest of its slot. */
static process *some_process(world *it)
{
    process *picked = any_process(it);
    for (int tries = 0; picked && picked->exited && tries < 8; tries++) {
        picked = any_process(it);
    }
    return picked;
}

static void event_launcher(world *it)
{
    muster_message message = {.type = MUSTER_MESSAGE_LAUNCHER_JOIN, .slot = MUSTER_SLOT_NONE};
    message.u.launcher_join.process_id = 1;
    message.u.launcher_join.host = 1;
    message.u.launcher_join.first_slot = 0;
    message.u.launcher_join.slot_count = it->policy.slot_count - (int32_t)(it->random & 1);
    message.u.launcher_join.spare_count = 1;
    message.u.launcher_join.policy = it->policy;
    say(it, LAUNCHER_CONNECTION, &message);
}

static void event_join(world *it)
{
    if (it->process_count == PROCESSES_MAX) {
        return;
    }
    process *joiner = &it->processes[it->process_count++];
    memset(joiner, 0, sizeof *joiner);
    joiner->connection = ++it->last_connection;
    joiner->process_id = 100 + it->process_count;
    joiner->slot = roll(it, 12) == 0 ? MUSTER_SLOT_SPARE_WIRE
                                     : (int32_t)roll(it, (uint64_t)it->policy.slot_count);
    joiner->incarnation = UINT32_MAX;
    if (joiner->slot >= 0 && roll(it, 2)) {
        joiner->incarnation = it->fenced[joiner->slot] + (uint32_t)roll(it, 2);
    }
    muster_message message = {.type = MUSTER_MESSAGE_JOIN};
    message.u.join.library_version = MUSTER_VERSION;
    message.u.join.slot_count = it->policy.slot_count;
    message.u.join.process_id = joiner->process_id;
    message.u.join.host = 1;
    say_from(it, joiner, &message);
}

static void event_rejoin(world *it)
{
    process *back = some_process(it);
    if (!back) {
        return;
    }
    muster_member members[SLOTS_MAX];
    muster_message message = {.type = MUSTER_MESSAGE_JOIN};
    message.u.join.library_version = MUSTER_VERSION;
    message.u.join.slot_count = it->policy.slot_count;
    message.u.join.process_id = back->process_id;
    message.u.join.host = 1;
    message.u.join.rejoin = true;
    message.u.join.revoked = roll(it, 4) == 0;
    message.u.join.epoch_term = UINT64_MAX; /* of this job, and not of an earlier one of its name */
    message.u.join.members = members;
    const membership *known = &it->epochs[back->epoch];
    for (int32_t slot = 0; back->epoch > 0 && slot < SLOTS_MAX; slot++) {
        if (known->incarnations[slot] != UINT32_MAX) {
            members[message.u.join.member_count++] =
                (muster_member){.slot = slot, .incarnation = known->incarnations[slot]};
        }
    }
    back->connection = ++it->last_connection;
    say_from(it, back, &message);
}

static void event_quiet(world *it)
{
    process *quiet = some_process(it);
    if (!quiet) {
        return;
    }
    muster_holding holdings[2] = {
        {.slot = quiet->slot, .epoch = quiet->epoch, .step = roll(it, 3), .committed = true},
        {.slot = (int32_t)roll(it, SLOTS_MAX), .epoch = quiet->epoch, .mirror = true}};
    muster_message message = {.type = MUSTER_MESSAGE_QUIET};
    message.u.quiet.holding_count = (int32_t)roll(it, 3);
    message.u.quiet.holdings = holdings;
    quiet->quiet_epoch = quiet->epoch;
    say_from(it, quiet, &message);
}

static void event_exited(world *it)
{
    process *dead = some_process(it);
    if (!dead) {
        return;
    }
    dead->exited = true;
    muster_message message = {.type = MUSTER_MESSAGE_EXITED, .slot = dead->slot};
    message.incarnation = dead->incarnation;
    message.u.process.process_id = dead->process_id;
    message.u.process.wait_status = 9;
    say(it, LAUNCHER_CONNECTION, &message);
}

static void event_evidence(world *it)
{
    const process *from = some_process(it);
    const process *accused = some_process(it);
    if (!from) {
        return;
    }
    muster_message message = {.type = MUSTER_MESSAGE_EVIDENCE};
    message.u.evidence.evidence = (uint32_t)roll(it, 10);
    message.u.evidence.accused_slot = accused->slot;
    message.u.evidence.accused_incarnation = accused->incarnation;
    say_from(it, from, &message);
}

static void event_simple(world *it, uint32_t type)
{
    const process *from = some_process(it);
    if (!from) {
        return;
    }
    muster_message message = {.type = type};
    if (type == MUSTER_MESSAGE_HEARTBEAT) {
        message.u.heartbeat.activity.waiting = roll(it, 2) == 0;
        message.u.heartbeat.activity.sequence = roll(it, 2);
    } else if (type == MUSTER_MESSAGE_COMMITTED) {
        message.u.committed.step = roll(it, 10);
    }
    say_from(it, from, &message);
}

static void event_lost(world *it)
{
    const process *from = some_process(it);
    if (from) {
        turn(it, &(muster_core_event){.kind = MUSTER_CORE_CONNECTION_LOST,
                                      .connection =
                                          roll(it, 10) ? from->connection : LAUNCHER_CONNECTION});
    }
}

static void event_time(world *it)
{
    static const int64_t leaps_ms[] = {1, 10, 100, 400, 1000, 2400, 2500, 70000};
    int64_t until = it->now_ns + leaps_ms[roll(it, 8)] * NS_PER_MS;
    /* All alive say so meanwhile, or nobody does. */
    bool beating = roll(it, 4) != 0;
    for (int i = 0; beating && i < it->process_count; i++) {
        if (!it->processes[i].exited) {
            muster_message message = {.type = MUSTER_MESSAGE_HEARTBEAT};
            say_from(it, &it->processes[i], &message);
        }
    }
    it->now_ns = until;
    turn(it, &(muster_core_event){.kind = MUSTER_CORE_TICK});
}

/* A saved state with a few bytes changed is refused, or a core that can be asked to act. */
static void restore_damaged(world *it)
{
    uint8_t *damaged = malloc(it->saved_bytes);
    memcpy(damaged, it->saved, it->saved_bytes);
    for (int i = 0; i < 3; i++) {
        damaged[roll(it, it->saved_bytes)] = (uint8_t)roll(it, 256);
    }
    muster_core *core = muster_core_restore(damaged, it->saved_bytes, 2, NULL);
    muster_core_actions actions;
    muster_core_actions_init(&actions);
    int64_t now_ns = 0;
    for (int i = 0; core && i < 5 && now_ns != INT64_MAX; i++) {
        now_ns = muster_core_step(core, now_ns, &(muster_core_event){.kind = MUSTER_CORE_TICK},
                                  &actions);
        muster_core_actions_clear(&actions);
    }
    muster_core_actions_clean_up(&actions);
    muster_core_free(core);
    free(damaged);
}

static void event_restart(world *it)
{
    if (!it->saved || it->ended) {
        return;
    }
    restore_damaged(it);
    uint64_t term = muster_core_term(it->core);
    muster_core_free(it->core);
    muster_error error;
    muster_error_init(&error);
    it->core = muster_core_restore(it->saved, it->saved_bytes, term + 1, &error);
    if (!it->core) {
        fail_msg("%s", error.message);
    }
    turn(it, &(muster_core_event){.kind = MUSTER_CORE_TICK});
}

static void event(world *it)
{
    uint64_t which = roll(it, 100);
    if (which < 16) {
        event_join(it);
    } else if (which < 38) {
        event_simple(it, MUSTER_MESSAGE_CONNECTED);
    } else if (which < 60) {
        event_quiet(it);
    } else if (which < 70) {
        event_simple(it, MUSTER_MESSAGE_HEARTBEAT);
    } else if (which < 74) {
        event_exited(it);
    } else if (which < 77) {
        event_evidence(it);
    } else if (which < 78) {
        event_simple(it, MUSTER_MESSAGE_LEAVE);
    } else if (which < 80) {
        event_simple(it, MUSTER_MESSAGE_COMMITTED);
    } else if (which < 82) {
        event_lost(it);
    } else if (which < 86) {
        event_rejoin(it);
    } else if (which < 87) {
        event_restart(it);
    } else if (which < 88) {
        event_launcher(it);
    } else {
        event_time(it);
    }
}

static void sequence(uint64_t seed, uint64_t *agreed, uint64_t *verdicts)
{
    world it;
    memset(&it, 0, sizeof it);
    it.random = seed;
    it.last_connection = LAUNCHER_CONNECTION;
    it.policy.slot_count = 1 + (int32_t)roll(&it, SLOTS_MAX);
    it.policy.on_loss = roll(&it, 3) ? MUSTER_ON_LOSS_REPLACE : MUSTER_ON_LOSS_SHRINK;
    it.policy.min_ranks = 1;
    it.policy.max_replacements = 50;
    it.policy.crash_loop_deaths = 8;
    muster_deadlines_defaults(&it.policy.deadlines);
    it.core = muster_core_new(JOB, 1, &it.policy);
    turn(&it, &(muster_core_event){.kind = MUSTER_CORE_TICK});
    if (roll(&it, 4)) {
        event_launcher(&it);
    }
    for (int i = 0; i < EVENTS; i++) {
        event(&it);
    }
    *agreed += it.agreed_count;
    *verdicts += it.verdict_count;
    muster_core_free(it.core);
    free(it.saved);
}

static uint64_t current_seed;

static int seed_print(void **state)
{
    (void)state;
    print_message("MUSTER_TEST_SEED=%llu was the last one\n", (unsigned long long)current_seed);
    return 0;
}

/* An assertion of the core aborts the process. */
static void seed_print_at_abort(int signal_number)
{
    char digits[24];
    size_t at = sizeof digits;
    (void)signal_number;
    digits[--at] = '\n';
    for (uint64_t rest = current_seed; at > 0; rest /= 10) {
        digits[--at] = (char)('0' + rest % 10);
        if (rest < 10) {
            break;
        }
    }
    static const char name[] = "MUSTER_TEST_SEED=";
    (void)!write(STDERR_FILENO, name, sizeof name - 1);
    (void)!write(STDERR_FILENO, digits + at, sizeof digits - at);
}

static void what_must_always_hold(void **state)
{
    (void)state;
    const char *given = getenv("MUSTER_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u;
    uint64_t agreed = 0;
    uint64_t verdicts = 0;
    for (uint64_t i = 0; i < (given ? 1 : SEQUENCES); i++) {
        current_seed = seed + i;
        sequence(seed + i, &agreed, &verdicts);
    }
    print_message("%llu epochs agreed, %llu verdicts\n", (unsigned long long)agreed,
                  (unsigned long long)verdicts);
    assert_true(given || (agreed > SEQUENCES && verdicts > SEQUENCES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_must_always_hold, seed_print),
    };
    signal(SIGABRT, seed_print_at_abort);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
