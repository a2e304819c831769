/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives on rings, against what they should give, computed in the plainest way. One group of ranks lives through
 * many of them, since each begins at the step that the one before has left. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "tests/emulated_device/kernel_function.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CALLS 10
#else
#define CALLS 20
#endif
#define GUARD 0xa5
#define GUARD_BYTES 16

static const size_t element_bytes[KERNEL_TYPES] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};

typedef struct collective {
    kernel_kind kind;
    kernel_operation operation;
    kernel_type type;
    bool maximum;
    enum nccl_protocol protocol;
    size_t count; /* elements of the smaller buffer, as NCCL counts them */
    int root;
    bool in_place;
} collective;

static bool type_is_float(kernel_type type)
{
    return type >= KERNEL_FLOAT16;
}

static bool type_is_unsigned(kernel_type type)
{
    return type == KERNEL_UINT8 || type == KERNEL_UINT32 || type == KERNEL_UINT64;
}

static void value_store(kernel_type type, uint8_t *at, double value)
{
    int64_t whole = (int64_t)value;
    float single = (float)value;
    uint16_t half = kernel_float16_from_float(single);
    uint16_t brain = kernel_bfloat16_from_float(single);

    switch (type) {
    case KERNEL_FLOAT16:
        memcpy(at, &half, sizeof(half));
        return;
    case KERNEL_BFLOAT16:
        memcpy(at, &brain, sizeof(brain));
        return;
    case KERNEL_FLOAT32:
        memcpy(at, &single, sizeof(single));
        return;
    case KERNEL_FLOAT64:
        memcpy(at, &value, sizeof(value));
        return;
    default:
        memcpy(at, &whole, element_bytes[type]);
    }
}

static double value_load(kernel_type type, const uint8_t *at)
{
    uint64_t whole = 0;
    float single;
    double value;
    unsigned unused;

    memcpy(&whole, at, element_bytes[type]);
    memcpy(&value, &whole, sizeof(value));
    memcpy(&single, &whole, sizeof(single));
    switch (type) {
    case KERNEL_FLOAT16:
        return (double)kernel_float16_to_float((uint16_t)whole);
    case KERNEL_BFLOAT16:
        return (double)kernel_bfloat16_to_float((uint16_t)whole);
    case KERNEL_FLOAT32:
        return (double)single;
    case KERNEL_FLOAT64:
        return value;
    default:
        if (type_is_unsigned(type))
            return (double)whole;
        unused = 64 - 8 * (unsigned)element_bytes[type];
        return (double)((int64_t)(whole << unused) >> unused);
    }
}

/* As NCCL's host code makes it. */
static uint64_t make_argument(const collective *call, int ranks)
{
    unsigned bits = 8 * (unsigned)element_bytes[call->type];
    uint64_t all_bits = UINT64_MAX >> (64 - bits);
    uint64_t argument = 0;

    switch (call->operation) {
    case KERNEL_MINIMUM_OR_MAXIMUM:
        if (!type_is_float(call->type) && !type_is_unsigned(call->type))
            argument = all_bits ^ all_bits >> 1;
        return argument ^ (call->maximum ? all_bits : 0);
    case KERNEL_SCALED_SUM:
        value_store(call->type, (uint8_t *)&argument, 1.0 / ranks);
        return argument;
    case KERNEL_DIVIDED_SUM:
        return (uint64_t)ranks << 1 | (type_is_unsigned(call->type) ? 0 : 1);
    default:
        return 0;
    }
}

static unsigned function_number(const collective *call)
{
    kernel_type built = call->type;

    if (built == KERNEL_INT8 || built == KERNEL_INT32 || built == KERNEL_INT64)
        built = (kernel_type)(built + 1);
    for (unsigned number = 0;; number++) {
        kernel_function function;

        assert_true(kernel_function_find(number, &function));
        if (function.kind == call->kind && strcmp(function.algorithm, "RING") == 0 &&
            function.protocol == call->protocol &&
            (!kernel_function_reduces(call->kind) ||
             (function.operation == call->operation && function.type == built)))
            return number;
    }
}

static double small_value(fake_group *group, const collective *call)
{
    double value =
        (double)fake_random_below(group, 3) + (call->operation == KERNEL_PRODUCT ? 1 : 0);

    if (!kernel_function_reduces(call->kind))
        return (double)fake_random_below(group, 100);
    return type_is_unsigned(call->type) || fake_random_below(group, 2) == 0 ? value : -value;
}

/* Elements of a rank's send and receive buffers. */
static size_t send_count(const collective *call, int ranks)
{
    return call->kind == KERNEL_REDUCE_SCATTER ? call->count * (size_t)ranks : call->count;
}

static size_t receive_count(const collective *call, int ranks)
{
    return call->kind == KERNEL_ALL_GATHER ? call->count * (size_t)ranks : call->count;
}

