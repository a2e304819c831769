/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of everyone's word about its device: connect, shrink, or the same refusal everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collective/device_offer.h"

enum { SIZE = 4, PLACE_BYTES = 384 };

static unsigned char board[SIZE * PLACE_BYTES];

static muster_device_offer *offer_of(int32_t rank)
{
    return (muster_device_offer *)(void *)(board + rank * PLACE_BYTES);
}

static void agree(void)
{
    memset(board, 0, sizeof(board));
    for (int32_t rank = 0; rank < SIZE; rank++) {
        muster_device_offer *offer = offer_of(rank);
        offer->version = MUSTER_DEVICE_OFFER_VERSION;
        offer->stage = MUSTER_DEVICE_STAGE_OFFER;
        offer->epoch = 7;
        offer->communicator = 1;
        snprintf(offer->plane, sizeof(offer->plane), "nccl");
        offer->plane_version = 22907;
        offer->makes_id = offer->has_id = rank == 0;
    }
}

static muster_device_plan plan(muster_error *error)
{
    muster_error_init(error);
    return muster_device_plan_of(board, PLACE_BYTES, SIZE, error);
}

static void assert_refused(muster_status status, int32_t rank, const char *said)
{
    muster_error error;
    const muster_device_plan found = plan(&error);
    assert_int_equal(found.status, status);
    assert_int_equal(found.rank, rank);
    assert_int_equal(error.status, status);
    assert_int_equal(error.rank, rank);
    if (strstr(error.message, said) == NULL)
        fail_msg("'%s' lacks '%s'", error.message, said);
    assert_int_equal(muster_device_plan_of(board, PLACE_BYTES, SIZE, NULL).status, status);
}

static void alike(void **state)
{
    (void)state;
    muster_error error;
    agree();
    muster_device_plan found = plan(&error);
    assert_int_equal(found.status, MUSTER_OK);
    assert_true(found.has_plane && found.ids_complete && !found.shrink && found.rank == -1);
    for (int32_t rank = 0; rank < SIZE; rank++)
        offer_of(rank)->plane[0] = '\0';
    found = plan(&error);
    assert_int_equal(found.status, MUSTER_OK);
    assert_false(found.has_plane);
}

static void the_same_parent_everywhere_is_shrunk(void **state)
{
    (void)state;
    muster_error error;
    agree();
    for (int32_t rank = 0; rank < SIZE; rank++)
        offer_of(rank)->parent_epoch = 6;
    offer_of(0)->has_id = 0;
    muster_device_plan found = plan(&error);
    assert_true(found.shrink && !found.ids_complete);
    offer_of(2)->parent_epoch = 5; /* it was not in epoch 6, or could not keep it */
    assert_false(plan(&error).shrink);
    offer_of(2)->parent_epoch = 6;
    offer_of(0)->parent_epoch = 0;
    assert_false(plan(&error).shrink);
}

static void who_differs_is_named(void **state)
{
    (void)state;
    agree();
    offer_of(2)->plane[0] = '\0';
    assert_refused(MUSTER_ERR_NO_DEVICE_PLANE, 2, "rank 2 was joined with device plane \"\"");
    agree();
    offer_of(3)->plane_version = 22809;
    assert_refused(MUSTER_ERR_VERSION, 3, "another version");
    agree();
    offer_of(1)->version = 9;
    assert_refused(MUSTER_ERR_VERSION, 1, "one version of Muster");
    agree();
    offer_of(1)->stage = MUSTER_DEVICE_STAGE_IDS;
    assert_refused(MUSTER_ERR_VERSION, 1, "in another way");
    agree();
    offer_of(1)->epoch = 6;
    assert_refused(MUSTER_ERR_EPOCH, 1, "another epoch");
    agree();
    offer_of(1)->communicator = 6;
    assert_refused(MUSTER_ERR_EPOCH, 1, "another epoch");
}

static void the_lowest_failure_is_everyones(void **state)
{
    (void)state;
    agree();
    offer_of(3)->status = MUSTER_ERR_NO_MEMORY;
    offer_of(2)->status = MUSTER_ERR_DEVICE_CALL;
    offer_of(2)->native_code = 6;
    snprintf(offer_of(2)->text, sizeof(offer_of(2)->text), "no route");
    assert_refused(MUSTER_ERR_DEVICE_CALL, 2, "rank 2: no route");
    muster_error error;
    (void)plan(&error);
    assert_int_equal(error.native_code, 6);
    /* One that only waited for the one that failed does not take its place. */
    offer_of(0)->status = offer_of(1)->status = MUSTER_ERR_TIMEOUT;
    offer_of(0)->gave_up = offer_of(1)->gave_up = 1;
    assert_refused(MUSTER_ERR_DEVICE_CALL, 2, "no route");
    offer_of(2)->status = offer_of(3)->status = MUSTER_OK;
    assert_refused(MUSTER_ERR_TIMEOUT, 0, "rank 0");
    /* A text without an end. */
    agree();
    offer_of(1)->status = MUSTER_ERR_SYSTEM;
    memset(offer_of(1)->text, 'x', sizeof(offer_of(1)->text));
    assert_refused(MUSTER_ERR_SYSTEM, 1, "xxx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alike),
        cmocka_unit_test(the_same_parent_everywhere_is_shrunk),
        cmocka_unit_test(who_differs_is_named),
        cmocka_unit_test(the_lowest_failure_is_everyones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
