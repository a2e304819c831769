/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "sample.h"
#include "wire/wire.h"

#define HEADER_BYTES 48

/* ---- comparing, field by field ---- */

static void assert_same_blob(const muster_blob *one, const muster_blob *other)
{
    assert_int_equal(one->bytes, other->bytes);
    assert_memory_equal(one->data, other->data, one->bytes);
}

static void assert_same_members(int32_t one_count, const muster_member *one, int32_t other_count,
                                const muster_member *other)
{
    assert_int_equal(one_count, other_count);
    for (int32_t i = 0; i < one_count; i++) {
        assert_int_equal(one[i].slot, other[i].slot);
        assert_int_equal(one[i].incarnation, other[i].incarnation);
        assert_int_equal(one[i].process_id, other[i].process_id);
        assert_int_equal(one[i].host, other[i].host);
        assert_same_blob(&one[i].blob, &other[i].blob);
    }
}

static void assert_same_deaths(int32_t one_count, const muster_death *one, int32_t other_count,
                               const muster_death *other)
{
    assert_int_equal(one_count, other_count);
    for (int32_t i = 0; i < one_count; i++) {
        assert_int_equal(one[i].slot, other[i].slot);
        assert_int_equal(one[i].incarnation, other[i].incarnation);
        assert_int_equal(one[i].evidence, other[i].evidence);
        assert_int_equal(one[i].wait_status, other[i].wait_status);
        assert_int_equal(one[i].proven_gone, other[i].proven_gone);
    }
}

static void assert_same_policy(const muster_policy *one, const muster_policy *other)
{
    assert_int_equal(one->slot_count, other->slot_count);
    assert_int_equal(one->on_loss, other->on_loss);
    assert_int_equal(one->min_ranks, other->min_ranks);
    assert_int_equal(one->max_replacements, other->max_replacements);
    assert_int_equal(one->crash_loop_deaths, other->crash_loop_deaths);
    assert_int_equal(one->grow, other->grow);
    assert_memory_equal(&one->deadlines, &other->deadlines, sizeof one->deadlines);
}

static void assert_same_holdings(const muster_message *one, const muster_message *other)
{
    assert_int_equal(one->u.quiet.holding_count, other->u.quiet.holding_count);
    for (int32_t i = 0; i < one->u.quiet.holding_count; i++) {
        const muster_holding *a = &one->u.quiet.holdings[i];
        const muster_holding *b = &other->u.quiet.holdings[i];
        assert_int_equal(a->slot, b->slot);
        assert_int_equal(a->epoch, b->epoch);
        assert_int_equal(a->step, b->step);
        assert_int_equal(a->mirror, b->mirror);
        assert_int_equal(a->committed, b->committed);
    }
}

static void assert_same_restore(const muster_restore *a, const int32_t *a_slots,
                                const muster_restore *b, const int32_t *b_slots)
{
    assert_int_equal(a->has_step, b->has_step);
    assert_int_equal(a->state_lost, b->state_lost);
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->slot_count, b->slot_count);
    for (int32_t i = 0; i < a->slot_count; i++) {
        assert_int_equal(a_slots[i], b_slots[i]);
    }
}

static void assert_same_agreed(const muster_message *one, const muster_message *other)
{
    assert_int_equal(one->u.agreed.kind, other->u.agreed.kind);
    assert_int_equal(one->u.agreed.base_epoch, other->u.agreed.base_epoch);
    assert_int_equal(one->u.agreed.members_hash, other->u.agreed.members_hash);
    assert_int_equal(one->u.agreed.without_count, other->u.agreed.without_count);
    for (int32_t i = 0; i < one->u.agreed.without_count; i++) {
        assert_int_equal(one->u.agreed.without[i], other->u.agreed.without[i]);
    }
    assert_same_members(one->u.agreed.member_count, one->u.agreed.members,
                        other->u.agreed.member_count, other->u.agreed.members);
    assert_same_deaths(one->u.agreed.death_count, one->u.agreed.deaths, other->u.agreed.death_count,
                       other->u.agreed.deaths);
    assert_same_restore(&one->u.agreed.restore, one->u.agreed.restore_slots,
                        &other->u.agreed.restore, other->u.agreed.restore_slots);
    assert_int_equal(one->u.agreed.abandon_memory, other->u.agreed.abandon_memory);
}