typedef struct memory {
    double *values[FAKE_RANKS_MAX]; /* what each rank brings */
    uint8_t *whole[FAKE_RANKS_MAX]; /* of one rank: what both buffers lie in if they are one */
    uint8_t *send[FAKE_RANKS_MAX];
    uint8_t *receive[FAKE_RANKS_MAX];
} memory;

static void memory_init(memory *all, fake_group *group, const collective *call)
{
    size_t bytes = element_bytes[call->type];
    size_t sends = send_count(call, group->rank_count) * bytes;
    size_t receives = receive_count(call, group->rank_count) * bytes;

    for (int rank = 0; rank < group->rank_count; rank++) {
        all->whole[rank] = malloc(sends + receives + 2 * (size_t)GUARD_BYTES);
        all->values[rank] = calloc(sends / bytes, sizeof(double));
        assert_non_null(all->whole[rank]);
        assert_non_null(all->values[rank]);
        memset(all->whole[rank], GUARD, sends + receives + 2 * (size_t)GUARD_BYTES);
        all->receive[rank] = all->whole[rank];
        all->send[rank] = all->whole[rank] + receives + GUARD_BYTES;
        if (call->in_place && call->kind == KERNEL_REDUCE_SCATTER) {
            all->send[rank] = all->whole[rank];
            all->receive[rank] = all->send[rank] + (size_t)rank * receives;
        } else if (call->in_place) {
            all->send[rank] =
                all->receive[rank] + (call->kind == KERNEL_ALL_GATHER ? (size_t)rank * sends : 0);
        }
        for (size_t at = 0; at < sends / bytes; at++) {
            all->values[rank][at] = small_value(group, call);
            value_store(call->type, all->send[rank] + at * bytes, all->values[rank][at]);
        }
    }
}

static double expected_value(const collective *call, const memory *all, int ranks, int rank,
                             size_t at)
{
    size_t from = call->kind == KERNEL_REDUCE_SCATTER ? at + (size_t)rank * call->count : at;
    double value = all->values[0][kernel_function_reduces(call->kind) ? from : 0];

    if (call->kind == KERNEL_ALL_GATHER)
        return all->values[at / call->count][at % call->count];
    if (call->kind == KERNEL_BROADCAST)
        return all->values[call->root][at];
    for (int other = 1; other < ranks; other++) {
        double with = all->values[other][from];

        if (call->operation == KERNEL_PRODUCT)
            value *= with;
        else if (call->operation == KERNEL_MINIMUM_OR_MAXIMUM)
            value = call->maximum ? fmax(value, with) : fmin(value, with);
        else
            value += with;
    }
    if (call->operation == KERNEL_DIVIDED_SUM)
        return trunc(value / ranks);
    return call->operation == KERNEL_SCALED_SUM ? value / ranks : value;
}

static void memory_check(memory *all, const fake_group *group, const collective *call)
{
    size_t bytes = element_bytes[call->type];
    size_t receives = receive_count(call, group->rank_count);
    double allowed = call->operation == KERNEL_SCALED_SUM ? 0.03 : 0;

    for (int rank = 0; rank < group->rank_count; rank++) {
        bool has_result = call->kind != KERNEL_REDUCE || rank == call->root;
        const uint8_t *end = all->receive[rank] + receives * bytes;

        for (size_t at = 0; at < receives && has_result; at++) {
            double expected = expected_value(call, all, group->rank_count, rank, at);
            double got = value_load(call->type, all->receive[rank] + at * bytes);

            if (!(fabs(expected - got) <= allowed))
                fail_msg("kind %d operation %d type %d protocol %d, rank %d of %d, element %zu of "
                         "%zu: %f, not %f",
                         (int)call->kind, (int)call->operation, (int)call->type,
                         (int)call->protocol, rank, group->rank_count, at, receives, got, expected);
        }
        for (size_t at = 0; at < GUARD_BYTES && !call->in_place; at++)
            assert_int_equal(end[at], GUARD);
    }
    for (int rank = 0; rank < group->rank_count; rank++) {
        free(all->whole[rank]);
        free(all->values[rank]);
    }
}

static bool two_slices(const collective *call)
{
    return call->protocol == NCCL_SIMPLE &&
           (call->kind == KERNEL_ALL_GATHER || call->kind == KERNEL_ALL_REDUCE ||
            call->kind == KERNEL_REDUCE_SCATTER);
}

