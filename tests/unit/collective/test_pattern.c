/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of all ranks, run on a machine of this file that knows nothing but the order rule:
 * it must come to rest with every operation met, and every row where it belongs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collective/pattern.h"

#define RANKS_MAX 7
#define ROWS_MAX 5
#define ROW_BYTES 3
#define TOTAL_MAX (RANKS_MAX * ROWS_MAX)
#define TENSORS 2

static unsigned seed;

static int draw(int below)
{
    return (int)((unsigned)rand_r(&seed) % (unsigned)below);
}

/* ---- the machine ---- */

static muster_transport_kind partner_of(muster_transport_kind kind)
{
    switch (kind) {
    case MUSTER_TRANSPORT_SEND:
        return MUSTER_TRANSPORT_RECEIVE;
    case MUSTER_TRANSPORT_WRITE:
        return MUSTER_TRANSPORT_EXPECT_WRITE;
    case MUSTER_TRANSPORT_READ:
        return MUSTER_TRANSPORT_EXPECT_READ;
    default:
        return (muster_transport_kind)0;
    }
}

/* The ordinal-th operation of a list with this kind and peer; NULL where none. */
static const muster_transport_operation *operation_at(const muster_operation_list *list,
                                                      muster_transport_kind kind, int32_t peer,
                                                      size_t ordinal)
{
    for (size_t i = 0; i < list->count; i++) {
        const muster_transport_operation *operation = &list->operations[i];
        if (operation->kind == kind && operation->peer == peer && ordinal-- == 0)
            return operation;
    }
    return NULL;
}

static void *pointer_of(uint64_t address)
{
    const uintptr_t bits = (uintptr_t)address;
    void *pointer;
    memcpy(&pointer, &bits, sizeof(pointer));
    return pointer;
}

/* Runs all lists; returns how many operations took part, each of which must have met its partner. */
static size_t run(const muster_operation_list *lists, int32_t rank_count)
{
    size_t met = 0;
    for (int32_t rank = 0; rank < rank_count; rank++) {
        for (size_t i = 0; i < lists[rank].count; i++) {
            const muster_transport_operation *operation = &lists[rank].operations[i];
            assert_true(operation->bytes > 0);
            if (operation->kind == MUSTER_TRANSPORT_COPY) {
                assert_int_equal(operation->peer, rank);
                memmove(operation->data, operation->source, operation->bytes);
                met++;
                continue;
            }
            assert_int_not_equal(operation->peer, rank);
            const muster_transport_kind wanted = partner_of(operation->kind);
            if (wanted == 0)
                continue;
            size_t ordinal = 0;
            for (size_t j = 0; j < i; j++)
                ordinal += lists[rank].operations[j].kind == operation->kind &&
                           lists[rank].operations[j].peer == operation->peer;
            const muster_transport_operation *partner =
                operation_at(&lists[operation->peer], wanted, rank, ordinal);
            assert_non_null(partner);
            assert_int_equal(partner->bytes, operation->bytes);
            if (operation->kind == MUSTER_TRANSPORT_SEND) {
                memcpy(partner->data, operation->data, operation->bytes);
            } else {
                void *there = pointer_of(operation->peer_address);
                assert_null(partner->data);
                if (operation->kind == MUSTER_TRANSPORT_WRITE)
                    memcpy(there, operation->data, operation->bytes);
                else
                    memcpy(operation->data, there, operation->bytes);
            }
            met += 2;
        }
    }
    return met;
}

static size_t operations_of(const muster_operation_list *lists, int32_t rank_count)
{
    size_t count = 0;
    for (int32_t rank = 0; rank < rank_count; rank++)
        count += lists[rank].count;
    return count;
}

/* ---- a world of ranks with ragged rows ---- */

typedef struct world {
    int32_t rank_count;
    int32_t root;
    int64_t lengths[RANKS_MAX];
    int64_t offsets[RANKS_MAX + 1];
    unsigned char rows[TENSORS][RANKS_MAX][ROWS_MAX * ROW_BYTES];
    unsigned char all[TENSORS][RANKS_MAX][TOTAL_MAX * ROW_BYTES]; /* only the root's in gatherv */
    unsigned char chunks[TENSORS][RANKS_MAX][ROWS_MAX * ROW_BYTES];
    unsigned char expected[TENSORS][TOTAL_MAX * ROW_BYTES]; /* everyone's rows in rank order */
    muster_tensor chunk_tensors[TENSORS][RANKS_MAX];
    muster_operation_list lists[RANKS_MAX];
} world;

