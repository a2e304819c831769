/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as processes, each with the plug-in over real NCCL on the emulated device. All are forked before
 * anybody loads NCCL, also those whose turn comes in a later epoch; the parent tells the others who has ended or
 * was stopped, as the control plane would. */
#ifndef MUSTER_TESTS_NCCL_PLUGIN_RANK_H
#define MUSTER_TESTS_NCCL_PLUGIN_RANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin_calls.h"
#include "transport/device.h"

enum {
    PLUGIN_RANKS_MAX = 16,
    PLUGIN_PROCESSES_MAX = 402,
    PLUGIN_EPOCHS_MAX = 640,
    PLUGIN_MARKS_MAX = 640,
    /* Against hangs; a machine under load takes its time. */
    PLUGIN_PATIENCE_S = 60
};

typedef struct plugin_rank {
    int process; /* among all that were forked */
    const muster_device_table *table;
    muster_device *device;
    /* Of the epoch. */
    int epoch;
    int members[PLUGIN_RANKS_MAX]; /* processes, by rank */
    int size;
    int rank;
    muster_device_comm *comm;
    plugin_calls calls;
    muster_error error;
} plugin_rank;

typedef void (*plugin_body)(plugin_rank *self);

/* Forks `count` processes, each of which runs body, which opens the device, and ends. True when all ended well; those that
 * falls() names must have been killed or be stopped at the end, when they are killed. NULL: none. */
bool plugin_rank_run(const char *name, int count, plugin_body body, bool (*falls)(int process));
/* The same, but only the first `first` of the `count` are forked at once, and the others when they are summoned. */
bool plugin_rank_run_later(const char *name, int first, int count, plugin_body body,
                           bool (*falls)(int process));
void plugin_rank_summon(int process);
/* Nobody needs that process any more, which falls: killed where it was only stopped. */
void plugin_rank_dismiss(int process);

/* How many devices there are for the tests (MUSTER_EMULATED_DEVICES, else MUSTER_TEST_DEVICES). */
int plugin_rank_devices(void);

/* Opens the device that belongs to the process. */
void plugin_rank_open(plugin_rank *self);
/* Has that process ended, or been stopped? */
bool plugin_rank_is_lost(int process);
/* Until that process, which was killed or is, has nothing any more. */
void plugin_rank_await_gone(const plugin_rank *self, int process);
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
/* Memory of the rank's device, and bytes in it that tell who wrote them. */
void *plugin_rank_memory(const plugin_rank *self, size_t bytes);
void plugin_rank_free(const plugin_rank *self, void *memory);
void plugin_rank_fill(const plugin_rank *self, void *memory, size_t bytes, uint64_t seed);
bool plugin_rank_holds(const plugin_rank *self, const void *memory, size_t bytes, uint64_t seed);
/* Waits for a batch. */
muster_status plugin_rank_finish(plugin_rank *self, muster_device_batch *batch);

/* Ends the process with a sentence when the condition does not hold. */
#define PLUGIN_CHECK(self, condition) \
    plugin_rank_check(self, condition, #condition, __FILE__, __LINE__)
void plugin_rank_check(const plugin_rank *self, bool holds, const char *condition, const char *file,
                       int line);

void plugin_rank_pause_ms(int ms);

#endif