static void assert_same_activity(const muster_activity *one, const muster_activity *other)
{
    assert_int_equal(one->progress_mark, other->progress_mark);
    assert_int_equal(one->waiting, other->waiting);
    assert_int_equal(one->communicator, other->communicator);
    assert_int_equal(one->sequence, other->sequence);
    assert_int_equal(one->call, other->call);
    assert_int_equal(one->waiting_since_ns, other->waiting_since_ns);
    assert_int_equal(one->committed_step, other->committed_step);
    assert_int_equal(one->has_committed_step, other->has_committed_step);
    assert_int_equal(one->completed_calls, other->completed_calls);
    assert_int_equal(one->last_communicator, other->last_communicator);
    assert_int_equal(one->last_sequence, other->last_sequence);
    assert_int_equal(one->last_call, other->last_call);
}

static void assert_same_note(const muster_note *one, const muster_note *other)
{
    assert_int_equal(one->kind, other->kind);
    assert_int_equal(one->time_ns, other->time_ns);
    assert_int_equal(one->epoch, other->epoch);
    assert_int_equal(one->slot, other->slot);
    assert_int_equal(one->incarnation, other->incarnation);
    assert_int_equal(one->evidence, other->evidence);
    assert_int_equal(one->value, other->value);
    assert_string_equal(one->text, other->text);
}

static void assert_same_join(const muster_message *one, const muster_message *other)
{
    assert_int_equal(one->u.join.library_version, other->u.join.library_version);
    assert_int_equal(one->u.join.slot_count, other->u.join.slot_count);
    assert_int_equal(one->u.join.process_id, other->u.join.process_id);
    assert_int_equal(one->u.join.host, other->u.join.host);
    assert_same_blob(&one->u.join.blob, &other->u.join.blob);
    assert_int_equal(one->u.join.rejoin, other->u.join.rejoin);
    assert_int_equal(one->u.join.revoked, other->u.join.revoked);
    assert_int_equal(one->u.join.epoch_term, other->u.join.epoch_term);
    assert_same_members(one->u.join.member_count, one->u.join.members, other->u.join.member_count,
                        other->u.join.members);
    assert_same_restore(&one->u.join.restore, one->u.join.restore_slots, &other->u.join.restore,
                        other->u.join.restore_slots);
    assert_same_deaths(one->u.join.death_count, one->u.join.deaths, other->u.join.death_count,
                       other->u.join.deaths);
}

