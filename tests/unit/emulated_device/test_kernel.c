/* SPDX-License-Identifier: Apache-2.0 */
/* Whole launches on threads of their own, as streams have them; an abort in the middle; what is refused. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"

#define SEND_RECEIVE 672
#define ALL_GATHER_SIMPLE 5
#define ALL_GATHER_LL128 4
#define ALL_GATHER_PAT 2

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ROUNDS 5
#else
#define ROUNDS 20
#endif

static void *run_launch(void *context)
{
    const fake_launch *launch = context;
    char message[256] = "";

    return emulated_kernel_run(&launch->launch, message, sizeof(message)) == 0 ? NULL : context;
}

/* Rank 0 and 1 to each other, on both channels; a peer that does not come is a launch that is not run. */
static void make_exchange(fake_group *group, fake_launch launches[2], uint8_t *sent[2],
                          uint8_t *received[2], size_t bytes, enum nccl_protocol protocol)
{
    for (int rank = 0; rank < 2; rank++) {
        nccl_p2p_work work = {
            .send_address = sent[rank],
            .receive_address = received[rank],
            .send_bytes = bytes,
            .receive_bytes = bytes,
            .send_rank = 1 - rank,
            .receive_rank = 1 - rank,
            .channel_count = 2,
            .send_channel_count = 2,
            .receive_channel_count = 2,
            .send_chunk_code = protocol == NCCL_LL ? 8 << 3 : 10 << 3,
            .receive_chunk_code = protocol == NCCL_LL ? 8 << 3 : 10 << 3,
            .flags = protocol == NCCL_LL ? NCCL_P2P_SEND_LL | NCCL_P2P_RECEIVE_LL : 0,
        };

        fake_launch_init(&launches[rank], group, rank, 2, false);
        for (unsigned channel = 0; channel < 2; channel++)
            fake_launch_batch(&launches[rank], channel, NCCL_WORK_P2P, SEND_RECEIVE, 0, false,
                              &work, 1);
    }
}

#define BYTES 300001

static void two_streams_exchange(void **state)
{
    uint8_t *sent[2] = {malloc(BYTES), malloc(BYTES)};
    uint8_t *received[2] = {malloc(BYTES), malloc(BYTES)};
    fake_launch launches[2];
    fake_group group;

    (void)state;
    fake_group_init(&group, 2, 2, FAKE_DIRECT, 0, fake_seed());
    for (int time = 0; time < ROUNDS; time++) {
        pthread_t threads[2];

        for (int rank = 0; rank < 2; rank++)
            for (size_t at = 0; at < BYTES; at++)
                sent[rank][at] = (uint8_t)fake_random(&group);
        make_exchange(&group, launches, sent, received, BYTES - fake_random_below(&group, 100),
                      time % 2 == 0 ? NCCL_SIMPLE : NCCL_LL);
        for (int rank = 0; rank < 2; rank++)
            assert_int_equal(pthread_create(&threads[rank], NULL, run_launch, &launches[rank]), 0);
        for (int rank = 0; rank < 2; rank++) {
            void *failed = NULL;

            assert_int_equal(pthread_join(threads[rank], &failed), 0);
            assert_null(failed);
        }
        for (int rank = 0; rank < 2; rank++)
            assert_memory_equal(sent[rank], received[1 - rank], BYTES - 100);
    }
    fake_group_clear(&group);
    for (int rank = 0; rank < 2; rank++) {
        free(sent[rank]);
        free(received[rank]);
    }
}

/* The peer never comes: the kernel waits in its first slots until the flag is raised. */
static void an_abort_ends_a_kernel_that_waits(void **state)
{
    uint8_t *sent[2] = {calloc(1, BYTES), calloc(1, BYTES)};
    uint8_t *received[2] = {calloc(1, BYTES), calloc(1, BYTES)};
    fake_launch launches[2];

    (void)state;
    for (int way = 0; way < FAKE_WAYS; way++) {
        for (int protocol = NCCL_LL; protocol <= NCCL_SIMPLE; protocol += NCCL_SIMPLE) {
            fake_group group;
            void *failed = NULL;
            pthread_t thread;

            fake_group_init(&group, 2, 2, (fake_way)way, 0, fake_seed());
            make_exchange(&group, launches, sent, received, BYTES, (enum nccl_protocol)protocol);
            assert_int_equal(pthread_create(&thread, NULL, run_launch, &launches[0]), 0);
            /* As far as it comes alone: into the middle of a transfer where it has slots of its own. */
            while (way != FAKE_POOLED && protocol == NCCL_SIMPLE &&
                   __atomic_load_n(group.devices[0].peers[0][1].send[NCCL_CONNECTION_P2P].tail,
                                   __ATOMIC_ACQUIRE) < NCCL_SLOTS)
                continue;
            __atomic_store_n(&group.devices[0].abort_flag, 1, __ATOMIC_RELEASE);
            assert_int_equal(pthread_join(thread, &failed), 0);
            assert_null(failed);
            fake_group_clear(&group);
        }
    }
    for (int rank = 0; rank < 2; rank++) {
        free(sent[rank]);
        free(received[rank]);
    }
}