static world *world_new(void)
{
    world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->rank_count = 1 + draw(RANKS_MAX);
    w->root = draw(w->rank_count);
    for (int32_t rank = 0; rank < w->rank_count; rank++) {
        w->lengths[rank] = draw(3) == 0 ? 0 : draw(ROWS_MAX + 1);
        w->offsets[rank + 1] = w->offsets[rank] + w->lengths[rank];
        muster_operation_list_init(&w->lists[rank]);
        for (int tensor = 0; tensor < TENSORS; tensor++)
            w->chunk_tensors[tensor][rank] = muster_tensor_host(
                w->chunks[tensor][rank], MUSTER_DTYPE_INT8, w->lengths[rank], ROW_BYTES);
    }
    for (int tensor = 0; tensor < TENSORS; tensor++)
        for (int64_t i = 0; i < w->offsets[w->rank_count] * ROW_BYTES; i++)
            w->expected[tensor][i] = (unsigned char)(1 + draw(255));
    return w;
}

static void world_free(world *w)
{
    for (int32_t rank = 0; rank < w->rank_count; rank++)
        muster_operation_list_clean_up(&w->lists[rank]);
    free(w);
}

static const unsigned char *expected_of(const world *w, int tensor, int32_t rank)
{
    return w->expected[tensor] + w->offsets[rank] * ROW_BYTES;
}

static size_t bytes_of(const world *w, int32_t rank)
{
    return (size_t)w->lengths[rank] * ROW_BYTES;
}

typedef enum form { CONTIGUOUS, CHUNKS, DIRECT } form;

static muster_pattern pattern_of(world *w, int tensor, int32_t rank, form how, bool in_place)
{
    muster_pattern pattern = {
        .own_rank = rank,
        .rank_count = w->rank_count,
        .root = w->root,
        .lengths = w->lengths,
        .row_bytes = ROW_BYTES,
        .rows = w->rows[tensor][rank],
        .direct = how == DIRECT,
        .root_address = how == DIRECT ? (uintptr_t)w->all[tensor][w->root] : 0,
    };
    if (rank == w->root) {
        if (how == CHUNKS)
            pattern.chunks = w->chunk_tensors[tensor];
        else
            pattern.contiguous = w->all[tensor][rank];
        pattern.own_in_place = in_place;
        if (in_place)
            pattern.rows = how == CHUNKS ? w->chunks[tensor][rank]
                                         : w->all[tensor][rank] + w->offsets[rank] * ROW_BYTES;
    }
    return pattern;
}

static unsigned char *place_at_root(world *w, int tensor, int32_t rank, form how)
{
    return how == CHUNKS ? w->chunks[tensor][rank]
                         : w->all[tensor][w->root] + w->offsets[rank] * ROW_BYTES;
}

static void append_rooted(world *w, form how, bool in_place, bool gather)
{
    for (int32_t rank = 0; rank < w->rank_count; rank++) {
        assert_true(muster_operation_list_reserve(
            &w->lists[rank], TENSORS * muster_pattern_rooted_most(w->rank_count)));
        const size_t capacity = w->lists[rank].capacity;
        for (int tensor = 0; tensor < TENSORS; tensor++) {
            const muster_pattern pattern = pattern_of(w, tensor, rank, how, in_place);
            assert_true(gather ? muster_pattern_gatherv(&w->lists[rank], &pattern)
                               : muster_pattern_scatterv(&w->lists[rank], &pattern));
        }
        assert_int_equal(w->lists[rank].capacity, capacity);
    }
}

static void gatherv_brings_every_row_to_its_place(void **state)
{
    (void)state;
    for (int round = 0; round < 900; round++) {
        world *w = world_new();
        const form how = (form)(round % 3);
        const bool in_place = draw(2) == 0;
        for (int tensor = 0; tensor < TENSORS; tensor++)
            for (int32_t rank = 0; rank < w->rank_count; rank++) {
                const muster_pattern pattern = pattern_of(w, tensor, rank, how, in_place);
                memcpy(pattern.rows, expected_of(w, tensor, rank), bytes_of(w, rank));
            }
        append_rooted(w, how, in_place, true);
        assert_int_equal(run(w->lists, w->rank_count), operations_of(w->lists, w->rank_count));
        for (int tensor = 0; tensor < TENSORS; tensor++)
            for (int32_t rank = 0; rank < w->rank_count; rank++)
                assert_memory_equal(place_at_root(w, tensor, rank, how),
                                    expected_of(w, tensor, rank), bytes_of(w, rank));
        world_free(w);
    }
}

