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

static void begin_with(fixture *it, muster_on_loss on_loss)
{
    muster_policy policy;
    memset(&policy, 0, sizeof policy);
    muster_deadlines_defaults(&policy.deadlines);
    policy.slot_count = RANKS;
    policy.on_loss = on_loss;
    policy.max_replacements = 1;
    it->core = muster_core_new(JOB, 1, &policy);
    assert_non_null(it->core);
    it->now_ns = 0;
    muster_core_actions_init(&it->actions);
}

static void begin(fixture *it)
{
    begin_with(it, MUSTER_ON_LOSS_SHRINK);
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

/* They joined one after the other, a millisecond each; a look for each of them would be their square. */
static void ranks_that_fall_silent_are_looked_at_together(void **state)
{
    fixture it;
    size_t suspected = 0;
    size_t looks = 0;
    (void)state;
    begin(&it);
    for (int32_t slot = 0; slot < RANKS - 1; slot++)
        join(&it, slot);
    const int64_t last_ns = it.now_ns;
    const int64_t suspect_ns = muster_core_policy(it.core)->deadlines.suspect_ns;
    for (; suspected < RANKS - 1; looks++) {
        const muster_core_event tick = {.kind = MUSTER_CORE_TICK};
        assert_true(it.next_ns > it.now_ns);
        it.now_ns = it.next_ns;
        muster_core_actions_clear(&it.actions);
        it.next_ns = muster_core_step(it.core, it.now_ns, &tick, &it.actions);
        suspected += noted(&it, MUSTER_NOTE_SUSPECTED);
    }
    assert_true(it.now_ns <= last_ns + suspect_ns + 2 * NS_PER_MS);
    assert_true(looks <= RANKS / 2 + 10);
    end(&it);
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

/* The job is over with the last of them, and not before; one that stays, in a call, does not wait for ever. */
static void ranks_that_leave_end_the_job_together(void **state)
{
    for (int32_t stays = 0; stays < 2; stays++) {
        fixture it;
        (void)state;
        begin(&it);
        for (int32_t slot = 0; slot < RANKS; slot++)
            join(&it, slot);
        const uint64_t epoch = muster_core_epoch(it.core);
        for (int32_t slot = 0; slot < RANKS; slot++)
            say_of_epoch(&it, slot, MUSTER_MESSAGE_CONNECTED, epoch);
        for (int32_t slot = RANKS - 1; slot >= stays; slot--) {
            assert_false(muster_core_ended(it.core, NULL));
            say_of_epoch(&it, slot, MUSTER_MESSAGE_LEAVE, epoch);
            assert_int_equal(told(&it, MUSTER_MESSAGE_GOODBYE), 1);
        }
        assert_int_equal(muster_core_ended(it.core, NULL), stays == 0);
        const int64_t left_ns = it.now_ns;
        const int64_t grace_ns = muster_core_policy(it.core)->deadlines.verdict_grace_ns;
        size_t verdicts = 0;
        while (stays == 1 && verdicts == 0 && it.now_ns < left_ns + 2 * grace_ns) {
            it.now_ns += 200 * NS_PER_MS;
            muster_message waits = {.type = MUSTER_MESSAGE_HEARTBEAT, .epoch = epoch};
            waits.u.heartbeat.activity.waiting = true;
            say(&it, 0, waits);
            verdicts += noted(&it, MUSTER_NOTE_VERDICT);
        }
        assert_true(stays == 0 || verdicts > 0);
        for (int32_t slot = 0; slot < RANKS; slot++) {
            const muster_core_event lost = {.kind = MUSTER_CORE_CONNECTION_LOST,
                                            .connection = (uint64_t)slot + 1};
            muster_core_actions_clear(&it.actions);
            it.next_ns = muster_core_step(it.core, it.now_ns, &lost, &it.actions);
            assert_true(stays == 1 || it.actions.count == 0);
        }
        end(&it);
    }
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

/* One more launcher, of one slot or of spares. */
static uint64_t launch(fixture *it, int32_t slot, int32_t spare_count)
{
    const uint64_t connection = 100000 + (uint64_t)slot;
    muster_message message = {
        .type = MUSTER_MESSAGE_LAUNCHER_JOIN, .job = JOB, .slot = MUSTER_SLOT_NONE};
    const muster_core_event event = {
        .kind = MUSTER_CORE_MESSAGE, .connection = connection, .message = &message};
    message.u.launcher_join.process_id = 7;
    message.u.launcher_join.host = 100 + (uint64_t)slot;
    message.u.launcher_join.first_slot = slot;
    message.u.launcher_join.slot_count = spare_count > 0 ? 0 : 1;
    message.u.launcher_join.spare_count = spare_count;
    muster_core_actions_clear(&it->actions);
    it->next_ns = muster_core_step(it->core, ++it->now_ns, &event, &it->actions);
    assert_int_equal(told(it, MUSTER_MESSAGE_LAUNCHER_WELCOME), 1);
    return connection;
}

/* The connection of the launcher that is told of the last turn's note of this kind; 0: all are. */
static uint64_t noted_to(const fixture *it, muster_note_kind kind)
{
    assert_int_equal(noted(it, kind), 1);
    for (size_t i = 0; i < it->actions.count; i++) {
        if (it->actions.items[i].kind == MUSTER_CORE_NOTE &&
            it->actions.items[i].message.u.note.kind == kind)
            return it->actions.items[i].connection;
    }
    return 0;
}

static void of_many_launchers_each_hears_of_its_own_ranks(void **state)
{
    fixture it;
    (void)state;
    begin(&it);
    for (int32_t slot = 0; slot < MUSTER_CORE_LAUNCHERS_OF_ALL; slot++)
        launch(&it, slot, 0);
    join(&it, 3);
    assert_int_equal(noted_to(&it, MUSTER_NOTE_JOINED), 0); /* few: all hear of all */
    const uint64_t one_more = launch(&it, MUSTER_CORE_LAUNCHERS_OF_ALL, 0);
    join(&it, MUSTER_CORE_LAUNCHERS_OF_ALL);
    assert_int_equal(noted_to(&it, MUSTER_NOTE_JOINED), one_more);
    join(&it, MUSTER_CORE_LAUNCHERS_OF_ALL + 1);
    assert_int_equal(noted_to(&it, MUSTER_NOTE_JOINED), 0); /* it has none */
    for (int32_t slot = 0; slot < RANKS; slot++) {
        if (slot != 3 &&
            (slot < MUSTER_CORE_LAUNCHERS_OF_ALL || slot > MUSTER_CORE_LAUNCHERS_OF_ALL + 1))
            join(&it, slot);
    }
    assert_int_equal(noted_to(&it, MUSTER_NOTE_AGREED), 0);
    const uint64_t epoch = muster_core_epoch(it.core);
    for (int32_t slot = 0; slot < RANKS; slot++)
        say_of_epoch(&it, slot, MUSTER_MESSAGE_CONNECTED, epoch);
    assert_int_equal(noted_to(&it, MUSTER_NOTE_ESTABLISHED), 0);
    muster_message evidence = {.type = MUSTER_MESSAGE_EVIDENCE, .epoch = epoch};
    evidence.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    evidence.u.evidence.accused_slot = 7;
    say(&it, 0, evidence);
    assert_int_equal(noted_to(&it, MUSTER_NOTE_EVIDENCE), 0);
    assert_int_equal(noted_to(&it, MUSTER_NOTE_VERDICT), 0);
    say_of_epoch(&it, 5, MUSTER_MESSAGE_QUIET, epoch);
    assert_int_equal(noted_to(&it, MUSTER_NOTE_QUIET), 100000 + 5);
    end(&it);
}

/* Whoever started it, and not the launcher of the slot that it was given. */
static void of_a_spare_its_own_launcher_hears(void **state)
{
    fixture it;
    (void)state;
    begin_with(&it, MUSTER_ON_LOSS_REPLACE);
    for (int32_t slot = 0; slot <= MUSTER_CORE_LAUNCHERS_OF_ALL; slot++)
        launch(&it, slot, 0);
    const uint64_t of_spares = launch(&it, RANKS, 1);
    for (int32_t slot = 0; slot < RANKS; slot++)
        join(&it, slot);
    muster_message spare = {.type = MUSTER_MESSAGE_JOIN};
    spare.u.join.library_version = MUSTER_VERSION;
    spare.u.join.host = 100 + RANKS;
    spare.u.join.process_id = 9;
    const muster_core_event joins = {
        .kind = MUSTER_CORE_MESSAGE, .connection = RANKS + 1, .message = &spare};
    spare.job = JOB;
    spare.slot = MUSTER_SLOT_SPARE_WIRE;
    muster_core_actions_clear(&it.actions);
    it.next_ns = muster_core_step(it.core, ++it.now_ns, &joins, &it.actions);
    assert_int_equal(noted_to(&it, MUSTER_NOTE_JOINED), 0); /* one of few */
    const uint64_t first = muster_core_epoch(it.core);
    for (int32_t slot = 0; slot < RANKS; slot++)
        say_of_epoch(&it, slot, MUSTER_MESSAGE_CONNECTED, first);
    muster_message evidence = {.type = MUSTER_MESSAGE_EVIDENCE, .epoch = first};
    evidence.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    evidence.u.evidence.accused_slot = 7;
    say(&it, 0, evidence);
    assert_int_equal(told(&it, MUSTER_MESSAGE_ASSIGNED), 1);
    for (int32_t slot = 0; slot < RANKS; slot++) {
        if (slot != 7)
            say_of_epoch(&it, slot, MUSTER_MESSAGE_QUIET, first);
    }
    muster_message exited = {.type = MUSTER_MESSAGE_EXITED};
    exited.u.process.process_id = 100 + 7;
    exited.u.process.wait_status = 9;
    say(&it, 7, exited);
    const uint64_t second = muster_core_epoch(it.core);
    assert_true(second > first);
    muster_message connected = {
        .type = MUSTER_MESSAGE_CONNECTED, .job = JOB, .epoch = second, .slot = 7, .incarnation = 1};
    const muster_core_event comes = {
        .kind = MUSTER_CORE_MESSAGE, .connection = RANKS + 1, .message = &connected};
    muster_core_actions_clear(&it.actions);
    it.next_ns = muster_core_step(it.core, ++it.now_ns, &comes, &it.actions);
    assert_int_equal(noted_to(&it, MUSTER_NOTE_CONNECTED), of_spares);
    end(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_one_to_come_moves_the_job),
        cmocka_unit_test(one_that_joined_is_watched),
        cmocka_unit_test(ranks_that_fall_silent_are_looked_at_together),
        cmocka_unit_test(thousands_of_connections_go_at_once),
        cmocka_unit_test(ranks_that_leave_end_the_job_together),
        cmocka_unit_test(who_waits_hears_for_whom_now_and_then),
        cmocka_unit_test(of_many_launchers_each_hears_of_its_own_ranks),
        cmocka_unit_test(of_a_spare_its_own_launcher_hears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