static void assert_same(const muster_message *one, const muster_message *other)
{
    assert_int_equal(one->type, other->type);
    assert_int_equal(one->job, other->job);
    assert_int_equal(one->term, other->term);
    assert_int_equal(one->epoch, other->epoch);
    assert_int_equal(one->slot, other->slot);
    assert_int_equal(one->incarnation, other->incarnation);
    switch ((muster_message_type)one->type) {
    case MUSTER_MESSAGE_JOIN:
        assert_same_join(one, other);
        return;
    case MUSTER_MESSAGE_HEARTBEAT:
        assert_same_activity(&one->u.heartbeat.activity, &other->u.heartbeat.activity);
        return;
    case MUSTER_MESSAGE_EVIDENCE:
        assert_int_equal(one->u.evidence.evidence, other->u.evidence.evidence);
        assert_int_equal(one->u.evidence.accused_slot, other->u.evidence.accused_slot);
        assert_int_equal(one->u.evidence.accused_incarnation,
                         other->u.evidence.accused_incarnation);
        assert_int_equal(one->u.evidence.communicator, other->u.evidence.communicator);
        assert_int_equal(one->u.evidence.sequence, other->u.evidence.sequence);
        assert_int_equal(one->u.evidence.call, other->u.evidence.call);
        return;
    case MUSTER_MESSAGE_QUIET:
        assert_int_equal(one->u.quiet.released_ns, other->u.quiet.released_ns);
        assert_int_equal(one->u.quiet.members_epoch, other->u.quiet.members_epoch);
        assert_same_blob(&one->u.quiet.blob, &other->u.quiet.blob);
        assert_same_holdings(one, other);
        return;
    case MUSTER_MESSAGE_RESUMED:
        assert_int_equal(one->u.resumed.returned_ns, other->u.resumed.returned_ns);
        assert_int_equal(one->u.resumed.first_batch_ns, other->u.resumed.first_batch_ns);
        return;
    case MUSTER_MESSAGE_COMMITTED:
        assert_int_equal(one->u.committed.step, other->u.committed.step);
        return;
    case MUSTER_MESSAGE_PING:
    case MUSTER_MESSAGE_PONG:
        assert_int_equal(one->u.ping.ping_id, other->u.ping.ping_id);
        assert_int_equal(one->u.ping.sent_ns, other->u.ping.sent_ns);
        assert_int_equal(one->u.ping.received_ns, other->u.ping.received_ns);
        assert_int_equal(one->u.ping.answered_ns, other->u.ping.answered_ns);
        return;
    case MUSTER_MESSAGE_LAUNCHER_JOIN:
        assert_string_equal(one->u.launcher_join.job_name, other->u.launcher_join.job_name);
        assert_int_equal(one->u.launcher_join.process_id, other->u.launcher_join.process_id);
        assert_int_equal(one->u.launcher_join.host, other->u.launcher_join.host);
        assert_int_equal(one->u.launcher_join.first_slot, other->u.launcher_join.first_slot);
        assert_int_equal(one->u.launcher_join.slot_count, other->u.launcher_join.slot_count);
        assert_int_equal(one->u.launcher_join.spare_count, other->u.launcher_join.spare_count);
        assert_same_policy(&one->u.launcher_join.policy, &other->u.launcher_join.policy);
        return;
    case MUSTER_MESSAGE_STARTED:
    case MUSTER_MESSAGE_EXITED:
    case MUSTER_MESSAGE_START:
    case MUSTER_MESSAGE_KILL:
    case MUSTER_MESSAGE_ASSIGNED:
        assert_int_equal(one->u.process.process_id, other->u.process.process_id);
        assert_int_equal(one->u.process.wait_status, other->u.process.wait_status);
        assert_int_equal(one->u.process.time_ns, other->u.process.time_ns);
        return;
    case MUSTER_MESSAGE_WELCOME:
    case MUSTER_MESSAGE_LAUNCHER_WELCOME:
        assert_same_policy(&one->u.welcome.policy, &other->u.welcome.policy);
        assert_int_equal(one->u.welcome.begun, other->u.welcome.begun);
        return;
    case MUSTER_MESSAGE_REFUSED:
    case MUSTER_MESSAGE_GAVE_UP:
        assert_int_equal(one->u.refused.status, other->u.refused.status);
        assert_string_equal(one->u.refused.text, other->u.refused.text);
        return;
    case MUSTER_MESSAGE_REVOKE:
        assert_same_deaths(one->u.revoke.death_count, one->u.revoke.deaths,
                           other->u.revoke.death_count, other->u.revoke.deaths);
        return;
    case MUSTER_MESSAGE_AGREED:
        assert_same_agreed(one, other);
        return;
    case MUSTER_MESSAGE_NOTE:
        assert_same_note(&one->u.note, &other->u.note);
        return;
    case MUSTER_MESSAGE_CONNECTED:
    case MUSTER_MESSAGE_LEAVE:
    case MUSTER_MESSAGE_LAUNCHER_HEARTBEAT:
    case MUSTER_MESSAGE_LAUNCHER_LEAVE:
    case MUSTER_MESSAGE_ESTABLISHED:
    case MUSTER_MESSAGE_CALLS_DIFFER:
    case MUSTER_MESSAGE_GOODBYE:
    case MUSTER_MESSAGE_REJOIN:
        return;
    }
    fail_msg("a type that this test does not know: %u", one->type);
}

/* ---- tests ---- */

static uint64_t test_seed(void)
{
    const char *given = getenv("MUSTER_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("MUSTER_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void round_trip_of_each_type(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    const uint32_t *types;
    int type_count = sample_types(&types);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < type_count; i++) {
            muster_message message;
            muster_message copy;
            muster_message back;
            void *bytes;
            size_t byte_count;
            muster_error error;
            muster_error_init(&error);
            sample_message(&random, types[i], &message);
            assert_int_equal(muster_wire_encode(&message, &bytes, &byte_count), MUSTER_OK);
            assert_int_equal(muster_wire_decode(bytes, byte_count, &back, &error), MUSTER_OK);
            assert_same(&message, &back);
            assert_true(muster_message_copy(&copy, &message));
            assert_same(&message, &copy);
            muster_message_clean_up(&message);
            muster_message_clean_up(&copy);
            muster_message_clean_up(&back);
            free(bytes);
        }
    }
}

