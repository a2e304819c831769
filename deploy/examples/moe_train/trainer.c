/* SPDX-License-Identifier: Apache-2.0 */
#include "trainer.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "exit_codes.h"
#include "losses.h"
#include "restore.h"
#include "step.h"

enum { REBUILDS_WITHOUT_ANSWER_MAX = 5 };

static real *rows_of(int64_t features)
{
    return calloc((size_t)(BATCH_ROWS_MAX * features), sizeof(real));
}

static bool allocate(struct trainer *trainer)
{
    bool good = true;
    for (int i = 0; i <= MODEL_LAYERS; i++) {
        trainer->inputs[i] = rows_of(MODEL_HIDDEN);
        good = good && trainer->inputs[i] != NULL;
    }
    trainer->routing = (struct model_routing){
        .mixed = rows_of(MODEL_HIDDEN),
        .hidden = rows_of(MODEL_HIDDEN),
        .chosen = calloc(BATCH_ROWS_MAX * MODEL_CHOICES, sizeof *trainer->routing.chosen),
        .weights = rows_of(MODEL_CHOICES)};
    trainer->returned = rows_of(MODEL_HIDDEN);
    trainer->gradient = rows_of(MODEL_HIDDEN);
    trainer->hidden_gradient = rows_of(MODEL_HIDDEN);
    trainer->weight_gradient = rows_of(MODEL_CHOICES);
    trainer->image = calloc(1, sizeof *trainer->image);
    trainer->experts = calloc(ADAM_KINDS * EXPERTS_COUNT, sizeof(real));
    trainer->experts_gradient = calloc(EXPERTS_COUNT, sizeof(real));
    return good && trainer->routing.mixed != NULL && trainer->routing.hidden != NULL &&
           trainer->routing.chosen != NULL && trainer->routing.weights != NULL &&
           trainer->returned != NULL && trainer->gradient != NULL &&
           trainer->hidden_gradient != NULL && trainer->weight_gradient != NULL &&
           trainer->image != NULL && trainer->experts != NULL && trainer->experts_gradient != NULL;
}

muster_status trainer_make(struct trainer *trainer)
{
    muster_error_init(&trainer->error);
    trainer->world = muster_job_world(trainer->job);
    trainer->identity = (struct checkpoint_identity){.seed = trainer->options->seed,
                                                     .text_hash = text_hash(&trainer->text)};
    if (!allocate(trainer)) {
        return MUSTER_ERR_NO_MEMORY;
    }
    void *gradient_rows = NULL;
    muster_status status =
        muster_memory_alloc(trainer->job, sizeof(real) * BATCH_SEQUENCES * TRAINER_GRADIENT_ROW,
                            &gradient_rows, &trainer->error);
    trainer->gradient_rows = gradient_rows;
    if (status == MUSTER_OK) {
        status = device_open(&trainer->device, trainer->job, &trainer->error);
    }
    if (status == MUSTER_OK) {
        status =
            device_allocate(&trainer->device, sizeof(real) * BATCH_SEQUENCES * TRAINER_GRADIENT_ROW,
                            &trainer->device_gradient_rows, &trainer->error);
    }
    if (status == MUSTER_OK) {
        status = exchange_open(&trainer->exchange, &trainer->device, &trainer->error);
    }
    if (status == MUSTER_OK && trainer->options->gradient_norm) {
        status = norm_open(&trainer->norm, trainer->job, &trainer->device, &trainer->error);
    }
    if (status != MUSTER_OK) {
        return status;
    }
    return muster_phase_context_create(trainer->job, &trainer->phases);
}

void trainer_free(struct trainer *trainer)
{
    shards_free(&trainer->shards);
    exchange_free(&trainer->exchange);
    muster_phase_context_free(trainer->phases);
    if (trainer->gradient_rows != NULL) {
        (void)muster_memory_free(trainer->job, trainer->gradient_rows);
    }
    for (int i = 0; i <= MODEL_LAYERS; i++) {
        free(trainer->inputs[i]);
    }
    free(trainer->routing.mixed);
    free(trainer->routing.hidden);
    free(trainer->routing.chosen);
    free(trainer->routing.weights);
    free(trainer->returned);
    free(trainer->gradient);
    free(trainer->hidden_gradient);
    free(trainer->weight_gradient);
    free(trainer->image);
    free(trainer->experts);
    free(trainer->experts_gradient);
    free(trainer->fetched);
    free(trainer->counts);
}

