/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds and transfers through the ring, through the table, among threads and among processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "group.h"

/* Sanitizers make everything many times slower; the interleavings differ all the same. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SCALE 10
#else
#define SCALE 1
#endif

#define ROUNDS (4000 / SCALE)
#define TRANSFERS (40 / (SCALE > 1 ? 4 : 1))
#define TRANSFER_BYTES_MAX ((size_t)8 << 20)

typedef struct said {
    uint64_t round;
    uint64_t rank;
    uint64_t random;
    uint64_t check;
    uint8_t rest[MUSTER_ROUND_BYTES - 32];
} said;

static void maybe_dawdle(group_rank *self)
{
    uint64_t dice = group_random(&self->random) % 400;
    struct timespec pause = {.tv_nsec = (long)(group_random(&self->random) % 200000)};

    if (dice == 0)
        nanosleep(&pause, NULL);
    else if (dice < 40)
        for (volatile uint64_t spin = dice * 20; spin > 0; spin--)
            ;
}

static void expect_said(const said *all, int32_t rank_count, uint64_t round)
{
    for (int32_t rank = 0; rank < rank_count; rank++) {
        CHECK(all[rank].round == round);
        CHECK(all[rank].rank == (uint64_t)rank);
        CHECK(all[rank].check == (all[rank].random ^ round));
        CHECK(all[rank].rest[sizeof all[rank].rest - 1] == (uint8_t)round);
    }
}

static void do_rounds(group_rank *self)
{
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        said own = {.round = round, .rank = (uint64_t)self->rank};
        const said *all;

        own.random = group_random(&self->random);
        own.check = own.random ^ round;
        memset(own.rest, (int)(uint8_t)round, sizeof own.rest);
        maybe_dawdle(self);
        all = group_round(self, &own);
        expect_said(all, self->rank_count, round);
        maybe_dawdle(self);
        /* Still valid, although others may have posted the next round. */
        expect_said(all, self->rank_count, round);
    }
}

static void rounds_among_threads(void **state)
{
    (void)state;
    for (int32_t rank_count = 1; rank_count <= 5; rank_count++)
        group_run_threads(rank_count, do_rounds, NULL);
}

static void rounds_among_processes(void **state)
{
    (void)state;
    group_run_processes(2, do_rounds, NULL);
    group_run_processes(4, do_rounds, NULL);
}

static void do_validity(group_rank *self)
{
    const struct timespec pause = {.tv_nsec = 2000000};

    /* The payloads of a round stay valid over the own post of the next one, however far the others are. */
    for (uint64_t round = 1; round <= 60; round += 2) {
        said own = {.round = round, .rank = (uint64_t)self->rank};
        const said *all;
        const said *next;

        memset(own.rest, (int)(uint8_t)round, sizeof own.rest);
        own.check = own.random ^ round;
        all = group_round(self, &own);
        own.round = round + 1;
        own.check = own.random ^ (round + 1);
        memset(own.rest, (int)(uint8_t)(round + 1), sizeof own.rest);
        next = group_round(self, &own);
        if (self->rank == (int32_t)(round / 2 % (uint64_t)self->rank_count))
            nanosleep(&pause, NULL);
        expect_said(all, self->rank_count, round);
        expect_said(next, self->rank_count, round + 1);
    }
}

static void payloads_stay_valid(void **state)
{
    (void)state;
    group_run_threads(3, do_validity, NULL);
}

static void do_missing(group_rank *self)
{
    const uint8_t payload[MUSTER_ROUND_BYTES] = {0};
    muster_rank_set missing;

    CHECK(muster_rank_set_init(&missing, self->rank_count));
    if (self->rank == 1)
        while (self->shared->words[0] == 0)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    if (self->rank == 0) {
        self->table->round_post(self->transport, 1, payload);
        while (self->table->round_missing(self->transport, 1, &missing),
               muster_rank_set_count(&missing) != 1)
            ;
        CHECK(muster_rank_set_has(&missing, 1));
        CHECK(self->table->round_poll(self->transport, 1) == NULL);
        self->shared->words[0] = 1;
        while (self->table->round_poll(self->transport, 1) == NULL)
            ;
        self->table->round_missing(self->transport, 1, &missing);
        CHECK(muster_rank_set_count(&missing) == 0);
    } else {
        group_round(self, payload);
    }
    muster_rank_set_clean_up(&missing);
}

