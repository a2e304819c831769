/* SPDX-License-Identifier: Apache-2.0 */
/* Rebuilds, again and again, with every rank in one process: nothing of an epoch is left behind when it
 * is over, and handles that were made in it are refused. No rank dies; one says that its communicator
 * has failed, which asks for a rebuild with the same members. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "comm/comm.h"
#include "unit/harness/harness.h"

enum { RANKS = 3, REBUILDS = 50, SETTLED = 5, SLACK = 20, ROWS = 64 };

typedef struct leftovers {
    int descriptors;
    int mappings;
    int threads;
} leftovers;

/* The ranks meet here outside of Muster: a revoke may overtake a barrier of its own. */
typedef struct meeting {
    pthread_barrier_t place;
    leftovers at_first;
} meeting;

static int count_entries(const char *folder)
{
    int count = 0;
    DIR *entries = opendir(folder);
    CHECK(entries != NULL);
    while (readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count;
}

static leftovers count_leftovers(void)
{
    leftovers found = {.descriptors = count_entries("/proc/self/fd"),
                       .threads = count_entries("/proc/self/task")};
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL);
    while (fgets(line, sizeof(line), maps) != NULL)
        found.mappings += strstr(line, "/memfd:muster") != NULL;
    fclose(maps);
    return found;
}

/* A watcher keeps the life pages of the epoch before for a moment, and under load a mapping is made a
 * batch later: some come and go. What is left behind each time would be more than SLACK by the end. */
static bool is_more(const leftovers *now, const leftovers *before)
{
    return now->descriptors > before->descriptors + SLACK ||
           now->mappings > before->mappings + SLACK || now->threads > before->threads + SLACK;
}

static void fail_world(muster_comm *world)
{
    pthread_mutex_lock(&world->lock);
    muster_comm_fail(world, MUSTER_ERR_COMM_FAILED);
    pthread_mutex_unlock(&world->lock);
}

/* Twice into memory of the runtime: through the ring, and then straight. */
static void gather(harness_rank *rank, muster_comm *comm, int32_t *whole)
{
    const int32_t size = muster_comm_size(comm);
    const int32_t own = muster_comm_rank(comm);
    int64_t lengths[RANKS];
    int32_t mine[ROWS];
    muster_error error;
    muster_error_init(&error);
    for (int32_t i = 0; i < size; i++)
        lengths[i] = ROWS;
    muster_tensor rows = muster_tensor_host(mine, MUSTER_DTYPE_INT32, ROWS, 1);
    muster_tensor all = muster_tensor_host(whole, MUSTER_DTYPE_INT32, ROWS * (int64_t)size, 1);
    muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
    for (int32_t turn = 0; turn < 2; turn++) {
        for (int32_t i = 0; i < ROWS; i++)
            mine[i] = rank->slot * 1000 + turn + i;
        CHECK_STATUS(MUSTER_OK, muster_gatherv(comm, &rows, lengths, size, 0,
                                               own == 0 ? &root_rows : NULL, &error));
        for (int32_t r = 0; own == 0 && r < size; r++)
            for (int32_t i = 0; i < ROWS; i++)
                CHECK(whole[r * ROWS + i] == muster_comm_slot_of_rank(comm, r) * 1000 + turn + i);
    }
}