/* The bytes of one message, written out by hand: the wire must not change by accident. */
static void bytes_are_as_documented(void **state)
{
    (void)state;
    const uint8_t expected[] = {
        'M', 'S', 'T', 'R', 3, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, /* magic, version, type, bytes */
        8,   7,   6,   5,   4, 3, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, /* job, term */
        3,   0,   0,   0,   0, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, /* epoch, slot, incarnation */
        42,  0,   0,   0,   0, 0, 0, 0,                         /* step */
    };
    muster_message message = {.type = MUSTER_MESSAGE_COMMITTED,
                              .job = 0x0102030405060708u,
                              .term = 2,
                              .epoch = 3,
                              .slot = 4,
                              .incarnation = 5};
    message.u.committed.step = 42;
    void *bytes;
    size_t byte_count;
    assert_int_equal(muster_wire_encode(&message, &bytes, &byte_count), MUSTER_OK);
    assert_int_equal(byte_count, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    free(bytes);
}

static muster_status decode(const void *bytes, size_t byte_count, muster_error *error)
{
    /* A copy of the exact size, so that a sanitizer sees any read past its end. */
    void *exact = malloc(byte_count ? byte_count : 1);
    memcpy(exact, bytes, byte_count);
    muster_message message;
    muster_status status = muster_wire_decode(exact, byte_count, &message, error);
    muster_message_clean_up(&message);
    free(exact);
    return status;
}

static void truncated_is_refused_at_every_length(void **state)
{
    (void)state;
    uint64_t random = 11;
    const uint32_t *types;
    int type_count = sample_types(&types);
    for (int i = 0; i < type_count; i++) {
        muster_message message;
        uint8_t *bytes;
        size_t byte_count;
        sample_message(&random, types[i], &message);
        assert_int_equal(muster_wire_encode(&message, (void **)&bytes, &byte_count), MUSTER_OK);
        for (size_t length = 0; length < byte_count; length++) {
            muster_error error;
            muster_error_init(&error);
            assert_int_equal(decode(bytes, length, &error), MUSTER_ERR_INVALID_ARGUMENT);
            assert_true(strlen(error.message) > 0);
            if (length > HEADER_BYTES) {
                /* With a header that agrees, the payload itself must be found short. */
                uint32_t payload_bytes = (uint32_t)(length - HEADER_BYTES);
                memcpy(bytes + 12, &payload_bytes, 4);
                assert_int_equal(decode(bytes, length, &error), MUSTER_ERR_INVALID_ARGUMENT);
            }
        }
        free(bytes);
        muster_message_clean_up(&message);
    }
}

static void refuse_with(const muster_message *message, size_t at, uint32_t value, size_t extra)
{
    uint8_t *bytes;
    size_t byte_count;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_wire_encode(message, (void **)&bytes, &byte_count), MUSTER_OK);
    bytes = realloc(bytes, byte_count + extra);
    memset(bytes + byte_count, 0, extra);
    uint32_t payload_bytes = (uint32_t)(byte_count + extra - HEADER_BYTES);
    memcpy(bytes + 12, &payload_bytes, 4);
    memcpy(bytes + at, &value, 4);
    assert_int_equal(decode(bytes, byte_count + extra, &error), MUSTER_ERR_INVALID_ARGUMENT);
    free(bytes);
}

static void impossible_lengths_are_refused(void **state)
{
    (void)state;
    muster_message revoke = {.type = MUSTER_MESSAGE_REVOKE};
    refuse_with(&revoke, HEADER_BYTES, 0xffffffffu, 0); /* -1 deaths */
    refuse_with(&revoke, HEADER_BYTES, 1000000, 0);     /* too many */
    refuse_with(&revoke, HEADER_BYTES, 4, 20);          /* do not fit */
    refuse_with(&revoke, 40, MUSTER_SLOTS_MAX, 0);      /* slot */
    refuse_with(&revoke, 8, 12345, 0);                  /* type */
    refuse_with(&revoke, HEADER_BYTES, 0, 1);           /* goes on */
    refuse_with(&revoke, 0, 0, 0);                      /* magic */
    muster_message quiet = {.type = MUSTER_MESSAGE_QUIET};
    refuse_with(&quiet, HEADER_BYTES + 8, MUSTER_BLOB_BYTES + 1, MUSTER_BLOB_BYTES + 1);
    muster_message refused = {.type = MUSTER_MESSAGE_REFUSED};
    refuse_with(&refused, HEADER_BYTES + 4, MUSTER_NOTE_TEXT_BYTES, MUSTER_NOTE_TEXT_BYTES);
    refuse_with(&refused, HEADER_BYTES + 4, 3, 3); /* a text of three NULs */
    muster_message heartbeat = {.type = MUSTER_MESSAGE_HEARTBEAT};
    refuse_with(&heartbeat, HEADER_BYTES + 8, 2, 0); /* neither yes nor no */
}