static void missing_ranks_are_named(void **state)
{
    (void)state;
    group_run_threads(3, do_missing, NULL);
}

/* ---- wake: the agent's thread, on a revoke ---- */

static void *wake_soon(void *argument)
{
    group_rank *self = argument;
    const struct timespec pause = {.tv_nsec = 20000000};

    nanosleep(&pause, NULL);
    self->shared->words[0] = 1;
    self->table->wake(self->transport);
    return NULL;
}

static void do_wake(group_rank *self)
{
    pthread_t thread;
    uint32_t ticket;

    CHECK(pthread_create(&thread, NULL, wake_soon, self) == 0);
    while (self->shared->words[0] == 0) {
        ticket = self->table->arm(self->transport);
        if (self->shared->words[0] == 0)
            self->table->sleep(self->transport, ticket, 3600 * SECOND_NS);
        self->table->disarm(self->transport);
    }
    pthread_join(thread, NULL);
    /* A wake between arm and sleep counts. */
    ticket = self->table->arm(self->transport);
    self->table->wake(self->transport);
    self->table->sleep(self->transport, ticket, 3600 * SECOND_NS);
    self->table->disarm(self->transport);
    /* And without either, a sleep ends by itself. */
    ticket = self->table->arm(self->transport);
    self->table->sleep(self->transport, ticket, 1000000);
    self->table->sleep(self->transport, ticket, 0);
    self->table->disarm(self->transport);
}

static void a_sleeper_can_be_woken(void **state)
{
    (void)state;
    group_run_threads(1, do_wake, NULL);
}

/* Two threads of each rank (a caller and the progress thread) wait on the same doorbell: whatever one does,
 * the other must not miss a wake. */
typedef struct second_waiter {
    group_rank *self;
    _Atomic uint64_t seen;
} second_waiter;

static void *wait_too(void *argument)
{
    second_waiter *waiter = argument;
    const muster_transport_table *table = waiter->self->table;
    muster_transport *transport = waiter->self->transport;
    _Atomic uint64_t *word = &waiter->self->shared->words[1];

    while (waiter->seen < ROUNDS / 4) {
        uint32_t ticket = table->arm(transport);
        uint64_t now = *word;
        int64_t before_ns = group_now_ns();

        if (now == waiter->seen) {
            table->sleep(transport, ticket, 30 * SECOND_NS);
            CHECK(group_now_ns() - before_ns < 29 * SECOND_NS);
        }
        table->disarm(transport);
        waiter->seen = now;
    }
    return NULL;
}

static void do_two_waiters(group_rank *self)
{
    const uint8_t payload[MUSTER_ROUND_BYTES] = {0};
    second_waiter waiter = {.self = self};
    pthread_t thread;

    if (self->rank == 0)
        CHECK(pthread_create(&thread, NULL, wait_too, &waiter) == 0);
    for (uint64_t round = 1; round <= ROUNDS / 4; round++) {
        /* The post after the word rings rank 0, whose second thread then sees the word. */
        if (self->rank == 1)
            self->shared->words[1] = round;
        group_round(self, payload);
        if (self->rank == 1)
            maybe_dawdle(self);
    }
    if (self->rank == 0)
        pthread_join(thread, NULL);
}

static void two_threads_can_wait_for_one_rank(void **state)
{
    (void)state;
    group_run_threads(2, do_two_waiters, NULL);
}

static size_t random_bytes(uint64_t *random)
{
    /* Small, around the line and the piece sizes, and large, alike. */
    size_t magnitude = (size_t)1 << (group_random(random) % 24);

    return 1 + group_random(random) % (magnitude < TRANSFER_BYTES_MAX ? magnitude : magnitude - 1);
}