static muster_status save_checkpoint(struct trainer *trainer)
{
    muster_status status = shards_collect(&trainer->shards, trainer->image, &trainer->error);
    if (status != MUSTER_OK || !trainer_is_root(trainer)) {
        return status;
    }
    real *to = trainer->image->experts[0];
    matrix_copy(trainer->experts, ADAM_KINDS * EXPERTS_COUNT, to);
    if (checkpoint_write(trainer->options->checkpoint_path, &trainer->identity, trainer->job,
                         &trainer->progress, trainer->image)) {
        printf("checkpoint of step %" PRIu64 "\n", trainer->progress.steps_done);
    }
    return MUSTER_OK; /* without the file the training is as good, only less safe */
}

static void print_step(const struct trainer *trainer)
{
    printf("step %" PRIu64 " loss %.4f rows", trainer->progress.steps_done, trainer->progress.loss);
    for (int32_t r = 0; r < trainer->exchange.size; r++) {
        printf(" %" PRId64, trainer->exchange.lengths[r]);
    }
    printf(" epoch %" PRIu64, muster_job_epoch(trainer->job).value);
    if (trainer->options->gradient_norm) {
        printf(" gradient %.5g", trainer->norm.value);
    }
    printf("\n");
    losses_append(trainer->options->losses_path, &trainer->progress);
}

/* On the root, as if its experts were slow: waits as long as --step-delay-ms says, but no longer than
 * the epoch lives. The others wait for it inside the step's first call. */
static void delay(struct trainer *trainer)
{
    if (!trainer_is_root(trainer)) {
        return;
    }
    struct pollfd revoked = {.fd = muster_job_revoke_fd(trainer->job), .events = POLLIN};
    for (int64_t left_ms = trainer->options->step_delay_ms; left_ms > 0; left_ms -= 100) {
        muster_progress(trainer->job);
        if (poll(&revoked, 1, left_ms < 100 ? (int)left_ms : 100) > 0) {
            return;
        }
    }
}

/* Has any rank been asked to stop? All ranks get the same answer: each says 0 or 1 as if it were a
 * number of rows. */
static muster_status ask_stop(struct trainer *trainer, bool *stop)
{
    int64_t *asked = trainer->exchange.lengths;
    int64_t own = *stop || *trainer->stop_asked != 0 ? 1 : 0;
    muster_status status = muster_allgather_lengths(trainer->world, own, asked,
                                                    trainer->exchange.size, &trainer->error);
    for (int32_t r = 0; r < trainer->exchange.size && status == MUSTER_OK; r++) {
        *stop = *stop || asked[r] != 0;
    }
    return status;
}

static muster_status run_one(struct trainer *trainer)
{
    delay(trainer);
    muster_status status = step_run(trainer);
    if (status != MUSTER_OK) {
        return status;
    }
    if (trainer_is_root(trainer)) {
        print_step(trainer);
    }
    if (trainer->options->checkpoint_path != NULL &&
        trainer->progress.steps_done % trainer->options->checkpoint_every == 0) {
        status = save_checkpoint(trainer);
    }
    return status;
}

/* Nobody leaves while another could still need it. After the first barrier this rank knows that the
 * job is at its end; after the second, that everyone knows. So a rank that finds itself in a rebuild
 * where others have left already knows by itself that it is done (see restore_run). */
