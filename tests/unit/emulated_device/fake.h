/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks in one process, with connections built by hand as NCCL's host code would build them: through memory that both
 * sides map (SHM), or with a proxy thread's work between them (NET), which then is done by the scheduler of the
 * test. All is driven on one thread in a random order that a seed repeats. */
#ifndef MUSTER_TESTS_UNIT_EMULATED_DEVICE_FAKE_H
#define MUSTER_TESTS_UNIT_EMULATED_DEVICE_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/emulated_device/kernel.h"
#include "tests/emulated_device/nccl_layout.h"

#define FAKE_RANKS_MAX 5
#define FAKE_CHANNELS_MAX 2
#define FAKE_SLOT_BYTES 4096 /* Simple; a line slot holds half of it */
#define FAKE_LINE_SLOT_BYTES 2048

typedef enum fake_way { FAKE_DIRECT, FAKE_PROXIED, FAKE_POOLED, FAKE_WAYS } fake_way;

/* One direction of one connection of two ranks on one channel. */
typedef struct fake_link {
    nccl_connection *send;
    nccl_connection *receive;
    uint64_t send_head;
    uint64_t send_tail;
    uint64_t receive_head;
    uint64_t receive_tail;
    nccl_slot send_slots[NCCL_SLOTS];
    nccl_slot receive_slots[NCCL_SLOTS];
    uint8_t *send_memory;
    uint8_t *receive_memory;
    uint64_t posted;
    uint64_t carried;
} fake_link;

typedef struct fake_device {
    uint8_t *memory; /* communicator and channels */
    nccl_communicator *communicator;
    uint32_t abort_flag;
    nccl_peer peers[FAKE_CHANNELS_MAX][FAKE_RANKS_MAX];
    nccl_peer *peer_addresses[FAKE_CHANNELS_MAX][FAKE_RANKS_MAX];
    int32_t ring_ranks[FAKE_CHANNELS_MAX][FAKE_RANKS_MAX];
} fake_device;

typedef struct fake_group {
    int rank_count;
    int channel_count;
    fake_way way;
    uint64_t random;
    fake_device devices[FAKE_RANKS_MAX];
    fake_link *links;
    size_t link_count;
} fake_group;

/* The block of one launch. */
typedef struct fake_launch {
    emulated_launch launch;
    uint8_t block[4096];
    uint8_t ring[8192]; /* where work may lie instead */
    bool in_ring;
    unsigned batch_count;
    unsigned channel_count;
    uint32_t next_offset;
} fake_launch;

uint64_t fake_random(fake_group *group);
size_t fake_random_below(fake_group *group, size_t limit);
/* From MUSTER_TEST_SEED or the clock, printed. */
uint64_t fake_seed(void);

void fake_group_init(fake_group *group, int rank_count, int channel_count, fake_way way,
                     uint64_t first_step, uint64_t seed);
void fake_group_clear(fake_group *group);

/* Batches in the order of being added: first those that begin a channel. jump: see nccl_batch. */
void fake_launch_init(fake_launch *launch, const fake_group *group, int rank, unsigned batch_count,
                      bool in_ring);
void fake_launch_batch(fake_launch *launch, unsigned batch, enum nccl_work_kind kind,
                       unsigned function, unsigned jump, bool extends, const void *works,
                       size_t count);

/* Runs a launch for each rank, mixed at random, until all are over. slice_steps and chunk_steps, protocol: what the
 * proxy threads are told of the operation. The test fails if nothing moves any more. */
void fake_group_run(fake_group *group, fake_launch *launches, enum nccl_protocol protocol,
                    unsigned slice_steps, unsigned chunk_steps);

#endif
