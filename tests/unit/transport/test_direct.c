/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that the runtime allocated: exported, mapped by peers, written and read directly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "group.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TURNS 8
#else
#define TURNS 20
#endif

#define PART_BYTES_MAX ((size_t)4 << 20)

typedef struct said {
    uint64_t address;
    uint64_t version;
    uint8_t rest[MUSTER_ROUND_BYTES - 16];
} said;

/* The ranks whose exports this one has not mapped, as bits. */
static uint64_t map_all(group_rank *self, const said *all)
{
    uint64_t unmapped = 0;

    for (int32_t rank = 0; rank < self->rank_count; rank++) {
        self->table->map_exports(self->transport, rank);
        if (self->table->mapped_version(self->transport, rank) < all[rank].version)
            unmapped |= (uint64_t)1 << rank;
    }
    return unmapped;
}

/* A list that changes is fetched again. */
static void change_exports(group_rank *self)
{
    void *memory;

    CHECK(self->table->memory_alloc(self->endpoint, 1, &memory, NULL) == MUSTER_OK);
    CHECK(self->table->memory_free(self->endpoint, memory) == MUSTER_OK);
}

/* Everyone's address and version to everyone; then everyone maps everyone. What is not mapped within 100 ms is not
 * mapped, by its contract, and then the ring is taken; here, where a busy machine may be that slow, it is tried
 * until the direct way is there. */
static void introduce(group_rank *self, void *memory, said *all)
{
    said own = {.address = (uint64_t)(uintptr_t)memory};
    int64_t hang_ns = group_now_ns() + 50 * SECOND_NS;
    uint64_t unmapped;

    own.version = self->table->memory_find(self->endpoint, memory, 1);
    memcpy(all, group_round(self, &own), sizeof *all * (size_t)self->rank_count);
    do {
        said mine = {.version = map_all(self, all)};
        said masks[GROUP_RANKS_MAX];

        CHECK(group_now_ns() < hang_ns);
        memcpy(masks, group_round(self, &mine), sizeof *masks * (size_t)self->rank_count);
        unmapped = 0;
        for (int32_t rank = 0; rank < self->rank_count; rank++)
            unmapped |= masks[rank].version;
        if ((unmapped >> self->rank & 1) != 0)
            change_exports(self);
        if (unmapped != 0)
            group_round(self, &mine); /* nobody looks before it has changed */
    } while (unmapped != 0);
}

static muster_transport_operation direct(muster_transport_kind kind, int32_t peer, void *data,
                                         size_t bytes, uint64_t peer_address)
{
    return (muster_transport_operation){
        .kind = kind, .peer = peer, .data = data, .bytes = bytes, .peer_address = peer_address};
}

/* All ranks write their parts into the memory of a root that changes, then read them back from it. */
static void do_direct(group_rank *self)
{
    int32_t count = self->rank_count;
    void *memory;
    uint8_t *data = malloc(PART_BYTES_MAX);
    uint64_t random = 17;
    said all[GROUP_RANKS_MAX];

    CHECK(data != NULL);
    CHECK(self->table->memory_alloc(self->endpoint, PART_BYTES_MAX * (size_t)count, &memory,
                                    NULL) == MUSTER_OK);
    introduce(self, memory, all);
    for (int turn = 0; turn < TURNS; turn++) {
        int32_t root = turn % count;
        size_t bytes = 1 + group_random(&random) % PART_BYTES_MAX;
        uint64_t seed = (uint64_t)turn * 10;
        uint64_t part = all[root].address + (uint64_t)self->rank * PART_BYTES_MAX;
        muster_transport_operation operations[GROUP_RANKS_MAX];
        size_t operation_count = 0;

        CHECK(self->table->mapped_version(self->transport, root) >= all[root].version);
        for (int pass = 0; pass < 2; pass++) {
            bool write = pass == 0;

            operation_count = 0;
            if (self->rank != root)
                operations[operation_count++] =
                    direct(write ? MUSTER_TRANSPORT_WRITE : MUSTER_TRANSPORT_READ, root, data,
                           bytes, part);
            for (int32_t peer = 0; self->rank == root && peer < count; peer++)
                if (peer != root)
                    operations[operation_count++] =
                        direct(write ? MUSTER_TRANSPORT_EXPECT_WRITE : MUSTER_TRANSPORT_EXPECT_READ,
                               peer, NULL, bytes, 0);
            if (write)
                group_fill(data, bytes, seed + (uint64_t)self->rank);
            else
                memset(data, 0, bytes);
            group_batch(self, operations, operation_count);
            for (int32_t peer = 0; self->rank == root && write && peer < count; peer++)
                if (peer != root)
                    CHECK(group_same((uint8_t *)memory + (size_t)peer * PART_BYTES_MAX, bytes,
                                     seed + (uint64_t)peer));
            if (!write && self->rank != root)
                CHECK(group_same(data, bytes, seed + (uint64_t)self->rank));
        }
    }
    introduce(self, memory, all);
    CHECK(self->table->memory_free(self->endpoint, memory) == MUSTER_OK);
    free(data);
}