/* The average of one rank, as NCCL launches it; the factor in the arguments, or where they say. */
static void one_rank_scales(void **state)
{
    const char *name = "_ZN12_GLOBAL__N_113oneRankReduceI13FuncPreMulSumIfEEEvPvS3_mmb";
    float values[3] = {1, 2, 3};
    float scaled[4] = {0, 0, 0, -1};
    float factor = 0.5F;
    void *destination = scaled;
    const void *source = values;
    size_t count = 3;

    (void)state;
    for (int by_address = 0; by_address < 2; by_address++) {
        uint64_t argument = (uint64_t)(uintptr_t)&factor;
        bool is_address = by_address == 1;
        void *arguments[] = {&destination, &source, &count, &argument, &is_address};
        emulated_launch launch = {.kernel_name = name, .grid_x = 1, .block_x = 512};
        unsigned char block[EMULATED_KERNEL_PACKED_BYTES_MAX];
        char message[256] = "";

        if (!is_address) {
            argument = 0;
            memcpy(&argument, &factor, sizeof(factor));
        }
        assert_int_equal(emulated_kernel_pack(name, arguments, block, 8), 0);
        assert_int_equal(emulated_kernel_pack("_Z3sum", arguments, block, sizeof(block)), 0);
        launch.arguments = block;
        launch.argument_bytes = emulated_kernel_pack(name, arguments, block, sizeof(block));
        assert_int_equal(emulated_kernel_run(&launch, message, sizeof(message)), 0);
        assert_true(scaled[0] == 0.5F && scaled[1] == 1 && scaled[2] == 1.5F && scaled[3] == -1);
        memset(scaled, 0, 3 * sizeof(scaled[0]));
        launch.kernel_name = "_Z13oneRankReduceI13FuncPreMulSumI13__nv_fp8_e4m3EEEvPvS4_mmb";
        assert_int_equal(emulated_kernel_run(&launch, message, sizeof(message)), -1);
    }
}

static void refused(const fake_launch *launch, const char *word)
{
    char message[256] = "";

    assert_int_equal(emulated_kernel_run(&launch->launch, message, sizeof(message)), -1);
    if (strstr(message, word) == NULL)
        fail_msg("\"%s\" does not name \"%s\"", message, word);
}

static void collective_launch(fake_launch *launch, const fake_group *group, unsigned function,
                              uint8_t flags, enum nccl_work_kind kind)
{
    nccl_collective_work work = {.flags = flags, .first_count = 1, .chunk_grains = 1};
    uint8_t item[288] = {0};

    memcpy(item, &work, sizeof(work));
    fake_launch_init(launch, group, 0, 1, false);
    fake_launch_batch(launch, 0, kind, function, 0, false, item, 1);
}

static void what_is_not_known_is_refused_by_name(void **state)
{
    fake_group group;
    fake_launch launch;
    nccl_p2p_work work = {.send_rank = 1,
                          .receive_rank = 1,
                          .channel_count = 1,
                          .send_channel_count = 1,
                          .send_chunk_code = 8};

    (void)state;
    fake_group_init(&group, 2, 1, FAKE_DIRECT, 0, 1);
    fake_launch_init(&launch, &group, 0, 1, false);
    launch.launch.kernel_name = "_Z30ncclSymkDevKernel_AllReduce_Sum";
    refused(&launch, "ncclSymkDevKernel_AllReduce_Sum");
    launch.launch.kernel_name = NULL;
    refused(&launch, "without a name");

    fake_launch_init(&launch, &group, 0, 1, false);
    launch.launch.argument_bytes = 8;
    refused(&launch, "8 bytes");
    fake_launch_init(&launch, &group, 0, 1, false);
    launch.launch.grid_x = 2;
    refused(&launch, "nccl_layout.h");
    fake_launch_init(&launch, &group, 0, 1, false);
    group.devices[0].communicator->channels++;
    refused(&launch, "nccl_layout.h");
    group.devices[0].communicator->channels--;

    collective_launch(&launch, &group, ALL_GATHER_LL128, 0, NCCL_WORK_COLLECTIVE);
    refused(&launch, "LL128");
    collective_launch(&launch, &group, ALL_GATHER_PAT, 0, NCCL_WORK_COLLECTIVE);
    refused(&launch, "PAT");
    collective_launch(&launch, &group, ALL_GATHER_SIMPLE, 0x02, NCCL_WORK_COLLECTIVE);
    refused(&launch, "registered");
    collective_launch(&launch, &group, ALL_GATHER_SIMPLE, 0, NCCL_WORK_REGISTERED);
    refused(&launch, "registered");
    collective_launch(&launch, &group, 700, 0, NCCL_WORK_COLLECTIVE);
    refused(&launch, "function 700");
    collective_launch(&launch, &group, SEND_RECEIVE, 0, NCCL_WORK_COLLECTIVE);
    refused(&launch, "function 672");

    fake_launch_init(&launch, &group, 0, 1, false);
    work.send_rank = 9;
    fake_launch_batch(&launch, 0, NCCL_WORK_P2P, SEND_RECEIVE, 0, false, &work, 1);
    refused(&launch, "rank 9");
    fake_launch_init(&launch, &group, 0, 1, false);
    work.send_rank = 1;
    work.flags = 0x04;
    fake_launch_batch(&launch, 0, NCCL_WORK_P2P, SEND_RECEIVE, 0, false, &work, 1);
    refused(&launch, "registered");
    fake_launch_init(&launch, &group, 0, 1, false);
    work.flags = 0;
    group.devices[0].peers[0][1].send[NCCL_CONNECTION_P2P].flags = NCCL_CONNECTION_MULTICAST;
    fake_launch_batch(&launch, 0, NCCL_WORK_P2P, SEND_RECEIVE, 0, false, &work, 1);
    refused(&launch, "multicast");

    /* A chain of batches that leaves the block. */
    fake_launch_init(&launch, &group, 0, 1, false);
    work.send_rank = 0; /* to itself */
    work.send_channel_count = 0;
    fake_launch_batch(&launch, 0, NCCL_WORK_P2P, SEND_RECEIVE, 0x3fff, false, &work, 1);
    refused(&launch, "batch of work");
    fake_group_clear(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_streams_exchange),
        cmocka_unit_test(an_abort_ends_a_kernel_that_waits),
        cmocka_unit_test(one_rank_scales),
        cmocka_unit_test(what_is_not_known_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