static nccl_collective_work make_work(const fake_group *group, const collective *call,
                                      const memory *all, int rank)
{
    size_t first = group->channel_count == 1 ? call->count : call->count / 3;
    uint64_t grains = call->protocol == NCCL_LL
                          ? FAKE_LINE_SLOT_BYTES / 2 / NCCL_GRAIN_BYTES_LL
                          : FAKE_SLOT_BYTES / NCCL_GRAIN_BYTES_SIMPLE * (two_slices(call) ? 4 : 1);

    return (nccl_collective_work){
        .first_channel = 0,
        .last_channel = (uint8_t)(group->channel_count - 1),
        .warps = 16,
        .root = (uint32_t)call->root,
        .receive_buffer = all->receive[rank],
        .send_buffer = all->send[rank],
        .first_count = first,
        .last_count = call->count - first,
        .chunk_grains = grains | grains << 21 | grains << 42,
        .argument = make_argument(call, group->rank_count),
    };
}

static void run(fake_group *group, const collective *call, bool in_ring)
{
    fake_launch *launches = calloc((size_t)group->rank_count, sizeof(*launches));
    memory all;

    assert_non_null(launches);
    memory_init(&all, group, call);
    for (int rank = 0; rank < group->rank_count; rank++) {
        nccl_collective_work work = make_work(group, call, &all, rank);

        fake_launch_init(&launches[rank], group, rank, (unsigned)group->channel_count, in_ring);
        for (unsigned channel = 0; channel < (unsigned)group->channel_count; channel++)
            fake_launch_batch(&launches[rank], channel, NCCL_WORK_COLLECTIVE, function_number(call),
                              0, false, &work, 1);
    }
    fake_group_run(group, launches, call->protocol, two_slices(call) ? 2 : 1,
                   two_slices(call) ? 4 : 1);
    memory_check(&all, group, call);
    free(launches);
}

static const size_t sizes[] = {1, 2, 3, 17, 1000, 1024, 4097, 16384, 70001};

/* Every kind, size, number of ranks and way, of bytes and of one type that is reduced, chosen at random. */
static void random_calls(fake_group *group, size_t times)
{
    static const kernel_kind kinds[] = {KERNEL_ALL_GATHER, KERNEL_ALL_REDUCE, KERNEL_BROADCAST,
                                        KERNEL_REDUCE, KERNEL_REDUCE_SCATTER};

    for (size_t time = 0; time < times; time++) {
        collective call = {.kind = kinds[time % 5],
                           .type = KERNEL_INT8,
                           .protocol = fake_random_below(group, 2) == 0 ? NCCL_LL : NCCL_SIMPLE,
                           .count =
                               sizes[fake_random_below(group, sizeof(sizes) / sizeof(sizes[0]))],
                           .root = (int)fake_random_below(group, (size_t)group->rank_count),
                           .in_place = fake_random_below(group, 2) == 0};

        if (kernel_function_reduces(call.kind)) {
            call.type = KERNEL_FLOAT32;
            call.count = call.count / 4 + 1;
        }
        run(group, &call, fake_random_below(group, 2) == 0);
    }
}

static void all_kinds_give_what_they_should(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= FAKE_RANKS_MAX; ranks++) {
        for (int way = FAKE_DIRECT; way <= FAKE_PROXIED; way++) {
            fake_group group;

            fake_group_init(&group, ranks, 1 + way % 2, (fake_way)way, 0, fake_seed());
            random_calls(&group, CALLS);
            fake_group_clear(&group);
            fake_group_init(&group, ranks, 2 - way % 2, (fake_way)way, 0, fake_seed());
            random_calls(&group, CALLS / 2);
            fake_group_clear(&group);
        }
    }
}

static void one_type(fake_group *group, kernel_type type, enum nccl_protocol protocol)
{
    static const kernel_operation operations[] = {KERNEL_SUM, KERNEL_PRODUCT,
                                                  KERNEL_MINIMUM_OR_MAXIMUM,
                                                  KERNEL_MINIMUM_OR_MAXIMUM, KERNEL_DIVIDED_SUM};

    for (size_t at = 0; at < 5; at++) {
        collective call = {.kind = KERNEL_ALL_REDUCE,
                           .operation = operations[at],
                           .type = type,
                           .maximum = at == 3,
                           .protocol = protocol,
                           .count = 777};

        if (call.operation == KERNEL_DIVIDED_SUM && type_is_float(type))
            call.operation = KERNEL_SCALED_SUM;
        run(group, &call, false);
    }
}

static void all_types_are_reduced(void **state)
{
    fake_group group;

    (void)state;
    fake_group_init(&group, 3, 1, FAKE_DIRECT, 0, fake_seed());
    for (int type = 0; type <= KERNEL_BFLOAT16; type++) {
        one_type(&group, (kernel_type)type, NCCL_LL);
        one_type(&group, (kernel_type)type, NCCL_SIMPLE);
    }
    fake_group_clear(&group);
}

