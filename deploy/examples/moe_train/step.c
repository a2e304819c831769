/* SPDX-License-Identifier: Apache-2.0 */
/* One step, as it is everywhere in such trainings: forward with the activations inside the blocks
 * dropped (first_forward), head and loss, then block by block the forward again (recompute) and
 * backward, the gradients added up, the optimiser, the commit. */
#include "step.h"

enum { H = MODEL_HIDDEN, K = MODEL_CHOICES };

/* A sequence of this rank: where its rows begin here, and what it is in the text. All zero: before
 * the first. */
struct sequence {
    int64_t next; /* index of the one after it */
    int64_t row;
    int64_t rows;
    const uint8_t *bytes;
    real *gradient; /* its row of gradients */
};

/* Moves on to this rank's next sequence, saying "alive" each time; false after the last. */
static bool next_sequence(struct trainer *trainer, struct sequence *sequence)
{
    muster_progress(trainer->job);
    if (sequence->next == trainer->own) {
        return false;
    }
    const int64_t in_batch = trainer->first + sequence->next;
    sequence->next++;
    sequence->row += sequence->rows;
    sequence->rows = trainer->batch.sequences[in_batch].rows;
    sequence->bytes = trainer->text.bytes + trainer->batch.sequences[in_batch].begin;
    sequence->gradient = trainer->gradient_rows + in_batch * TRAINER_GRADIENT_ROW;
    return true;
}

static real *gradient_of(const struct sequence *sequence, int group)
{
    return sequence->gradient + model_group_begin(group);
}

static void begin(struct trainer *trainer)
{
    const uint64_t seed = trainer->options->seed;
    const uint64_t step = trainer->progress.steps_done + 1;
    batch_make(seed, step, trainer->text.count, &trainer->batch);
    batch_share(seed, step, trainer->shards.size, trainer->counts);
    trainer->first = 0;
    for (int32_t r = 0; r < trainer->shards.rank; r++) {
        trainer->first += trainer->counts[r];
    }
    trainer->own = trainer->counts[trainer->shards.rank];
    struct sequence sequence = {0};
    trainer->rows = 0;
    while (next_sequence(trainer, &sequence)) {
        trainer->rows += sequence.rows;
        matrix_clear(sequence.gradient, TRAINER_GRADIENT_ROW);
    }
    matrix_clear(trainer->experts_gradient, EXPERTS_COUNT);
}

static const real *experts_of(const struct trainer *trainer, int layer)
{
    return trainer->experts + (int64_t)layer * EXPERTS_LAYER_COUNT;
}

