/* SPDX-License-Identifier: Apache-2.0 */
/* Which key may speak for which slot: arithmetic, no sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/claims.h"

static const muster_key own = {"own"};
static const muster_key other = {"other"};

static muster_message rank_says(uint32_t type, int32_t slot, uint32_t incarnation)
{
    return (muster_message){.type = type, .slot = slot, .incarnation = incarnation};
}

static muster_message launcher_joins(int32_t first_slot, int32_t slot_count, int32_t process_id)
{
    muster_message join = {.type = MUSTER_MESSAGE_LAUNCHER_JOIN, .slot = MUSTER_SLOT_NONE};
    join.u.launcher_join.first_slot = first_slot;
    join.u.launcher_join.slot_count = slot_count;
    join.u.launcher_join.process_id = process_id;
    return join;
}

static bool may(const muster_claims *claims, const muster_key *key, muster_message message)
{
    return muster_claims_allow(claims, key, &message);
}

static void welcome(muster_claims *claims, const muster_key *key, int32_t slot,
                    uint32_t incarnation)
{
    muster_message said = rank_says(MUSTER_MESSAGE_WELCOME, slot, incarnation);
    assert_true(muster_claims_say(claims, key, &said));
}

static void a_slot_is_its_keys_until_it_is_lost(void **state)
{
    (void)state;
    muster_claims claims = {0};
    assert_true(may(&claims, &other, rank_says(MUSTER_MESSAGE_HEARTBEAT, 3, 0)));
    welcome(&claims, &own, 3, 0);
    assert_true(may(&claims, &own, rank_says(MUSTER_MESSAGE_HEARTBEAT, 3, 0)));
    assert_false(may(&claims, &other, rank_says(MUSTER_MESSAGE_HEARTBEAT, 3, 0)));
    assert_false(may(&claims, &other, rank_says(MUSTER_MESSAGE_JOIN, 3, 0)));
    assert_false(may(&claims, &other, rank_says(MUSTER_MESSAGE_JOIN, 3, UINT32_MAX)));
    /* The core asks the slot's launcher about this one. */
    assert_true(may(&claims, &other, rank_says(MUSTER_MESSAGE_JOIN, 3, 1)));
    assert_true(may(&claims, &other, rank_says(MUSTER_MESSAGE_HEARTBEAT, 4, 0)));
    muster_note verdict = {.kind = MUSTER_NOTE_VERDICT, .slot = 3, .incarnation = 1};
    muster_claims_note(&claims, &verdict); /* of another incarnation */
    assert_false(may(&claims, &other, rank_says(MUSTER_MESSAGE_JOIN, 3, UINT32_MAX)));
    verdict.incarnation = 0;
    muster_claims_note(&claims, &verdict);
    assert_true(may(&claims, &other, rank_says(MUSTER_MESSAGE_JOIN, 3, UINT32_MAX)));
    welcome(&claims, &other, 3, 1);
    assert_false(may(&claims, &own, rank_says(MUSTER_MESSAGE_QUIET, 3, 1)));
    muster_claims_clean_up(&claims);
}

static void nothing_is_said_to_who_does_not_hold_it(void **state)
{
    (void)state;
    muster_claims claims = {0};
    welcome(&claims, &own, 0, 2);
    muster_message agreed = rank_says(MUSTER_MESSAGE_AGREED, 0, 2);
    assert_true(muster_claims_say(&claims, &own, &agreed));
    assert_false(muster_claims_say(&claims, &other, &agreed));
    muster_message refused = rank_says(MUSTER_MESSAGE_REFUSED, 0, 2);
    assert_true(muster_claims_say(&claims, &other, &refused));
    muster_claims_clean_up(&claims);
}