/* Three all-reduces in one batch, an argument that is read from memory, and a further batch. */
static void several_works_in_a_batch(void **state)
{
    const collective call = {.kind = KERNEL_ALL_REDUCE,
                             .operation = KERNEL_SCALED_SUM,
                             .type = KERNEL_FLOAT64,
                             .protocol = NCCL_SIMPLE,
                             .count = 5000};
    fake_launch launches[2];
    fake_group group;
    memory all[4];
    double factor = 0.5;

    (void)state;
    fake_group_init(&group, 2, 1, FAKE_PROXIED, 0, fake_seed());
    for (int which = 0; which < 4; which++)
        memory_init(&all[which], &group, &call);
    for (int rank = 0; rank < 2; rank++) {
        nccl_collective_work works[4];

        for (int which = 0; which < 4; which++)
            works[which] = make_work(&group, &call, &all[which], rank);
        works[1].argument = (uint64_t)(uintptr_t)&factor;
        works[1].flags = NCCL_COLLECTIVE_ARGUMENT_IS_ADDRESS;
        fake_launch_init(&launches[rank], &group, rank, 3, rank == 0);
        fake_launch_batch(&launches[rank], 0, NCCL_WORK_COLLECTIVE, function_number(&call), 1, true,
                          works, 2);
        fake_launch_batch(&launches[rank], 1, NCCL_WORK_COLLECTIVE, function_number(&call), 1,
                          false, works + 2, 1);
        fake_launch_batch(&launches[rank], 2, NCCL_WORK_COLLECTIVE, function_number(&call), 0,
                          false, works + 3, 1);
    }
    fake_group_run(&group, launches, NCCL_SIMPLE, 2, 4);
    for (int which = 0; which < 4; which++)
        memory_check(&all[which], &group, &call);
    assert_int_equal(group.devices[0].communicator->channels[0].work_count, 4);
    fake_group_clear(&group);
}

/* Broadcasts of one group: each rank's bytes to all, of ragged sizes, a piece of each in turn. */
static void broadcasts(fake_group *group, enum nccl_protocol protocol)
{
    const collective call = {.kind = KERNEL_BROADCASTS, .type = KERNEL_UINT8, .protocol = protocol};
    int ranks = group->rank_count;
    fake_launch launches[FAKE_RANKS_MAX];
    size_t bytes[FAKE_RANKS_MAX];
    uint8_t *sent[FAKE_RANKS_MAX];
    uint8_t *received[FAKE_RANKS_MAX][FAKE_RANKS_MAX];

    for (int root = 0; root < ranks; root++) {
        bytes[root] = fake_random_below(group, 3) == 0 ? 0 : fake_random_below(group, 50000);
        sent[root] = malloc(bytes[root] + 1);
        for (size_t at = 0; at < bytes[root]; at++)
            sent[root][at] = (uint8_t)fake_random(group);
        for (int rank = 0; rank < ranks; rank++)
            received[rank][root] =
                rank == root && root % 2 == 0 ? sent[root] : calloc(1, bytes[root] + 1);
    }
    for (int rank = 0; rank < ranks; rank++) {
        nccl_broadcast_work works[FAKE_RANKS_MAX];

        for (int depth = 0; depth < ranks; depth++) {
            int root = (rank + ranks - depth) % ranks;

            works[depth] =
                (nccl_broadcast_work){.depth = depth,
                                      .chunk_bytes = protocol == NCCL_LL ? 1024 : FAKE_SLOT_BYTES,
                                      .send_buffer = depth == 0 ? sent[root] : NULL,
                                      .receive_buffer = received[rank][root],
                                      .bytes = bytes[root]};
        }
        fake_launch_init(&launches[rank], group, rank, 1, rank % 2 == 0);
        fake_launch_batch(&launches[rank], 0, NCCL_WORK_BROADCASTS, function_number(&call), 0,
                          false, works, (size_t)ranks);
    }
    fake_group_run(group, launches, protocol, 1, 1);
    for (int root = 0; root < ranks; root++) {
        for (int rank = 0; rank < ranks; rank++) {
            assert_memory_equal(sent[root], received[rank][root], bytes[root]);
            if (received[rank][root] != sent[root])
                free(received[rank][root]);
        }
        free(sent[root]);
    }
}

static void broadcasts_of_one_group_travel_together(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= 4; ranks++) {
        for (int way = FAKE_DIRECT; way <= FAKE_PROXIED; way++) {
            fake_group group;

            fake_group_init(&group, ranks, 1, (fake_way)way, 3, fake_seed());
            for (int time = 0; time < 10; time++)
                broadcasts(&group, time % 2 == 0 ? NCCL_LL : NCCL_SIMPLE);
            fake_group_clear(&group);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_give_what_they_should),
        cmocka_unit_test(all_types_are_reduced),
        cmocka_unit_test(several_works_in_a_batch),
        cmocka_unit_test(broadcasts_of_one_group_travel_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
