/* SPDX-License-Identifier: Apache-2.0 */
#include "restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit_codes.h"
#include "losses.h"
#include "random.h"
#include "step.h"

/* What every rank must have in common to train together; Muster refuses calls of ranks whose tags
 * differ. */
static uint64_t tag_of(const struct trainer *trainer)
{
    const struct options *options = trainer->options;
    uint64_t tag = random_at(options->seed, options->steps, options->checkpoint_every);
    tag = random_at(tag, trainer->identity.text_hash, options->checkpoint_path != NULL);
    return random_at(tag, options->gradient_norm, 0);
}

/* What depends on the membership is made anew. */
static muster_status make_for_world(struct trainer *trainer)
{
    muster_comm_set_tag(trainer->world, tag_of(trainer));
    muster_comm_use_phase(trainer->world, trainer->phases);
    if (device_in_use(&trainer->device)) {
        muster_comm_set_stream(trainer->world, trainer->device.stream);
    }
    muster_status status = shards_make(&trainer->shards, trainer->world, &trainer->error);
    if (status == MUSTER_OK) {
        status = exchange_make(&trainer->exchange, trainer->job, &trainer->error);
    }
    if (status != MUSTER_OK) {
        return status;
    }
    int64_t *counts =
        realloc(trainer->counts, (size_t)trainer->shards.size * sizeof *trainer->counts);
    if (counts == NULL) {
        return MUSTER_ERR_NO_MEMORY;
    }
    trainer->counts = counts;
    return MUSTER_OK;
}

/* Fetches one slot's state and takes from it what this rank needs. All ranks ask for it, wanted or
 * not: the calls are collective. */
