/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as processes, each with the plug-in over real NCCL on the emulated device. All are forked before
 * anybody loads NCCL, also those whose turn comes in a later epoch; the parent tells the others who has ended or
 * was stopped, as the control plane would. */
#ifndef MUSTER_TESTS_NCCL_PLUGIN_RANK_H
#define MUSTER_TESTS_NCCL_PLUGIN_RANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/device.h"

enum { PLUGIN_PROCESSES_MAX = 40, PLUGIN_EPOCHS_MAX = 128, PLUGIN_MARKS_MAX = 64 };

typedef struct plugin_rank {
    int process; /* among all that were forked */
    const muster_device_table *table;
    muster_device *device;
    /* Of the epoch. */
    int epoch;
    int members[PLUGIN_PROCESSES_MAX]; /* processes, by rank */
    int size;
    int rank;
    muster_device_comm *comm;
    muster_error error;
} plugin_rank;

typedef void (*plugin_body)(plugin_rank *self);

/* Forks `count` processes, each of which runs body, which opens the device, and ends. True when all ended well; those of `killed` (a bit
 * set) must have been killed or be stopped at the end, when they are killed. */
bool plugin_rank_run(const char *name, int count, plugin_body body, uint64_t killed);

/* Opens the device that belongs to the process. */
void plugin_rank_open(plugin_rank *self);
/* Has that process ended, or been stopped? */
bool plugin_rank_is_lost(int process);
/* Is a member of this epoch lost? */
bool plugin_rank_is_revoked(const plugin_rank *self);
/* Says something to all processes, once each; and how often it was said. */
void plugin_rank_mark(int mark);
int plugin_rank_marks(int mark);
void plugin_rank_await_marks(plugin_rank *self, int mark, int times);

/* A communicator of those processes, for the next epoch: its ids go through shared memory. */
muster_status plugin_rank_connect(plugin_rank *self, const int *members, int size, int epoch);
/* The members that are not lost, in order; returns how many. */
int plugin_rank_survivors(const plugin_rank *self, int *survivors);
/* Aborts, closes and revives, as a rebuild does; where keep and healthy the comm stays, for a shrink. */
void plugin_rank_recover(plugin_rank *self, bool keep);
/* To those members, which all of them name alike. */
muster_status plugin_rank_shrink(plugin_rank *self, const int *survivors, int count, int epoch);
void plugin_rank_close(plugin_rank *self);

/* A gather of so many bytes from each rank and one more for each rank number, to rank 0, and a scatter of them
 * back, each byte checked. MUSTER_ERR_RANK_LOST when a member was lost meanwhile. */
muster_status plugin_rank_exchange(plugin_rank *self, size_t bytes);
/* Waits for a batch. */
muster_status plugin_rank_finish(plugin_rank *self, muster_device_batch *batch);

/* Ends the process with a sentence when the condition does not hold. */
#define PLUGIN_CHECK(self, condition) \
    plugin_rank_check(self, condition, #condition, __FILE__, __LINE__)
void plugin_rank_check(const plugin_rank *self, bool holds, const char *condition, const char *file,
                       int line);

void plugin_rank_pause_ms(int ms);

#endif