static muster_status embed(struct trainer *trainer)
{
    const real *embedding = NULL;
    muster_status status =
        shards_open(&trainer->shards, MODEL_GROUP_EMBEDDING, &embedding, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    struct sequence sequence = {0};
    while (next_sequence(trainer, &sequence)) {
        model_embed(embedding, sequence.bytes, sequence.rows,
                    trainer->inputs[0] + sequence.row * H);
    }
    return shards_close(&trainer->shards, &trainer->error);
}

/* One block's forward: the shared layers here, the experts on the root. In either phase; every rank
 * is in the same one, which each call's agreement round checks. */
static muster_status block_forward(struct trainer *trainer, int layer, const real *block,
                                   muster_phase phase)
{
    muster_status status = muster_phase_enter(trainer->phases, phase);
    if (status != MUSTER_OK) {
        return status;
    }
    struct sequence sequence = {0};
    while (next_sequence(trainer, &sequence)) {
        struct model_routing routing = model_routing_at(&trainer->routing, sequence.row);
        model_block(block, trainer->inputs[layer] + sequence.row * H, sequence.rows, &routing);
    }
    status = exchange_forward(&trainer->exchange, experts_of(trainer, layer), trainer->rows,
                              &trainer->routing, trainer->returned, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    return muster_phase_leave(trainer->phases, phase);
}

static muster_status first_forward(struct trainer *trainer, int layer)
{
    const real *block = NULL;
    muster_status status =
        shards_open(&trainer->shards, MODEL_GROUP_BLOCK + layer, &block, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    status = block_forward(trainer, layer, block, MUSTER_PHASE_FIRST_FORWARD);
    if (status != MUSTER_OK) {
        return status;
    }
    for (int64_t i = 0; i < trainer->rows * H; i++) {
        trainer->inputs[layer + 1][i] = trainer->routing.hidden[i] + trainer->returned[i];
    }
    return shards_close(&trainer->shards, &trainer->error);
}

static muster_status head(struct trainer *trainer)
{
    const real *weights = NULL;
    muster_status status =
        shards_open(&trainer->shards, MODEL_GROUP_HEAD, &weights, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    const real scale = 1 / (real)trainer->batch.rows;
    struct sequence sequence = {0};
    while (next_sequence(trainer, &sequence)) {
        double loss = model_head(weights, trainer->inputs[MODEL_LAYERS] + sequence.row * H,
                                 sequence.bytes + 1, sequence.rows, scale,
                                 trainer->gradient + sequence.row * H,
                                 gradient_of(&sequence, MODEL_GROUP_HEAD));
        sequence.gradient[MODEL_SHARED_COUNT] = (real)loss;
    }
    return shards_close(&trainer->shards, &trainer->error);
}

static muster_status recompute_and_backward(struct trainer *trainer, int layer)
{
    const real *block = NULL;
    muster_status status =
        shards_open(&trainer->shards, MODEL_GROUP_BLOCK + layer, &block, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    status = block_forward(trainer, layer, block, MUSTER_PHASE_RECOMPUTE);
    if (status != MUSTER_OK) {
        return status;
    }
    status = exchange_backward(
        &trainer->exchange, experts_of(trainer, layer), trainer->rows, trainer->gradient,
        trainer->hidden_gradient, trainer->weight_gradient,
        trainer->experts_gradient + (int64_t)layer * EXPERTS_LAYER_COUNT, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    for (int64_t i = 0; i < trainer->rows * H; i++) {
        trainer->hidden_gradient[i] += trainer->gradient[i]; /* the way past the experts */
    }
    struct sequence sequence = {0};
    while (next_sequence(trainer, &sequence)) {
        struct model_routing routing = model_routing_at(&trainer->routing, sequence.row);
        model_block_backward(block, trainer->inputs[layer] + sequence.row * H, sequence.rows,
                             &routing, trainer->hidden_gradient + sequence.row * H,
                             trainer->weight_gradient + sequence.row * K,
                             trainer->gradient + sequence.row * H,
                             gradient_of(&sequence, MODEL_GROUP_BLOCK + layer));
    }
    return shards_close(&trainer->shards, &trainer->error);
}

static void embed_backward(struct trainer *trainer)
{
    struct sequence sequence = {0};
    while (next_sequence(trainer, &sequence)) {
        model_embed_backward(sequence.bytes, sequence.rows, trainer->gradient + sequence.row * H,
                             gradient_of(&sequence, MODEL_GROUP_EMBEDDING));
    }
}

/* Everyone gets every sequence's gradients and loss, in the order of the global batch; each adds up
 * in that order what it owns. So the sums do not depend on who computed what, nor on timing. Own rows
 * lie where they belong already (in place). */
static muster_status share_gradients(struct trainer *trainer)
{
    const struct device *device = &trainer->device;
    const size_t row_bytes = sizeof(real) * TRAINER_GRADIENT_ROW;
    real *const own_rows = trainer->gradient_rows + trainer->first * TRAINER_GRADIENT_ROW;
    char *const device_rows = trainer->device_gradient_rows;
    char *const device_own_rows =
        device_in_use(device) ? device_rows + (size_t)trainer->first * row_bytes : NULL;
    muster_status status = device_write(device, device_own_rows, own_rows,
                                        (size_t)trainer->own * row_bytes, &trainer->error);
    if (status != MUSTER_OK) {
        return status;
    }
    muster_tensor own = device_tensor(device, own_rows, device_own_rows, MUSTER_DTYPE_FLOAT32,
                                      trainer->own, TRAINER_GRADIENT_ROW);
    muster_tensor all = device_tensor(device, trainer->gradient_rows, device_rows,
                                      MUSTER_DTYPE_FLOAT32, BATCH_SEQUENCES, TRAINER_GRADIENT_ROW);
    const struct norm_rows own_norm = {own_rows, trainer->own, MODEL_SHARED_COUNT,
                                       TRAINER_GRADIENT_ROW};
    const struct norm_rows all_norm = {trainer->gradient_rows, BATCH_SEQUENCES, MODEL_SHARED_COUNT,
                                       TRAINER_GRADIENT_ROW};
    /* After the write and before the batch: what is on the stream is complete when the batch is. */
    if (trainer->options->gradient_norm) {
        status = norm_start(&trainer->norm, trainer->world, &own_norm, &trainer->error);
        if (status != MUSTER_OK) {
            return status;
        }
    }
    status = muster_allgatherv(trainer->world, &own, trainer->counts, trainer->shards.size, &all,
                               &trainer->error);
    if (status == MUSTER_OK && device_in_use(device)) {
        status = muster_comm_synchronize(trainer->world, &trainer->error);
    }
    if (status != MUSTER_OK) {
        return status;
    }
    status = device_read(device, trainer->gradient_rows, device_rows, BATCH_SEQUENCES * row_bytes,
                         &trainer->error);
    if (status == MUSTER_OK && trainer->options->gradient_norm) {
        status = norm_finish(&trainer->norm, &all_norm, &trainer->error);
    }
    return status;
}

static void update(struct trainer *trainer)
{
    const uint64_t step = trainer->progress.steps_done + 1;
    shards_update(&trainer->shards, step, trainer->gradient_rows, BATCH_SEQUENCES,
                  TRAINER_GRADIENT_ROW);
    muster_progress(trainer->job);
    if (trainer_is_root(trainer)) {
        adam_update(step, EXPERTS_COUNT, trainer->experts_gradient,
                    trainer->experts + ADAM_VALUE * EXPERTS_COUNT,
                    trainer->experts + ADAM_FIRST_MOMENT * EXPERTS_COUNT,
                    trainer->experts + ADAM_SECOND_MOMENT * EXPERTS_COUNT);
    }
    double loss = 0;
    for (int64_t i = 0; i < BATCH_SEQUENCES; i++) {
        loss += (double)trainer->gradient_rows[i * TRAINER_GRADIENT_ROW + MODEL_SHARED_COUNT];
    }
    trainer->progress.loss = loss / (double)trainer->batch.rows;
    trainer->progress.steps_done = step;
}

muster_status step_commit(struct trainer *trainer)
{
    state_pack(&trainer->state, &trainer->progress, &trainer->shards,
               trainer_is_root(trainer) ? trainer->experts : NULL);
    return muster_step_commit(trainer->world, trainer->progress.steps_done, trainer->state.parts,
                              trainer->state.part_count, &trainer->error);
}

muster_status step_run(struct trainer *trainer)
{
    const struct progress before = trainer->progress;
    begin(trainer);
    muster_status status = embed(trainer);
    for (int layer = 0; layer < MODEL_LAYERS && status == MUSTER_OK; layer++) {
        status = first_forward(trainer, layer);
    }
    if (status == MUSTER_OK) {
        status = head(trainer);
    }
    for (int layer = MODEL_LAYERS - 1; layer >= 0 && status == MUSTER_OK; layer--) {
        status = recompute_and_backward(trainer, layer);
    }
    if (status != MUSTER_OK) {
        return status;
    }
    embed_backward(trainer);
    status = share_gradients(trainer);
    if (status != MUSTER_OK) {
        return status;
    }
    update(trainer);
    status = step_commit(trainer);
    if (status != MUSTER_OK) {
        trainer->progress = before; /* in doubt: the rebuild says */
    }
    return status;
}