static void rebuild_often(harness_rank *rank)
{
    meeting *all = rank->argument;
    const leftovers *at_first = &all->at_first;
    muster_error error;
    muster_error_init(&error);
    void *memory = NULL;
    CHECK_STATUS(MUSTER_OK, muster_memory_alloc(rank->job, (size_t)ROWS * RANKS * sizeof(int32_t),
                                                &memory, &error));
    for (int32_t turn = 0; turn < REBUILDS; turn++) {
        muster_comm *pair = NULL;
        muster_request *pending = NULL;
        CHECK_STATUS(MUSTER_OK, muster_comm_split(rank->world, muster_comm_rank(rank->world) / 2, 0,
                                                  &pair, &error));
        gather(rank, rank->world, memory);
        gather(rank, pair, memory);
        muster_state_part part = {.data = &turn, .bytes = sizeof(turn)};
        CHECK_STATUS(MUSTER_OK,
                     muster_step_commit(rank->world, (uint64_t)turn + 1, &part, 1, &error));
        /* Everyone is here and nobody has begun to rebuild: what exists now exists in every epoch. */
        pthread_barrier_wait(&all->place);
        if (rank->slot == 0 && turn == SETTLED)
            all->at_first = count_leftovers();
        if (rank->slot == 0 && turn == REBUILDS - 1) {
            leftovers now = count_leftovers();
            if (is_more(&now, at_first)) {
                fprintf(stderr,
                        "after %d rebuilds: %d descriptors, %d mappings, %d threads; after "
                        "%d: %d, %d, %d\n",
                        SETTLED, at_first->descriptors, at_first->mappings, at_first->threads,
                        REBUILDS - 1, now.descriptors, now.mappings, now.threads);
                _exit(99);
            }
        }
        if (rank->slot != turn % RANKS)
            CHECK_STATUS(MUSTER_OK, muster_barrier_start(rank->world, &pending, &error));
        pthread_barrier_wait(&all->place);
        if (pending == NULL)
            fail_world(rank->world);
        if (pending != NULL)
            CHECK_STATUS(MUSTER_ERR_RANK_LOST,
                         muster_request_wait(pending, MUSTER_TIMEOUT_INHERIT_NS, &error));
        CHECK_STATUS(MUSTER_OK, muster_comm_rebuild(rank->world, NULL, &error));
        CHECK_STATUS(MUSTER_OK, muster_request_free(pending));
        CHECK_STATUS(MUSTER_ERR_RANK_LOST, muster_barrier(pair, &error));
        CHECK_STATUS(MUSTER_OK, muster_comm_free(pair));
    }
    CHECK_STATUS(MUSTER_OK, muster_memory_free(rank->job, memory));
}

static void run(harness_body body, bool progress_thread)
{
    harness_options options;
    meeting all;
    memset(&all, 0, sizeof(all));
    CHECK(pthread_barrier_init(&all.place, NULL, RANKS) == 0);
    harness_options_init(&options, RANKS);
    options.progress_thread = progress_thread;
    harness_run_threads(&options, body, &all);
    pthread_barrier_destroy(&all.place);
}

static void test_many_rebuilds_leave_nothing_behind(void **state)
{
    (void)state;
    run(rebuild_often, false);
}

static void test_many_rebuilds_beside_a_progress_thread(void **state)
{
    (void)state;
    run(rebuild_often, true);
}

static void keep_a_batch(harness_rank *rank)
{
    const int64_t lengths[RANKS] = {1, 1, 1};
    int32_t value = 1;
    muster_error error;
    muster_error_init(&error);
    muster_tensor rows = muster_tensor_host(&value, MUSTER_DTYPE_INT32, 1, 1);
    muster_batch *gathers[2] = {NULL};
    muster_batch *list = NULL;
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(MUSTER_OK, muster_batch_gatherv_begin(rank->world, lengths, RANKS, RANKS - 1,
                                                           &gathers[i], &error));
    CHECK_STATUS(MUSTER_OK, muster_p2p_begin(rank->world, &list, &error));
    meeting *all = rank->argument;
    pthread_barrier_wait(&all->place);
    fail_world(rank->world);
    CHECK_STATUS(MUSTER_OK, muster_comm_rebuild(rank->world, NULL, &error));
    muster_request *request = NULL;
    CHECK_STATUS(MUSTER_ERR_EPOCH, muster_batch_add(gathers[0], &rows, NULL, &error));
    CHECK_STATUS(MUSTER_ERR_EPOCH, muster_p2p_isend(list, &rows, 0, &error));
    CHECK_STATUS(MUSTER_ERR_EPOCH, muster_batch_run(gathers[0], &error));
    CHECK_STATUS(MUSTER_ERR_EPOCH, muster_batch_start(gathers[1], &request, &error));
    CHECK(request == NULL);
    muster_batch_abandon(list);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_a_batch_of_an_earlier_epoch_is_refused(void **state)
{
    (void)state;
    run(keep_a_batch, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_rebuilds_leave_nothing_behind),
        cmocka_unit_test(test_many_rebuilds_beside_a_progress_thread),
        cmocka_unit_test(test_a_batch_of_an_earlier_epoch_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