static void direct_among_threads(void **state)
{
    (void)state;
    group_run_threads(2, do_direct, NULL);
    group_run_threads(4, do_direct, NULL);
}

static void direct_among_processes(void **state)
{
    (void)state;
    group_run_processes(2, do_direct, NULL);
    group_run_processes(3, do_direct, NULL);
}

static void write_byte(group_rank *self, uint64_t address, uint8_t byte)
{
    muster_transport_operation operation = direct(MUSTER_TRANSPORT_WRITE, 0, &byte, 1, address);

    group_batch(self, &operation, 1);
}

static void expect_byte(group_rank *self)
{
    muster_transport_operation operation = direct(MUSTER_TRANSPORT_EXPECT_WRITE, 1, NULL, 1, 0);

    group_batch(self, &operation, 1);
}

/* More regions than one message carries; some freed, some new at addresses that were used before. */
static void do_many_regions(group_rank *self)
{
    enum { REGIONS = 70, BYTES = 5000 };
    void *regions[REGIONS];
    said all[GROUP_RANKS_MAX];
    uint64_t first_version = 0, version;

    if (self->rank == 0) {
        for (int i = 0; i < REGIONS; i++) {
            CHECK(self->table->memory_alloc(self->endpoint, BYTES, &regions[i], NULL) == MUSTER_OK);
            version = self->table->memory_find(self->endpoint, regions[i], BYTES);
            CHECK(version > first_version);
            first_version = version;
        }
        introduce(self, regions[REGIONS - 1], all);
        group_round(self, all);
        expect_byte(self);
        CHECK(*(uint8_t *)regions[REGIONS - 1] == 77);
        for (int i = 0; i < REGIONS; i += 2)
            CHECK(self->table->memory_free(self->endpoint, regions[i]) == MUSTER_OK);
        CHECK(self->table->memory_find(self->endpoint, regions[0], 1) == 0);
        CHECK(self->table->memory_alloc(self->endpoint, BYTES, &regions[0], NULL) == MUSTER_OK);
        /* Whatever its address, no peer takes it for one that it knows. */
        version = self->table->memory_find(self->endpoint, regions[0], BYTES);
        CHECK(version > first_version);
        introduce(self, regions[0], all);
        group_round(self, all);
        expect_byte(self);
        CHECK(*(uint8_t *)regions[0] == 78);
    } else {
        introduce(self, NULL, all);
        CHECK(self->table->mapped_version(self->transport, 0) >= all[0].version);
        group_round(self, all);
        write_byte(self, all[0].address, 77);
        introduce(self, NULL, all);
        CHECK(self->table->mapped_version(self->transport, 0) >= all[0].version);
        group_round(self, all);
        write_byte(self, all[0].address, 78);
    }
    /* What is left is freed with the endpoint. */
}

static void lists_of_many_regions_are_mapped(void **state)
{
    int fds = group_count_fds(), maps = group_count_maps();

    (void)state;
    group_run_threads(2, do_many_regions, NULL);
    assert_int_equal(group_count_fds(), fds);
    assert_int_equal(group_count_maps(), maps);
}

static void do_not_mapped(group_rank *self)
{
    void *memory;
    said all[GROUP_RANKS_MAX];

    CHECK(self->table->memory_alloc(self->endpoint, 1, &memory, NULL) == MUSTER_OK);
    /* Nothing is mapped before it is asked for; of the own rank everything is at hand. */
    CHECK(self->table->mapped_version(self->transport, 1 - self->rank) == 0);
    CHECK(self->table->mapped_version(self->transport, self->rank) >=
          self->table->memory_find(self->endpoint, memory, 1));
    introduce(self, memory, all);
    CHECK(self->table->mapped_version(self->transport, 1 - self->rank) >=
          all[1 - self->rank].version);
}

static void nothing_is_mapped_unasked(void **state)
{
    (void)state;
    group_run_threads(2, do_not_mapped, NULL);
}