static void what_cannot_be_sent_is_refused(void **state)
{
    (void)state;
    void *bytes;
    size_t byte_count;
    muster_message unknown = {.type = 5000};
    assert_int_equal(muster_wire_encode(&unknown, &bytes, &byte_count),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_null(bytes);
    muster_message far = {.type = MUSTER_MESSAGE_LEAVE, .slot = MUSTER_SLOTS_MAX};
    assert_int_equal(muster_wire_encode(&far, &bytes, &byte_count), MUSTER_ERR_INVALID_ARGUMENT);
    muster_message missing = {.type = MUSTER_MESSAGE_REVOKE};
    missing.u.revoke.death_count = 2;
    assert_int_equal(muster_wire_encode(&missing, &bytes, &byte_count),
                     MUSTER_ERR_INVALID_ARGUMENT);
    muster_message blob = {.type = MUSTER_MESSAGE_QUIET};
    blob.u.quiet.blob.bytes = MUSTER_BLOB_BYTES + 1;
    assert_int_equal(muster_wire_encode(&blob, &bytes, &byte_count), MUSTER_ERR_INVALID_ARGUMENT);
    muster_message text = {.type = MUSTER_MESSAGE_GAVE_UP};
    memset(text.u.refused.text, 'x', sizeof text.u.refused.text); /* no NUL */
    assert_int_equal(muster_wire_encode(&text, &bytes, &byte_count), MUSTER_ERR_INVALID_ARGUMENT);
}

static void another_version_can_be_answered(void **state)
{
    (void)state;
    muster_message message = {.type = MUSTER_MESSAGE_JOIN, .job = 9, .slot = 3, .incarnation = 1};
    uint8_t *bytes;
    size_t byte_count;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_wire_encode(&message, (void **)&bytes, &byte_count), MUSTER_OK);
    bytes[4] = 77;
    muster_message back;
    assert_int_equal(muster_wire_decode(bytes, byte_count - 5, &back, &error), MUSTER_ERR_VERSION);
    assert_int_equal(back.job, 9);
    assert_int_equal(back.slot, 3);
    assert_int_equal(back.incarnation, 1);
    assert_int_equal(error.expected, MUSTER_WIRE_VERSION);
    assert_int_equal(error.came, 77);
    muster_message_clean_up(&back);
    free(bytes);
}

/* Random bytes, and messages with some bytes changed: refused, or a message that encodes to the very
 * same bytes again. */
static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    const uint32_t *types;
    int type_count = sample_types(&types);
    int understood = 0;
    for (int i = 0; i < 200000; i++) {
        uint8_t *bytes;
        size_t byte_count;
        if (i % 4 == 0) {
            byte_count = sample_random(&random) % 200;
            bytes = malloc(byte_count + 1);
            for (size_t k = 0; k < byte_count; k++) {
                bytes[k] = (uint8_t)sample_random(&random);
            }
        } else {
            muster_message message;
            sample_message(&random, types[sample_random(&random) % (uint64_t)type_count], &message);
            assert_int_equal(muster_wire_encode(&message, (void **)&bytes, &byte_count), MUSTER_OK);
            muster_message_clean_up(&message);
            for (uint64_t change = sample_random(&random) % 4; change > 0; change--) {
                bytes[sample_random(&random) % byte_count] = (uint8_t)sample_random(&random);
            }
        }
        muster_message back;
        if (muster_wire_decode(bytes, byte_count, &back, NULL) == MUSTER_OK) {
            void *again;
            size_t again_count;
            assert_int_equal(muster_wire_encode(&back, &again, &again_count), MUSTER_OK);
            assert_int_equal(again_count, byte_count);
            assert_memory_equal(again, bytes, byte_count);
            free(again);
            understood++;
        }
        muster_message_clean_up(&back);
        free(bytes);
    }
    assert_true(understood > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_of_each_type),
        cmocka_unit_test(bytes_are_as_documented),
        cmocka_unit_test(truncated_is_refused_at_every_length),
        cmocka_unit_test(impossible_lengths_are_refused),
        cmocka_unit_test(what_cannot_be_sent_is_refused),
        cmocka_unit_test(another_version_can_be_answered),
        cmocka_unit_test(random_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