/* Everyone to everyone, several of random sizes each way; the sizes are drawn alike on all ranks. */
static void do_transfers(group_rank *self)
{
    uint64_t random = 99;
    uint8_t *out[GROUP_RANKS_MAX * 4];
    uint8_t *in[GROUP_RANKS_MAX * 4];

    for (int turn = 0; turn < TRANSFERS; turn++) {
        muster_transport_operation operations[2 * GROUP_RANKS_MAX * 4];
        size_t count = 0, outgoing = 0, incoming = 0;
        size_t in_bytes[GROUP_RANKS_MAX * 4];
        uint64_t in_seeds[GROUP_RANKS_MAX * 4];

        for (int32_t from = 0; from < self->rank_count; from++)
            for (int32_t to = 0; to < self->rank_count; to++)
                for (uint64_t k = group_random(&random) % 3 + 1; k > 0; k--) {
                    size_t bytes = random_bytes(&random) / (size_t)self->rank_count + 1;
                    uint64_t seed = group_random(&random);

                    if (from == self->rank && to != self->rank) {
                        out[outgoing] = malloc(bytes);
                        CHECK(out[outgoing] != NULL);
                        group_fill(out[outgoing], bytes, seed);
                        operations[count++] =
                            (muster_transport_operation){.kind = MUSTER_TRANSPORT_SEND,
                                                         .peer = to,
                                                         .data = out[outgoing++],
                                                         .bytes = bytes};
                    }
                    if (to == self->rank && from != self->rank) {
                        in[incoming] = malloc(bytes);
                        CHECK(in[incoming] != NULL);
                        in_bytes[incoming] = bytes;
                        in_seeds[incoming] = seed;
                        operations[count++] =
                            (muster_transport_operation){.kind = MUSTER_TRANSPORT_RECEIVE,
                                                         .peer = from,
                                                         .data = in[incoming++],
                                                         .bytes = bytes};
                    }
                }
        maybe_dawdle(self);
        group_batch(self, operations, count);
        for (size_t i = 0; i < incoming; i++) {
            CHECK(group_same(in[i], in_bytes[i], in_seeds[i]));
            free(in[i]);
        }
        for (size_t i = 0; i < outgoing; i++)
            free(out[i]);
    }
}

static void transfers_among_threads(void **state)
{
    (void)state;
    group_run_threads(2, do_transfers, NULL);
    group_run_threads(3, do_transfers, NULL);
    group_run_threads(5, do_transfers, NULL);
}

static void transfers_among_processes(void **state)
{
    (void)state;
    group_run_processes(2, do_transfers, NULL);
    group_run_processes(4, do_transfers, NULL);
}

static void do_own_copy(group_rank *self)
{
    size_t bytes = ((size_t)5 << 20) + 3;
    uint8_t *source = malloc(bytes);
    uint8_t *data = malloc(bytes);
    muster_transport_operation operation = {.kind = MUSTER_TRANSPORT_COPY,
                                            .peer = self->rank,
                                            .data = data,
                                            .source = source,
                                            .bytes = bytes};

    CHECK(source != NULL && data != NULL);
    group_fill(source, bytes, 5);
    group_batch(self, &operation, 1);
    CHECK(group_same(data, bytes, 5));
    /* In place: nothing to do, and no overlap of a copy with itself. */
    operation.source = data;
    group_batch(self, &operation, 1);
    CHECK(group_same(data, bytes, 5));
    free(source);
    free(data);
}

static void own_rows_are_copied(void **state)
{
    (void)state;
    group_run_threads(1, do_own_copy, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_among_threads),
        cmocka_unit_test(rounds_among_processes),
        cmocka_unit_test(payloads_stay_valid),
        cmocka_unit_test(missing_ranks_are_named),
        cmocka_unit_test(transfers_among_threads),
        cmocka_unit_test(transfers_among_processes),
        cmocka_unit_test(own_rows_are_copied),
        cmocka_unit_test(a_sleeper_can_be_woken),
        cmocka_unit_test(two_threads_can_wait_for_one_rank),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
