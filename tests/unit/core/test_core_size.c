/* SPDX-License-Identifier: Apache-2.0 */
/* A job of a thousand ranks: that many come counts, and what follows is looked for when the last has come;
 * that all connections go at once is no verdict before its time; and each rank that waits hears for whom now and then, not with each heartbeat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <muster/version.h>

#include "core/core.h"

#define JOB 9u
#define RANKS 1000
#define NS_PER_MS ((int64_t)1000000)

typedef struct fixture {
    muster_core *core;
    muster_core_actions actions;
    int64_t now_ns;
    int64_t next_ns;
} fixture;

static void begin(fixture *it)
{
    muster_policy policy;
    memset(&policy, 0, sizeof policy);
    muster_deadlines_defaults(&policy.deadlines);
    policy.slot_count = RANKS;
    policy.on_loss = MUSTER_ON_LOSS_SHRINK;
    it->core = muster_core_new(JOB, 1, &policy);
    assert_non_null(it->core);
    it->now_ns = 0;
    muster_core_actions_init(&it->actions);
}

static void end(fixture *it)
{
    muster_core_actions_clean_up(&it->actions);
    muster_core_free(it->core);
}

/* A millisecond later. */
static void say(fixture *it, int32_t slot, muster_message message)
{
    const muster_core_event event = {
        .kind = MUSTER_CORE_MESSAGE, .connection = (uint64_t)slot + 1, .message = &message};
    message.job = JOB;
    message.slot = slot;
    muster_core_actions_clear(&it->actions);
    it->now_ns += NS_PER_MS;
    it->next_ns = muster_core_step(it->core, it->now_ns, &event, &it->actions);
}

static size_t told(const fixture *it, uint32_t type)
{
    size_t count = 0;
    for (size_t i = 0; i < it->actions.count; i++)
        count += it->actions.items[i].kind == MUSTER_CORE_SEND &&
                 it->actions.items[i].message.type == type;
    return count;
}

static void join(fixture *it, int32_t slot)
{
    muster_message message = {.type = MUSTER_MESSAGE_JOIN};
    message.u.join.library_version = MUSTER_VERSION;
    message.u.join.slot_count = RANKS;
    message.u.join.process_id = 100 + slot;
    say(it, slot, message);
    assert_int_equal(told(it, MUSTER_MESSAGE_WELCOME), 1);
}

static void say_of_epoch(fixture *it, int32_t slot, uint32_t type, uint64_t epoch)
{
    say(it, slot, (muster_message){.type = type, .epoch = epoch});
}

static void the_last_one_to_come_moves_the_job(void **state)
{
    fixture it;
    (void)state;
    begin(&it);
    for (int32_t slot = 0; slot < RANKS; slot++) {
        join(&it, slot);
        assert_int_equal(told(&it, MUSTER_MESSAGE_AGREED), slot == RANKS - 1 ? RANKS : 0);
        join(&it, slot / 2); /* its WELCOME was lost */
    }
    const uint64_t first = muster_core_epoch(it.core);
    for (int32_t slot = RANKS - 1; slot >= 0; slot--) {
        say_of_epoch(&it, slot, MUSTER_MESSAGE_CONNECTED, first);
        assert_int_equal(told(&it, MUSTER_MESSAGE_ESTABLISHED), slot == 0 ? RANKS : 0);
        say_of_epoch(&it, RANKS - 1, MUSTER_MESSAGE_CONNECTED, first); /* again */
    }
    muster_message evidence = {.type = MUSTER_MESSAGE_EVIDENCE, .epoch = first};
    evidence.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    evidence.u.evidence.accused_slot = 7;
    say(&it, 0, evidence);
    assert_int_equal(told(&it, MUSTER_MESSAGE_REVOKE), RANKS - 1);
    for (int32_t slot = 0; slot < RANKS; slot++) {
        if (slot == 7)
            continue;
        say_of_epoch(&it, slot, MUSTER_MESSAGE_QUIET, first);
        assert_int_equal(told(&it, MUSTER_MESSAGE_AGREED), slot == RANKS - 1 ? RANKS - 1 : 0);
        say_of_epoch(&it, slot / 2 + 8, MUSTER_MESSAGE_HEARTBEAT, first);
    }
    assert_true(muster_core_epoch(it.core) > first);
    end(&it);
}