/* Memory that its owner freed while a call was to use it is the owner's mistake, not our end. */
static void do_freed(group_rank *self)
{
    void *memory;
    uint8_t byte = 1;
    said all[GROUP_RANKS_MAX];

    CHECK(self->table->memory_alloc(self->endpoint, 4096, &memory, NULL) == MUSTER_OK);
    introduce(self, memory, all);
    CHECK(self->table->memory_free(self->endpoint, memory) == MUSTER_OK);
    CHECK(self->table->memory_alloc(self->endpoint, 1, &memory, NULL) == MUSTER_OK);
    group_round(self, all);
    self->table->map_exports(self->transport, 0);
    if (self->rank == 1) {
        muster_transport_operation operation =
            direct(MUSTER_TRANSPORT_WRITE, 0, &byte, 4096, all[0].address);
        muster_transport_batch *batch;
        muster_error error;

        muster_error_init(&error);
        operation.peer_address += 4096; /* the new region may have taken its place */
        CHECK(self->table->submit(self->transport, &operation, 1, &batch, &error) ==
              MUSTER_ERR_COMM_FAILED);
        CHECK(batch == NULL && error.rank == 0);
    }
    group_round(self, all);
    CHECK(self->table->memory_free(self->endpoint, memory) == MUSTER_OK);
}

static void memory_freed_in_use_is_refused(void **state)
{
    (void)state;
    group_run_threads(2, do_freed, NULL);
}

static void do_find(group_rank *self)
{
    void *memory;
    uint8_t *bytes;

    CHECK(self->table->memory_alloc(self->endpoint, 10000, &memory, NULL) == MUSTER_OK);
    bytes = memory;
    CHECK((uintptr_t)memory % 4096 == 0);
    for (size_t i = 0; i < 10000; i++)
        CHECK(bytes[i] == 0);
    CHECK(self->table->memory_find(self->endpoint, bytes, 10000) > 0);
    CHECK(self->table->memory_find(self->endpoint, bytes + 9999, 1) > 0);
    CHECK(self->table->memory_find(self->endpoint, bytes + 1, 10000) == 0);
    CHECK(self->table->memory_find(self->endpoint, bytes + 1, SIZE_MAX) == 0);
    CHECK(self->table->memory_find(self->endpoint, bytes - 1, 2) == 0);
    CHECK(self->table->memory_find(self->endpoint, &bytes, 1) == 0);
    CHECK(self->table->memory_free(self->endpoint, bytes + 1) == MUSTER_ERR_INVALID_ARGUMENT);
    CHECK(self->table->memory_free(self->endpoint, NULL) == MUSTER_OK);
    CHECK(self->table->memory_free(self->endpoint, memory) == MUSTER_OK);
    CHECK(self->table->memory_free(self->endpoint, memory) == MUSTER_ERR_INVALID_ARGUMENT);
    CHECK(self->table->memory_alloc(self->endpoint, 0, &memory, NULL) ==
          MUSTER_ERR_INVALID_ARGUMENT);
}

static void regions_are_found_whole_or_not_at_all(void **state)
{
    (void)state;
    group_run_threads(1, do_find, NULL);
}

/* A peer that could not be proven gone still has the old pages: what it writes there must not show. */
static void do_abandon(group_rank *self)
{
    const size_t bytes = (size_t)3 << 20;
    void *memory = NULL;
    said all[GROUP_RANKS_MAX];
    uint64_t old_version = 0;

    if (self->rank == 0) {
        CHECK(self->table->memory_alloc(self->endpoint, bytes, &memory, NULL) == MUSTER_OK);
        old_version = self->table->memory_find(self->endpoint, memory, bytes);
        memset(memory, 5, bytes);
    }
    introduce(self, memory, all);
    group_round(self, all);
    if (self->rank == 0) {
        CHECK(self->table->memory_abandon(self->endpoint, NULL) == MUSTER_OK);
        CHECK(self->table->memory_find(self->endpoint, memory, bytes) > old_version);
        CHECK(memory != NULL);
        for (size_t i = 0; i < bytes; i++)
            CHECK(((uint8_t *)memory)[i] == 0);
        group_round(self, all);
        expect_byte(self);
        CHECK(*(uint8_t *)memory == 0);
        introduce(self, memory, all);
        group_round(self, all);
        expect_byte(self);
        CHECK(*(uint8_t *)memory == 99);
    } else {
        group_round(self, all);
        write_byte(self, all[0].address, 98);
        introduce(self, memory, all);
        CHECK(self->table->mapped_version(self->transport, 0) >= all[0].version);
        group_round(self, all);
        write_byte(self, all[0].address, 99);
    }
}

static void abandoned_memory_is_fresh_and_unreachable(void **state)
{
    int fds = group_count_fds(), maps = group_count_maps();

    (void)state;
    group_run_threads(2, do_abandon, NULL);
    group_run_processes(2, do_abandon, NULL);
    assert_int_equal(group_count_fds(), fds);
    assert_int_equal(group_count_maps(), maps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(direct_among_threads),
        cmocka_unit_test(direct_among_processes),
        cmocka_unit_test(lists_of_many_regions_are_mapped),
        cmocka_unit_test(nothing_is_mapped_unasked),
        cmocka_unit_test(memory_freed_in_use_is_refused),
        cmocka_unit_test(regions_are_found_whole_or_not_at_all),
        cmocka_unit_test(abandoned_memory_is_fresh_and_unreachable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
