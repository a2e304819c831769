/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/outbox.h"

static void put(muster_outbox *outbox, uint32_t type, uint64_t epoch)
{
    muster_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    message.epoch = epoch;
    if (type == MUSTER_MESSAGE_QUIET) {
        message.u.quiet.holding_count = 2;
        message.u.quiet.holdings = calloc(2, sizeof(muster_holding));
    }
    assert_true(muster_outbox_put(outbox, &message));
    assert_int_equal(message.type, 0); /* taken over */
}

static void put_evidence(muster_outbox *outbox, uint32_t evidence, int32_t slot,
                         uint32_t incarnation)
{
    muster_message message;
    memset(&message, 0, sizeof message);
    message.type = MUSTER_MESSAGE_EVIDENCE;
    message.epoch = 1;
    message.u.evidence.evidence = evidence;
    message.u.evidence.accused_slot = slot;
    message.u.evidence.accused_incarnation = incarnation;
    assert_true(muster_outbox_put(outbox, &message));
}

static void send_all(muster_outbox *outbox)
{
    for (muster_outbox_entry *entry = NULL; (entry = muster_outbox_next(outbox)) != NULL;) {
        entry->sent = true;
    }
}

static void sent_in_order_once_and_again(void **state)
{
    (void)state;
    muster_outbox outbox;
    muster_outbox_init(&outbox);
    assert_null(muster_outbox_next(&outbox));
    put(&outbox, MUSTER_MESSAGE_QUIET, 1);
    put(&outbox, MUSTER_MESSAGE_COMMITTED, 1);
    assert_int_equal(muster_outbox_next(&outbox)->message.type, MUSTER_MESSAGE_QUIET);
    muster_outbox_next(&outbox)->sent = true;
    assert_int_equal(muster_outbox_next(&outbox)->message.type, MUSTER_MESSAGE_COMMITTED);
    muster_outbox_next(&outbox)->sent = true;
    assert_null(muster_outbox_next(&outbox));
    muster_outbox_send_again(&outbox);
    assert_int_equal(muster_outbox_next(&outbox)->message.type, MUSTER_MESSAGE_QUIET);
    muster_outbox_clean_up(&outbox);
}

static void a_later_one_takes_its_place(void **state)
{
    (void)state;
    muster_outbox outbox;
    muster_outbox_init(&outbox);
    put(&outbox, MUSTER_MESSAGE_QUIET, 1);
    send_all(&outbox);
    put(&outbox, MUSTER_MESSAGE_QUIET, 2);
    assert_int_equal(outbox.count, 1);
    assert_int_equal(muster_outbox_next(&outbox)->message.epoch, 2);
    muster_outbox_clean_up(&outbox);
}

static void evidence_is_kept_once(void **state)
{
    (void)state;
    muster_outbox outbox;
    muster_outbox_init(&outbox);
    for (int32_t slot = 0; slot < 20; slot++) {
        put_evidence(&outbox, MUSTER_EVIDENCE_ROBUST_FUTEX, slot, 0);
        put_evidence(&outbox, MUSTER_EVIDENCE_ROBUST_FUTEX, slot, 0);
        put_evidence(&outbox, MUSTER_EVIDENCE_BATCH_DEADLINE, slot, 0);
    }
    assert_int_equal(outbox.count, 40);
    send_all(&outbox);
    put_evidence(&outbox, MUSTER_EVIDENCE_ROBUST_FUTEX, 3, 0);
    assert_null(muster_outbox_next(&outbox)); /* said already */
    put_evidence(&outbox, MUSTER_EVIDENCE_ROBUST_FUTEX, 3, 1);
    assert_non_null(muster_outbox_next(&outbox)); /* another process */
    muster_outbox_clean_up(&outbox);
}

static void resumed_has_two_parts(void **state)
{
    (void)state;
    muster_outbox outbox;
    muster_outbox_init(&outbox);
    muster_message message;
    memset(&message, 0, sizeof message);
    message.type = MUSTER_MESSAGE_RESUMED;
    message.epoch = 2;
    message.u.resumed.returned_ns = 10;
    assert_true(muster_outbox_put(&outbox, &message));
    message.type = MUSTER_MESSAGE_RESUMED;
    message.epoch = 2;
    message.u.resumed.first_batch_ns = 20;
    assert_true(muster_outbox_put(&outbox, &message));
    assert_int_equal(outbox.count, 2);
    message.type = MUSTER_MESSAGE_RESUMED;
    message.epoch = 3;
    message.u.resumed.returned_ns = 30;
    assert_true(muster_outbox_put(&outbox, &message));
    assert_int_equal(outbox.count, 2);
    assert_int_equal(outbox.entries[0].message.u.resumed.first_batch_ns, 20);
    assert_int_equal(outbox.entries[1].message.u.resumed.returned_ns, 30);
    muster_outbox_clean_up(&outbox);
}

static void a_new_epoch_supersedes_the_old(void **state)
{
    (void)state;
    muster_outbox outbox;
    muster_outbox_init(&outbox);
    put(&outbox, MUSTER_MESSAGE_QUIET, 1);
    put(&outbox, MUSTER_MESSAGE_COMMITTED, 1);
    put(&outbox, MUSTER_MESSAGE_CONNECTED, 2);
    muster_outbox_agreed(&outbox, 2);
    assert_int_equal(outbox.count, 1);
    assert_int_equal(outbox.entries[0].message.type, MUSTER_MESSAGE_CONNECTED);
    muster_outbox_clean_up(&outbox);
}

static void a_revoke_supersedes_what_it_answers(void **state)
{
    (void)state;
    muster_outbox outbox;
    muster_outbox_init(&outbox);
    put(&outbox, MUSTER_MESSAGE_CONNECTED, 1);
    put(&outbox, MUSTER_MESSAGE_COMMITTED, 1);
    put_evidence(&outbox, MUSTER_EVIDENCE_ROBUST_FUTEX, 2, 0);
    put_evidence(&outbox, MUSTER_EVIDENCE_ROBUST_FUTEX, 3, 1);
    muster_death deaths[2] = {{.slot = 2, .incarnation = 0}, {.slot = 3, .incarnation = 0}};
    muster_outbox_revoked(&outbox, 1, deaths, 2);
    assert_int_equal(outbox.count, 2);
    assert_int_equal(outbox.entries[0].message.type, MUSTER_MESSAGE_COMMITTED);
    assert_int_equal(outbox.entries[1].message.u.evidence.accused_slot, 3);
    muster_outbox_clean_up(&outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sent_in_order_once_and_again),
        cmocka_unit_test(a_later_one_takes_its_place),
        cmocka_unit_test(evidence_is_kept_once),
        cmocka_unit_test(resumed_has_two_parts),
        cmocka_unit_test(a_new_epoch_supersedes_the_old),
        cmocka_unit_test(a_revoke_supersedes_what_it_answers),
    };
    return cmocka_run_group_tests_name("agent_outbox", tests, NULL, NULL);
}