static muster_status farewell(struct trainer *trainer, bool stop)
{
    muster_status status = muster_barrier(trainer->world, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    trainer->end = stop && trainer->progress.steps_done < trainer->options->steps ? TRAINER_STOPPED
                                                                                  : TRAINER_DONE;
    return muster_barrier(trainer->world, &trainer->error);
}

/* From progress to the last step, or until somebody is asked to stop. */
static muster_status run_steps(struct trainer *trainer, bool *stop)
{
    for (;;) {
        muster_status status = ask_stop(trainer, stop);
        if (status != MUSTER_OK) {
            return status;
        }
        if (*stop || trainer->progress.steps_done >= trainer->options->steps) {
            break;
        }
        status = run_one(trainer);
        if (status != MUSTER_OK) {
            return status;
        }
    }
    if (*stop && trainer->options->checkpoint_path != NULL) {
        muster_status status = save_checkpoint(trainer);
        if (status != MUSTER_OK) {
            return status;
        }
    }
    return farewell(trainer, *stop);
}

/* A blocking call that ran into its deadline has failed its communicator, which a rebuild mends as it
 * mends a loss. */
static bool can_recover(muster_status status)
{
    return muster_status_advice(status) == MUSTER_ADVICE_RECOVER || status == MUSTER_ERR_TIMEOUT;
}

static void print_failure(const struct trainer *trainer, muster_status status)
{
    /* A detail says which argument, what was expected, what came; not every failure has one. */
    const bool has_detail = trainer->error.status == status && trainer->error.message[0] != '\0';
    fprintf(stderr, "moe_train: after step %" PRIu64 ": %s: %s\n", trainer->progress.steps_done,
            muster_status_name(status),
            has_detail ? trainer->error.message : muster_status_text(status));
}

/* Forms the next epoch. */
static muster_status rebuild(struct trainer *trainer)
{
    shards_abandon(&trainer->shards);
    muster_phase_reset(trainer->phases);
    muster_rebuild_result result = {.struct_bytes = sizeof result};
    muster_status status = MUSTER_OK;
    for (int i = 0; i < REBUILDS_WITHOUT_ANSWER_MAX; i++) {
        status = muster_comm_rebuild(trainer->world, &result, &trainer->error);
        if (muster_status_advice(status) != MUSTER_ADVICE_RETRY) {
            break;
        }
    }
    if (status == MUSTER_OK) {
        printf(
            "epoch %" PRIu64 ": rank %d of %d, %s %d; quiet after %.1f ms, connected in %.1f ms\n",
            result.epoch.value, muster_comm_rank(trainer->world), muster_comm_size(trainer->world),
            result.kind == MUSTER_REBUILD_GROW     ? "grown; lost"
            : result.kind == MUSTER_REBUILD_SHRINK ? "shrunk by"
                                                   : "replaced",
            result.lost_slot_count, (double)result.quiet_ns * 1e-6,
            (double)result.connect_ns * 1e-6);
    }
    return status;
}

/* One epoch's life: brings this rank to where the group goes on, and trains. */
static muster_status run_epoch(struct trainer *trainer, bool *stop, int *exit_code)
{
    muster_status status = restore_run(trainer, exit_code);
    if (status != MUSTER_OK || *exit_code != EXIT_DONE || trainer->end != TRAINER_GOING_ON) {
        return status;
    }
    return run_steps(trainer, stop);
}

int trainer_run(struct trainer *trainer)
{
    bool stop = false;
    for (bool first = true;; first = false) {
        int exit_code = EXIT_DONE;
        /* Further deaths start a rebuild anew inside the call: an error of it is final. */
        muster_status status = first ? MUSTER_OK : rebuild(trainer);
        bool final = status != MUSTER_OK;
        if (!final) {
            status = run_epoch(trainer, &stop, &exit_code);
            final = status == MUSTER_OK || !can_recover(status);
        }
        if (status == MUSTER_OK && trainer->end == TRAINER_GOING_ON) {
            return exit_code;
        }
        /* At the end a rebuild may come to nothing, because the others have left: no harm. */
        if (final && trainer->end != TRAINER_GOING_ON && status != MUSTER_ERR_FENCED &&
            status != MUSTER_ERR_DEVICE_STUCK) {
            return trainer->end == TRAINER_STOPPED ? EXIT_STOPPED : EXIT_DONE;
        }
        print_failure(trainer, status);
        if (final) {
            return status == MUSTER_ERR_FENCED         ? EXIT_FENCED
                   : status == MUSTER_ERR_DEVICE_STUCK ? EXIT_DEVICE_STUCK
                                                       : EXIT_FAILED;
        }
    }
}
