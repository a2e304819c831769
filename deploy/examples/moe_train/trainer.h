/* SPDX-License-Identifier: Apache-2.0 */
/* The trainer: one rank of the training job, with everything it holds. Divided by subject:
 * trainer.c makes it and leads it from one epoch to the next, step.c runs one step, restore.c brings it
 * to where the group goes on. */
#ifndef TRAINER_H
#define TRAINER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <muster/muster.h>

#include "batch.h"
#include "checkpoint.h"
#include "device.h"
#include "exchange.h"
#include "experts.h"
#include "image.h"
#include "model.h"
#include "norm.h"
#include "options.h"
#include "progress.h"
#include "shards.h"
#include "state.h"
#include "text.h"

enum {
    TRAINER_ROOT = 0,
    /* a sequence's gradients of all shared parameters, and its loss */
    TRAINER_GRADIENT_ROW = MODEL_SHARED_COUNT + 1
};

struct trainer {
    const struct options *options;
    struct text text;
    struct checkpoint_identity identity;
    const volatile sig_atomic_t *stop_asked; /* set by SIGTERM */

    muster_job *job;
    muster_comm *world;
    muster_phase_context *phases;
    struct device device; /* closed by who left the job */
    muster_error error;

    enum trainer_end {
        TRAINER_GOING_ON = 0,
        TRAINER_DONE = 1,   /* all steps are committed, and everything is written: known to be so */
        TRAINER_STOPPED = 2 /* on every rank, since a barrier came back */
    } end;
    struct progress progress;
    struct shards shards;
    struct exchange exchange;
    struct norm norm;
    struct state state;     /* as committed last */
    struct image *image;    /* the root's, for the start and for checkpoints */
    real *experts;          /* ADAM_KINDS * EXPERTS_COUNT; meaningful on the root */
    real *experts_gradient; /* EXPERTS_COUNT */
    void *fetched;          /* a slot's state; kept here because it stays Muster's after a loss */
    int64_t facts[4];       /* what the root tells about the start; kept here for the same reason */

    /* one step: rows of this rank's sequences, one sequence after another */
    struct batch batch;
    int64_t *counts;                /* sequences of each rank */
    int64_t first;                  /* the first sequence of this rank */
    int64_t own;                    /* how many */
    int64_t rows;                   /* of them */
    real *inputs[MODEL_LAYERS + 1]; /* of each block, and of the head: the kept activations */
    struct model_routing routing;   /* recomputed for one layer at a time */
    real *returned;                 /* what the experts made of the rows */
    real *gradient;                 /* of the rows of the layer in hand, going backward */
    real *hidden_gradient;
    real *weight_gradient;
    real *gradient_rows;        /* BATCH_SEQUENCES rows of TRAINER_GRADIENT_ROW, from everyone */
    void *device_gradient_rows; /* with a device plane: where they travel */
};

/* trainer must be zero but for options, text, stop_asked and job. */
muster_status trainer_make(struct trainer *trainer);
void trainer_free(struct trainer *trainer);

/* Trains until all steps are committed, through every loss that can be recovered. An enum
 * exit_code. */
int trainer_run(struct trainer *trainer);

static inline bool trainer_is_root(const struct trainer *trainer)
{
    return muster_comm_rank(trainer->world) == TRAINER_ROOT;
}

#endif
