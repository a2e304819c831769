/* SPDX-License-Identifier: Apache-2.0 */
/* Shards: sizes, and who sends which part to whom, played through without a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <muster/params.h>

#include "scope/shard.h"

#define RANKS_MAX 8
#define FULL_BYTES_MAX 256

static const int64_t ones[RANKS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1};

static void shards_are_equal_and_cover_everything(void **state)
{
    (void)state;
    assert_int_equal(muster_param_shard_elements(0, 4), 0);
    assert_int_equal(muster_param_shard_elements(1, 4), 1);
    assert_int_equal(muster_param_shard_elements(8, 4), 2);
    assert_int_equal(muster_param_shard_elements(9, 4), 3);
    assert_int_equal(muster_param_shard_elements(7, 1), 7);
    assert_int_equal(muster_param_shard_elements(INT64_MAX, 1), INT64_MAX);
    assert_int_equal(muster_param_shard_elements(INT64_MAX, 2), INT64_MAX / 2 + 1);
    assert_int_equal(muster_param_shard_elements(-1, 4), 0);
    assert_int_equal(muster_param_shard_elements(5, 0), 0);
    for (int64_t elements = 0; elements < 40; elements++)
        for (int32_t size = 1; size <= RANKS_MAX; size++) {
            int64_t shard = muster_param_shard_elements(elements, size);
            assert_true(shard * size >= elements);
            assert_true(elements == 0 || (shard - 1) * size < elements);
        }
}

static void bytes_that_leave_64_bits_are_found(void **state)
{
    (void)state;
    size_t shard = 0;
    size_t full = 0;
    assert_true(muster_shard_bytes(9, 4, 8, &shard, &full));
    assert_int_equal(shard, 24);
    assert_int_equal(full, 96);
    assert_true(muster_shard_bytes(INT64_MAX / 8, 1, 8, &shard, &full));
    assert_false(muster_shard_bytes(INT64_MAX / 8 + 1, 1, 8, &shard, &full));
    /* The elements fit, the padding does not. */
    assert_false(muster_shard_bytes(INT64_MAX, 2, 1, &shard, &full));
}

/* A job of ranks in one memory: every list's sends meet the receives of the others. */
typedef struct fake_job {
    int32_t rank_count;
    size_t shard_bytes;
    unsigned char shards[RANKS_MAX][FULL_BYTES_MAX];
    unsigned char full[RANKS_MAX][FULL_BYTES_MAX];
    muster_operation_list lists[RANKS_MAX];
    size_t sent_bytes;
} fake_job;

static muster_shard shard_of(fake_job *job, int32_t rank)
{
    return (muster_shard){
        .own_rank = rank,
        .rank_count = job->rank_count,
        .ones = ones,
        .shard_bytes = job->shard_bytes,
        .shard = job->shards[rank],
        .full = job->full[rank],
    };
}

static const muster_transport_operation *receive_from(const fake_job *job, int32_t rank,
                                                      int32_t from)
{
    const muster_transport_operation *found = NULL;
    for (size_t i = 0; i < job->lists[rank].count; i++) {
        const muster_transport_operation *operation = &job->lists[rank].operations[i];
        if (operation->kind == MUSTER_TRANSPORT_RECEIVE && operation->peer == from) {
            assert_null(found);
            found = operation;
        }
    }
    return found;
}

static void play(fake_job *job)
{
    size_t receives = 0;
    size_t sends = 0;
    job->sent_bytes = 0;
    for (int32_t rank = 0; rank < job->rank_count; rank++)
        for (size_t i = 0; i < job->lists[rank].count; i++) {
            const muster_transport_operation *operation = &job->lists[rank].operations[i];
            if (operation->kind == MUSTER_TRANSPORT_RECEIVE) {
                receives++;
            } else if (operation->kind == MUSTER_TRANSPORT_COPY) {
                memcpy(operation->data, operation->source, operation->bytes);
            } else {
                assert_int_equal(operation->kind, MUSTER_TRANSPORT_SEND);
                const muster_transport_operation *receive =
                    receive_from(job, operation->peer, rank);
                assert_non_null(receive);
                assert_int_equal(receive->bytes, operation->bytes);
                memcpy(receive->data, operation->data, operation->bytes);
                job->sent_bytes += operation->bytes;
                sends++;
            }
        }
    assert_int_equal(sends, receives);
    for (int32_t rank = 0; rank < job->rank_count; rank++)
        muster_operation_list_clear(&job->lists[rank]);
}

static void gather_then_release(int32_t rank_count, size_t shard_bytes, int32_t modifier)
{
    fake_job job = {.rank_count = rank_count, .shard_bytes = shard_bytes};
    for (int32_t rank = 0; rank < rank_count; rank++)
        memset(job.shards[rank], 10 + rank, shard_bytes);
    for (int32_t rank = 0; rank < rank_count; rank++) {
        muster_shard shard = shard_of(&job, rank);
        assert_true(muster_shard_append_gather(&job.lists[rank], &shard));
    }
    play(&job);
    for (int32_t rank = 0; rank < rank_count; rank++)
        for (int32_t part = 0; part < rank_count; part++)
            for (size_t i = 0; i < shard_bytes; i++)
                assert_int_equal(job.full[rank][(size_t)part * shard_bytes + i], 10 + part);

    for (int32_t rank = 0; rank < rank_count; rank++)
        for (size_t i = 0; i < shard_bytes * (size_t)rank_count; i++)
            job.full[rank][i] = (unsigned char)(100 * (rank == modifier) + (int)(i % 100));
    for (int32_t rank = 0; rank < rank_count; rank++) {
        muster_shard shard = shard_of(&job, rank);
        assert_true(muster_shard_append_release(&job.lists[rank], &shard, modifier));
    }
    play(&job);
    for (int32_t rank = 0; rank < rank_count; rank++)
        for (size_t i = 0; i < shard_bytes; i++)
            assert_int_equal(job.shards[rank][i],
                             100 + (int)(((size_t)rank * shard_bytes + i) % 100));
    /* Only what each rank keeps has travelled. */
    assert_int_equal(job.sent_bytes, shard_bytes * (size_t)(rank_count - 1));
    for (int32_t rank = 0; rank < rank_count; rank++)
        muster_operation_list_clean_up(&job.lists[rank]);
}

static void every_size_and_modifier(void **state)
{
    (void)state;
    for (int32_t size = 1; size <= RANKS_MAX; size++)
        for (int32_t modifier = 0; modifier < size; modifier++)
            for (size_t bytes = 0; bytes <= 12; bytes += 4)
                gather_then_release(size, bytes, modifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_equal_and_cover_everything),
        cmocka_unit_test(bytes_that_leave_64_bits_are_found),
        cmocka_unit_test(every_size_and_modifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
