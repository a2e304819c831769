/* SPDX-License-Identifier: Apache-2.0 */
/* The example's model learns; its batches are ragged, whoever shares them. In float, as in the job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "network.h"

static const char PROVERBS[] =
    "A chain is no stronger than its weakest link. Many hands make light work. When the root "
    "falls, the branches fall with it. What is written twice is lost half as often. The one who "
    "waits for ever has asked the wrong question. A stitch in time saves nine. ";

static void loss_falls_over_60_steps(void **state)
{
    (void)state;
    struct network *network = calloc(1, sizeof *network);
    assert_non_null(network);
    image_init(1, &network->image);
    double first = 0;
    double last = 0;
    for (uint64_t step = 1; step <= 60; step++) {
        struct batch batch;
        batch_make(1, step, (int64_t)strlen(PROVERBS), &batch);
        double loss = network_loss(network, (const uint8_t *)PROVERBS, &batch, 1);
        network_update(network, step);
        first = step <= 5 ? first + loss / 5 : first;
        last = step > 55 ? last + loss / 5 : last;
    }
    free(network);
    assert_true(first > 4.0);        /* nearly log 256 at the start */
    assert_true(last < first - 1.5); /* letter frequencies and more */
}

static void batches_are_the_same_for_any_number_of_ranks(void **state)
{
    (void)state;
    for (uint64_t step = 0; step < 100; step++) {
        struct batch batch;
        batch_make(5, step, 1000, &batch);
        int64_t rows = 0;
        for (int i = 0; i < BATCH_SEQUENCES; i++) {
            const struct batch_sequence *sequence = &batch.sequences[i];
            assert_true(sequence->rows >= 1 && sequence->rows <= MODEL_CONTEXT);
            /* the byte after the last one is read too */
            assert_true(sequence->begin >= 0 && sequence->begin + sequence->rows < 1000);
            rows += sequence->rows;
        }
        assert_int_equal(rows, batch.rows);
        for (int32_t size = 1; size <= 6; size++) {
            int64_t counts[6];
            int64_t sum = 0;
            batch_share(5, step, size, counts);
            for (int32_t r = 0; r < size; r++) {
                assert_true(counts[r] >= 0);
                sum += counts[r];
            }
            assert_int_equal(sum, BATCH_SEQUENCES);
        }
    }
}

static void shares_are_ragged_and_sometimes_empty(void **state)
{
    (void)state;
    int empty[4] = {0};
    int uneven = 0;
    for (uint64_t step = 1; step <= 60; step++) {
        int64_t counts[4];
        batch_share(1, step, 4, counts);
        for (int r = 0; r < 4; r++) {
            empty[r] += counts[r] == 0;
        }
        uneven += counts[0] != counts[1] || counts[1] != counts[2] || counts[2] != counts[3];
    }
    for (int r = 0; r < 4; r++) {
        assert_true(empty[r] > 0); /* the root too */
        assert_true(empty[r] < 30);
    }
    assert_true(uneven > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_falls_over_60_steps),
        cmocka_unit_test(batches_are_the_same_for_any_number_of_ranks),
        cmocka_unit_test(shares_are_ragged_and_sometimes_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