static muster_status fetch_slot(struct trainer *trainer, int32_t slot, bool wanted)
{
    size_t bytes = 0;
    muster_status status =
        muster_step_fetch(trainer->world, slot, NULL, 0, &bytes, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    if (wanted) {
        void *larger = realloc(trainer->fetched, bytes);
        if (larger == NULL) {
            return MUSTER_ERR_NO_MEMORY;
        }
        trainer->fetched = larger;
    }
    status = muster_step_fetch(trainer->world, slot, wanted ? trainer->fetched : NULL,
                               wanted ? bytes : 0, NULL, &trainer->error);
    if (status != MUSTER_OK || !wanted) {
        return status;
    }
    muster_progress(trainer->job);
    if (!state_take(trainer->fetched, bytes, &trainer->progress, &trainer->shards,
                    trainer_is_root(trainer) ? trainer->experts : NULL)) {
        fprintf(stderr, "moe_train: the state of slot %d is not one of this program\n", slot);
        return MUSTER_ERR_STEP_STATE;
    }
    return MUSTER_OK;
}

/* With the old slots in the old order again, each needs its own slot's state and no other; it goes
 * back to it even if it was not lost, because it may be half a step further. With another membership
 * the shards are divided anew, and each takes its piece out of everyone's. */
static muster_status fetch_all(struct trainer *trainer, const int32_t *slots, int32_t slot_count)
{
    bool same = slot_count == trainer->shards.size;
    for (int32_t i = 0; i < slot_count && same; i++) {
        same = muster_comm_slot_of_rank(trainer->world, i) == slots[i];
    }
    for (int32_t i = 0; i < slot_count; i++) {
        muster_status status = fetch_slot(trainer, slots[i], !same || i == trainer->shards.rank);
        if (status != MUSTER_OK) {
            return status;
        }
    }
    return MUSTER_OK;
}

enum {
    FACT_EXIT_CODE = 0, /* EXIT_DONE: go on */
    FACT_STEPS_DONE = 1,
    FACT_LOSS_BITS = 2,
    FACT_GENERATION = 3,
    FACTS = 4
};

/* On the root: makes the image from the last checkpoint or, where no step can have been committed
 * before (nothing_lost), from the seed; and the facts that go with it. */
static void find_image(struct trainer *trainer, bool nothing_lost)
{
    struct progress progress = {.generation = 1};
    enum checkpoint_found found = CHECKPOINT_ABSENT;
    if (trainer->options->checkpoint_path != NULL) {
        found = checkpoint_read(trainer->options->checkpoint_path, &trainer->identity, &progress,
                                trainer->image);
    }
    trainer->facts[FACT_EXIT_CODE] = EXIT_DONE;
    if (found == CHECKPOINT_UNUSABLE) {
        trainer->facts[FACT_EXIT_CODE] = nothing_lost ? EXIT_BAD_INPUT : EXIT_STATE_LOST;
    } else if (found == CHECKPOINT_ABSENT && nothing_lost) {
        image_init(trainer->options->seed, trainer->image);
    } else if (found == CHECKPOINT_ABSENT) {
        fprintf(stderr,
                "moe_train: a slot died together with the mirror of its state, and there is no "
                "checkpoint to go back to; start again, with --checkpoint\n");
        trainer->facts[FACT_EXIT_CODE] = EXIT_STATE_LOST;
    } else {
        printf("going on from the checkpoint of step %" PRIu64 "\n", progress.steps_done);
    }
    trainer->facts[FACT_STEPS_DONE] = (int64_t)progress.steps_done;
    memcpy(&trainer->facts[FACT_LOSS_BITS], &progress.loss, sizeof progress.loss);
    trainer->facts[FACT_GENERATION] = (int64_t)progress.generation;
}

static muster_status start_from_image(struct trainer *trainer, bool nothing_lost, int *exit_code)
{
    if (trainer_is_root(trainer)) {
        find_image(trainer, nothing_lost);
        memcpy(trainer->experts, trainer->image->experts, sizeof trainer->image->experts);
    }
    muster_tensor facts = muster_tensor_host(trainer->facts, MUSTER_DTYPE_INT64, FACTS, 1);
    muster_status status = muster_broadcast(trainer->world, &facts, TRAINER_ROOT, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    if (trainer->facts[FACT_EXIT_CODE] != EXIT_DONE) {
        *exit_code = (int)trainer->facts[FACT_EXIT_CODE];
        return MUSTER_OK;
    }
    trainer->progress.steps_done = (uint64_t)trainer->facts[FACT_STEPS_DONE];
    memcpy(&trainer->progress.loss, &trainer->facts[FACT_LOSS_BITS], sizeof(double));
    trainer->progress.generation = (uint64_t)trainer->facts[FACT_GENERATION];
    return shards_spread(&trainer->shards, trainer->image, &trainer->error);
}

static void report(const struct trainer *trainer)
{
    const struct progress *progress = &trainer->progress;
    if (trainer_is_root(trainer) && progress->steps_done > 0) {
        printf("restored step %" PRIu64 " loss %.4f epoch %" PRIu64 " ranks %d\n",
               progress->steps_done, progress->loss, muster_job_epoch(trainer->job).value,
               trainer->shards.size);
        /* The root that computed it may have died before it could write it. */
        losses_append(trainer->options->losses_path, progress);
    }
}

/* Does any rank know that the job is at its end? Then there is nothing to restore, and nobody may be
 * left to restore it from. */
static muster_status ask_end(struct trainer *trainer)
{
    int64_t *ends = trainer->exchange.lengths;
    muster_status status = muster_allgather_lengths(trainer->world, trainer->end, ends,
                                                    trainer->exchange.size, &trainer->error);
    for (int32_t r = 0; r < trainer->exchange.size && status == MUSTER_OK; r++) {
        if (ends[r] == TRAINER_DONE || ends[r] == TRAINER_STOPPED) {
            trainer->end = (enum trainer_end)ends[r];
        }
    }
    return status;
}

muster_status restore_run(struct trainer *trainer, int *exit_code)
{
    muster_status status = make_for_world(trainer);
    if (status == MUSTER_OK) {
        status = ask_end(trainer);
    }
    if (status != MUSTER_OK || trainer->end != TRAINER_GOING_ON) {
        return status;
    }
    muster_restore_point point = {.struct_bytes = sizeof point};
    const int32_t capacity = muster_job_slot_count(trainer->job);
    int32_t *slots = calloc((size_t)capacity, sizeof *slots);
    if (slots == NULL) {
        return MUSTER_ERR_NO_MEMORY;
    }
    status = muster_step_restore_point(trainer->world, &point, slots, capacity);
    bool from_image = !point.has_step;
    if (status == MUSTER_OK && !from_image) {
        status = fetch_all(trainer, slots, point.slot_count);
        if (status == MUSTER_ERR_STEP_STATE || status == MUSTER_ERR_STATE_LOST) {
            /* The same on every rank: nobody holds it any more. */
            point.state_lost = true;
            from_image = true;
            status = MUSTER_OK;
        }
    }
    free(slots);
    if (status == MUSTER_OK && from_image) {
        status = start_from_image(trainer, !point.state_lost, exit_code);
    }
    if (status != MUSTER_OK || *exit_code != EXIT_DONE) {
        return status;
    }
    status = step_commit(trainer);
    if (status == MUSTER_OK) {
        report(trainer);
    }
    return status;
}