static void scatterv_is_the_mirror_image(void **state)
{
    (void)state;
    for (int round = 0; round < 900; round++) {
        world *w = world_new();
        const form how = (form)(round % 3);
        const bool in_place = draw(2) == 0;
        for (int tensor = 0; tensor < TENSORS; tensor++)
            for (int32_t rank = 0; rank < w->rank_count; rank++)
                memcpy(place_at_root(w, tensor, rank, how), expected_of(w, tensor, rank),
                       bytes_of(w, rank));
        append_rooted(w, how, in_place, false);
        assert_int_equal(run(w->lists, w->rank_count), operations_of(w->lists, w->rank_count));
        for (int tensor = 0; tensor < TENSORS; tensor++)
            for (int32_t rank = 0; rank < w->rank_count; rank++) {
                const muster_pattern pattern = pattern_of(w, tensor, rank, how, in_place);
                assert_memory_equal(pattern.rows, expected_of(w, tensor, rank), bytes_of(w, rank));
            }
        world_free(w);
    }
}

static void broadcast_copies_the_roots_rows(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        world *w = world_new();
        const bool direct = round % 2 == 0;
        const int64_t rows_count = draw(ROWS_MAX + 1);
        memset(w->rows[0][w->root], 7, sizeof(w->rows[0][w->root]));
        for (int32_t rank = 0; rank < w->rank_count; rank++) {
            const muster_pattern pattern = {
                .own_rank = rank,
                .rank_count = w->rank_count,
                .root = w->root,
                .row_bytes = ROW_BYTES,
                .rows = w->rows[0][rank],
                .rows_count = rows_count,
                .direct = direct,
                .root_address = (uintptr_t)w->rows[0][w->root],
            };
            assert_true(muster_pattern_broadcast(&w->lists[rank], &pattern));
            assert_true(w->lists[rank].count <= muster_pattern_rooted_most(w->rank_count));
        }
        assert_int_equal(run(w->lists, w->rank_count), operations_of(w->lists, w->rank_count));
        for (int32_t rank = 0; rank < w->rank_count; rank++)
            assert_memory_equal(w->rows[0][rank], w->rows[0][w->root],
                                (size_t)rows_count * ROW_BYTES);
        world_free(w);
    }
}

static void allgatherv_brings_every_row_to_everyone(void **state)
{
    (void)state;
    for (int round = 0; round < 600; round++) {
        world *w = world_new();
        const bool in_place = round % 2 == 0;
        for (int32_t rank = 0; rank < w->rank_count; rank++) {
            muster_pattern pattern = {
                .own_rank = rank,
                .rank_count = w->rank_count,
                .root = -1,
                .lengths = w->lengths,
                .row_bytes = ROW_BYTES,
                .rows = w->rows[0][rank],
                .contiguous = w->all[0][rank],
                .own_in_place = in_place,
            };
            if (in_place)
                pattern.rows = w->all[0][rank] + w->offsets[rank] * ROW_BYTES;
            memcpy(pattern.rows, expected_of(w, 0, rank), bytes_of(w, rank));
            assert_true(muster_pattern_allgatherv(&w->lists[rank], &pattern));
            assert_true(w->lists[rank].count <= muster_pattern_allgatherv_most(w->rank_count));
        }
        assert_int_equal(run(w->lists, w->rank_count), operations_of(w->lists, w->rank_count));
        for (int32_t rank = 0; rank < w->rank_count; rank++)
            assert_memory_equal(w->all[0][rank], w->expected[0],
                                (size_t)w->offsets[w->rank_count] * ROW_BYTES);
        world_free(w);
    }
}