/* One that joins late is watched from then on, though nothing was looked at because of it. */
static void one_that_joined_is_watched(void **state)
{
    fixture it;
    (void)state;
    begin(&it);
    join(&it, 0);
    join(&it, 1);
    const muster_deadlines *deadlines = &muster_core_policy(it.core)->deadlines;
    bool suspected = false;
    assert_true(it.next_ns <= it.now_ns + deadlines->suspect_ns);
    while (!suspected && it.now_ns < 2 * deadlines->suspect_ns) {
        const muster_core_event tick = {.kind = MUSTER_CORE_TICK};
        assert_true(it.next_ns > it.now_ns);
        it.now_ns = it.next_ns;
        muster_core_actions_clear(&it.actions);
        it.next_ns = muster_core_step(it.core, it.now_ns, &tick, &it.actions);
        for (size_t i = 0; i < it.actions.count; i++)
            suspected =
                suspected || (it.actions.items[i].kind == MUSTER_CORE_NOTE &&
                              it.actions.items[i].message.u.note.kind == MUSTER_NOTE_SUSPECTED);
    }
    assert_true(suspected);
    end(&it);
}

static size_t noted(const fixture *it, muster_note_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < it->actions.count; i++)
        count += it->actions.items[i].kind == MUSTER_CORE_NOTE &&
                 it->actions.items[i].message.u.note.kind == kind;
    return count;
}

/* A switch takes all connections with it; every other rank comes back in time. */
static void thousands_of_connections_go_at_once(void **state)
{
    fixture it;
    (void)state;
    begin(&it);
    for (int32_t slot = 0; slot < RANKS; slot++)
        join(&it, slot);
    const uint64_t epoch = muster_core_epoch(it.core);
    for (int32_t slot = 0; slot < RANKS; slot++)
        say_of_epoch(&it, slot, MUSTER_MESSAGE_CONNECTED, epoch);
    const int64_t reconnect_ns = muster_core_policy(it.core)->deadlines.reconnect_ns;
    const int64_t lost_ns = it.now_ns;
    for (int32_t slot = 0; slot < RANKS; slot++) {
        const muster_core_event lost = {.kind = MUSTER_CORE_CONNECTION_LOST,
                                        .connection = (uint64_t)slot + 1};
        muster_core_actions_clear(&it.actions);
        it.next_ns = muster_core_step(it.core, it.now_ns, &lost, &it.actions);
        assert_true(it.next_ns <= lost_ns + reconnect_ns);
        assert_int_equal(noted(&it, MUSTER_NOTE_SUSPECTED), 1);
    }
    for (int32_t slot = 0; slot < RANKS; slot += 2)
        say_of_epoch(&it, slot, MUSTER_MESSAGE_HEARTBEAT, epoch);
    size_t verdicts = 0;
    while (it.now_ns < lost_ns + reconnect_ns) {
        const muster_core_event tick = {.kind = MUSTER_CORE_TICK};
        assert_int_equal(verdicts, 0);
        it.now_ns = it.next_ns;
        muster_core_actions_clear(&it.actions);
        it.next_ns = muster_core_step(it.core, it.now_ns, &tick, &it.actions);
        verdicts += noted(&it, MUSTER_NOTE_VERDICT);
    }
    assert_int_equal(verdicts, RANKS / 2);
    end(&it);
}

static void who_waits_hears_for_whom_now_and_then(void **state)
{
    fixture it;
    size_t hints = 0;
    (void)state;
    begin(&it);
    for (int32_t slot = 0; slot < RANKS / 2; slot++)
        join(&it, slot);
    /* Others come, and with each the words change, while rank 0 says a heartbeat each 50 ms for 10 s. */
    for (int32_t i = 0; i < 200; i++) {
        join(&it, RANKS / 2 + i);
        it.now_ns += 48 * NS_PER_MS;
        say_of_epoch(&it, 0, MUSTER_MESSAGE_HEARTBEAT, 0);
        hints += told(&it, MUSTER_MESSAGE_NOTE);
    }
    assert_in_range(hints, 2, 11);
    end(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_one_to_come_moves_the_job),
        cmocka_unit_test(one_that_joined_is_watched),
        cmocka_unit_test(thousands_of_connections_go_at_once),
        cmocka_unit_test(who_waits_hears_for_whom_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
