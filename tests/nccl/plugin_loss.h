/* SPDX-License-Identifier: Apache-2.0 */
/* One loss, in one phase, and what the survivors make of it: they are released, let go of the epoch, and a new one
 * moves right bytes. Where the communicator is healthy they shrink it, else they connect anew. */
#ifndef MUSTER_TESTS_NCCL_PLUGIN_LOSS_H
#define MUSTER_TESTS_NCCL_PLUGIN_LOSS_H

#include <stdbool.h>

#include "plugin_rank.h"

enum { PLUGIN_LOSS_RANKS_MAX = 4, PLUGIN_LOSS_EPOCHS = 3, PLUGIN_LOSS_MARKS = 3 };

typedef enum plugin_loss_phase {
    PLUGIN_LOSS_WHILE_CONNECTING,
    PLUGIN_LOSS_INSTEAD_OF_CONNECTING,
    PLUGIN_LOSS_BEFORE_A_BATCH,
    PLUGIN_LOSS_INSIDE_A_BATCH,
    PLUGIN_LOSS_AFTER_A_BATCH,
    /* Of two steps: the first victim falls after a batch, the last one when it comes to this. */
    PLUGIN_LOSS_WHILE_SHRINKING,
    PLUGIN_LOSS_WHILE_ABORTING,
    PLUGIN_LOSS_WHILE_RECONNECTING,
    PLUGIN_LOSS_PHASES
} plugin_loss_phase;

typedef struct plugin_loss {
    plugin_loss_phase phase;
    int members[PLUGIN_LOSS_RANKS_MAX]; /* processes, by rank */
    int size;
    int victims[2]; /* processes, in the order in which they fall */
    int victim_count;
    int signals[2]; /* SIGKILL or SIGSTOP */
    int delay_ms;   /* when, where it is while something goes on */
    int epoch;      /* the first of PLUGIN_LOSS_EPOCHS */
    int mark;       /* the first of PLUGIN_LOSS_MARKS */
} plugin_loss;

bool plugin_loss_has_two_steps(plugin_loss_phase phase);
const char *plugin_loss_text(plugin_loss_phase phase);
bool plugin_loss_is_victim(const plugin_loss *loss, int process);

/* A member's part. A victim never returns; a survivor has the new epoch's communicator then. */
void plugin_loss_play(const plugin_loss *loss, plugin_rank *self);

#endif