static void p2p_lists_keep_their_order_and_copy_to_themselves(void **state)
{
    (void)state;
    unsigned char bytes[2][4][8];
    for (int rank = 0; rank < 2; rank++)
        for (int i = 0; i < 4; i++)
            memset(bytes[rank][i], 16 * rank + i + 1, sizeof(bytes[rank][i]));
    unsigned char into[2][4][8] = {{{0}}};
    const muster_pattern_transfer first[] = {
        {true, 1, bytes[0][0], 8}, {false, 0, into[0][0], 4}, {true, 0, bytes[0][1], 4},
        {true, 1, bytes[0][2], 2}, {false, 1, into[0][1], 3}, {true, 1, NULL, 0},
        {true, 0, bytes[0][3], 1}, {false, 0, into[0][2], 1},
    };
    const muster_pattern_transfer second[] = {
        {false, 0, into[1][0], 8},
        {true, 0, bytes[1][0], 3},
        {false, 0, into[1][1], 2},
        {false, 0, NULL, 0},
    };
    muster_operation_list lists[2];
    muster_operation_list_init(&lists[0]);
    muster_operation_list_init(&lists[1]);
    assert_true(muster_pattern_p2p(&lists[0], 0, first, 8));
    assert_true(muster_pattern_p2p(&lists[1], 1, second, 4));
    assert_int_equal(lists[0].count, 5);
    assert_int_equal(lists[1].count, 3);
    assert_int_equal(run(lists, 2), 8);
    assert_memory_equal(into[1][0], bytes[0][0], 8);
    assert_memory_equal(into[1][1], bytes[0][2], 2);
    assert_memory_equal(into[0][1], bytes[1][0], 3);
    assert_memory_equal(into[0][0], bytes[0][1], 4);
    assert_memory_equal(into[0][2], bytes[0][3], 1);
    uint64_t out = 0;
    uint64_t in = 0;
    muster_operation_list_bytes(&lists[0], &out, &in);
    assert_int_equal(out, 10);
    assert_int_equal(in, 3);
    assert_true(muster_pattern_p2p(&lists[0], 0, NULL, 0));
    muster_operation_list_clean_up(&lists[0]);
    muster_operation_list_clean_up(&lists[1]);
}

static void a_list_grows_clears_and_says_when_memory_is_out(void **state)
{
    (void)state;
    muster_operation_list list;
    muster_operation_list_init(&list);
    muster_transport_operation operation = {.kind = MUSTER_TRANSPORT_SEND, .peer = 1};
    assert_true(muster_operation_list_append(&list, &operation)); /* no bytes: dropped */
    assert_int_equal(list.count, 0);
    assert_null(list.operations);
    for (size_t i = 1; i <= 1000; i++) {
        operation.bytes = i;
        assert_true(muster_operation_list_append(&list, &operation));
    }
    assert_int_equal(list.count, 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(list.operations[i].bytes, i + 1);
    assert_false(muster_operation_list_reserve(&list, SIZE_MAX));
    assert_false(muster_operation_list_reserve(&list, SIZE_MAX / sizeof(operation) / 2));
    assert_int_equal(list.count, 1000);
    unsigned char here[4];
    const muster_transport_operation onto_itself = {
        .kind = MUSTER_TRANSPORT_COPY, .data = here, .source = here, .bytes = 4};
    assert_true(muster_operation_list_append(&list, &onto_itself));
    assert_int_equal(list.count, 1000);
    muster_operation_list_clear(&list);
    assert_int_equal(list.count, 0);
    assert_true(list.capacity >= 1000);
    muster_operation_list_clean_up(&list);
    assert_null(list.operations);
}

static void direct_bytes_count_on_both_sides(void **state)
{
    (void)state;
    const muster_transport_operation operations[] = {
        {.kind = MUSTER_TRANSPORT_WRITE, .bytes = 1},
        {.kind = MUSTER_TRANSPORT_EXPECT_READ, .bytes = 10},
        {.kind = MUSTER_TRANSPORT_READ, .bytes = 100},
        {.kind = MUSTER_TRANSPORT_EXPECT_WRITE, .bytes = 1000},
    };
    muster_operation_list list;
    muster_operation_list_init(&list);
    for (size_t i = 0; i < 4; i++)
        assert_true(muster_operation_list_append(&list, &operations[i]));
    uint64_t out = 0;
    uint64_t in = 0;
    muster_operation_list_bytes(&list, &out, &in);
    assert_int_equal(out, 11);
    assert_int_equal(in, 1100);
    muster_operation_list_clean_up(&list);
}

static int choose_seed(void **state)
{
    (void)state;
    seed = 19;
    print_message("seed %u\n", seed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(gatherv_brings_every_row_to_its_place, choose_seed),
        cmocka_unit_test_setup(scatterv_is_the_mirror_image, choose_seed),
        cmocka_unit_test_setup(broadcast_copies_the_roots_rows, choose_seed),
        cmocka_unit_test_setup(allgatherv_brings_every_row_to_everyone, choose_seed),
        cmocka_unit_test(p2p_lists_keep_their_order_and_copy_to_themselves),
        cmocka_unit_test(a_list_grows_clears_and_says_when_memory_is_out),
        cmocka_unit_test(direct_bytes_count_on_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
