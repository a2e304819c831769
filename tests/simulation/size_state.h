/* SPDX-License-Identifier: Apache-2.0 */
/* What size_model.c (ranks, launchers, time) and size_coordinator.c share. */
#ifndef MUSTER_TESTS_SIMULATION_SIZE_STATE_H
#define MUSTER_TESTS_SIMULATION_SIZE_STATE_H

#include "chance.h"
#include "core/core.h"
#include "size_queue.h"

#define SIZE_TYPES 128
#define SIZE_FRAME_BYTES 80 /* of TCP, IP and ZeroMQ around each */
#define SIZE_LAUNCHER_CONNECTIONS ((uint64_t)1 << 32)

typedef struct size_rank {
    bool dead;
    int32_t slot; /* the spare's: none, until it is given one */
    uint32_t incarnation;
    uint64_t epoch;
} size_rank;

/* Ranks of one connection. */
typedef struct size_group {
    size_frame pending;
    uint64_t flush; /* the number of the FLUSH that counts */
    uint64_t sent_step;
    uint32_t sent_type;
    int64_t sent_arrive_ns;
} size_group;

typedef struct size_model {
    const size_machine *machine;
    sim_chance chance;
    int32_t ranks, hosts, group_size, groups; /* hosts, groups: and one more, the spare's */
    size_rank *all;                           /* by connection; the spare behind the ranks */
    size_group *group;
    muster_core *core;
    muster_core_actions actions;
    int64_t now_ns, next_ns, free_ns, card_ns;
    size_queue queue;
    uint64_t step;
    uint64_t type_step[2 * SIZE_TYPES]; /* sizes by type, and of an AGREED that is a difference */
    size_t type_bytes[2 * SIZE_TYPES];
    size_t said_bytes[SIZE_TYPES];
    uint64_t frames_heard, noted_frame;
    /* what is measured */
    bool counting;
    uint64_t frames, bytes, core_messages;
    int64_t work_ns; /* of the coordinator's thread, but for heartbeats */
    double core_ns, core_worst_ns;
    int64_t verdict_ns, told_ns, established_ns;
    int32_t established;
    uint64_t epoch_heard;
} size_model;

/* Counts a frame of the coordinator's, unless it is a heartbeat. */
void size_coordinator_count(size_model *it, size_t bytes, uint32_t type);
/* A frame has come, and is freed. */
void size_coordinator_hear(size_model *it, size_frame *came);
/* Its deadline has come. */
void size_coordinator_tick(size_model *it);

#endif