static void a_launcher_speaks_for_its_own_slots(void **state)
{
    (void)state;
    muster_claims claims = {0};
    muster_message join = launcher_joins(4, 4, 100);
    assert_false(may(&claims, &own, rank_says(MUSTER_MESSAGE_EXITED, 5, 0)));
    muster_claims_hear(&claims, &own, &join);
    assert_true(may(&claims, &own, rank_says(MUSTER_MESSAGE_EXITED, 5, 0)));
    assert_true(may(&claims, &own, rank_says(MUSTER_MESSAGE_EXITED, MUSTER_SLOT_SPARE_WIRE, 0)));
    assert_false(may(&claims, &own, rank_says(MUSTER_MESSAGE_EXITED, 8, 0)));
    assert_false(may(&claims, &other, rank_says(MUSTER_MESSAGE_EXITED, 5, 0)));
    assert_false(may(&claims, &other, rank_says(MUSTER_MESSAGE_STARTED, 4, 0)));
    assert_false(may(&claims, &other, launcher_joins(0, 5, 200)));
    assert_true(may(&claims, &other, launcher_joins(0, 4, 200)));
    assert_true(may(&claims, &other, launcher_joins(8, INT32_MAX, 200)));
    assert_true(may(&claims, &own, launcher_joins(4, 4, 300)));
    /* A spare of one launcher's in a slot of another's. */
    welcome(&claims, &other, 6, 1);
    assert_true(may(&claims, &other, rank_says(MUSTER_MESSAGE_EXITED, 6, 1)));
    muster_note lost = {.kind = MUSTER_NOTE_EVIDENCE,
                        .slot = MUSTER_SLOT_NONE,
                        .evidence = MUSTER_EVIDENCE_LAUNCHER_LOST,
                        .value = 100};
    muster_claims_note(&claims, &lost);
    assert_true(may(&claims, &other, launcher_joins(0, 8, 200)));
    muster_message leave = {.type = MUSTER_MESSAGE_LAUNCHER_LEAVE, .slot = MUSTER_SLOT_NONE};
    muster_claims_hear(&claims, &own, &join);
    muster_claims_hear(&claims, &other, &leave);
    assert_false(may(&claims, &other, join));
    muster_claims_hear(&claims, &own, &leave);
    assert_true(may(&claims, &other, join));
    muster_claims_clean_up(&claims);
}

static void a_spare_is_its_keys(void **state)
{
    (void)state;
    muster_claims claims = {0};
    muster_message join = rank_says(MUSTER_MESSAGE_JOIN, MUSTER_SLOT_SPARE_WIRE, UINT32_MAX);
    join.u.join.process_id = 70;
    join.u.join.host = 9;
    muster_claims_hear(&claims, &own, &join);
    assert_true(may(&claims, &own, join));
    assert_false(may(&claims, &other, join));
    join.u.join.process_id = 71;
    assert_true(may(&claims, &other, join));
    for (int32_t i = 0; i < 10000; i++) {
        join.u.join.process_id = i; /* bounded: the oldest give way */
        muster_claims_hear(&claims, &own, &join);
    }
    assert_false(may(&claims, &other, join));
    muster_claims_clean_up(&claims);
}

static void they_are_saved_whole_or_refused(void **state)
{
    (void)state;
    muster_claims claims = {0};
    muster_claims again;
    void *bytes = NULL;
    size_t byte_count = 0;
    assert_int_equal(muster_claims_save(&claims, &bytes, &byte_count), MUSTER_OK);
    assert_int_equal(byte_count, 0);
    assert_true(muster_claims_restore(&again, bytes, byte_count));
    welcome(&claims, &own, 5, 3);
    welcome(&claims, &other, 2, 0);
    muster_message join = launcher_joins(0, 8, 100);
    muster_claims_hear(&claims, &own, &join);
    assert_int_equal(muster_claims_save(&claims, &bytes, &byte_count), MUSTER_OK);
    assert_true(muster_claims_restore(&again, bytes, byte_count));
    assert_false(may(&again, &other, rank_says(MUSTER_MESSAGE_HEARTBEAT, 5, 3)));
    assert_true(may(&again, &other, rank_says(MUSTER_MESSAGE_HEARTBEAT, 2, 0)));
    assert_false(may(&again, &other, rank_says(MUSTER_MESSAGE_EXITED, 5, 3)));
    muster_claims_clean_up(&again);
    for (size_t cut = 1; cut < byte_count; cut++)
        assert_false(muster_claims_restore(&again, bytes, cut));
    free(bytes);
    muster_claims_clean_up(&claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_is_its_keys_until_it_is_lost),
        cmocka_unit_test(nothing_is_said_to_who_does_not_hold_it),
        cmocka_unit_test(a_launcher_speaks_for_its_own_slots),
        cmocka_unit_test(a_spare_is_its_keys),
        cmocka_unit_test(they_are_saved_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
