/* SPDX-License-Identifier: Apache-2.0 */
#include "scope/step_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define GENERATIONS 2

struct muster_step_store {
    muster_step_generation generations[GENERATIONS];
    muster_restore restore;
    int32_t *restore_slots;
    bool has_commit;
    uint64_t commit_epoch; /* of the last commit seen by this rank */
    uint64_t commit_step;
};

static void forget(muster_step_generation *generation)
{
    generation->state = MUSTER_STEP_EMPTY;
    generation->own.slot = MUSTER_SLOT_NONE;
    generation->mirror.slot = MUSTER_SLOT_NONE;
}

muster_step_store *muster_step_store_new(void)
{
    muster_step_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return NULL;
    for (int i = 0; i < GENERATIONS; i++)
        forget(&store->generations[i]);
    return store;
}

void muster_step_store_free(muster_step_store *store)
{
    if (store == NULL)
        return;
    for (int i = 0; i < GENERATIONS; i++) {
        free(store->generations[i].own.data);
        free(store->generations[i].mirror.data);
    }
    free(store->restore_slots);
    free(store);
}

/* Orders generations as the job made them: a later epoch may repeat a step. */
static bool is_newer(const muster_step_generation *generation, uint64_t epoch, uint64_t step)
{
    return generation->epoch != epoch ? generation->epoch > epoch : generation->step > step;
}

static void hold(const muster_step_generation *generation, const muster_step_state *state,
                 bool mirror, muster_holding *holdings, int32_t capacity, int32_t *count)
{
    if (state->slot == MUSTER_SLOT_NONE)
        return;
    if (*count < capacity)
        holdings[*count] = (muster_holding){
            .slot = state->slot,
            .epoch = generation->epoch,
            .step = generation->step,
            .mirror = mirror,
            .committed = generation->state == MUSTER_STEP_COMMITTED,
        };
    (*count)++;
}

int32_t muster_step_store_holdings(const muster_step_store *store, muster_holding *holdings,
                                   int32_t capacity)
{
    int32_t count = 0;
    for (int i = 0; i < GENERATIONS; i++) {
        const muster_step_generation *generation = &store->generations[i];
        if (generation->state == MUSTER_STEP_EMPTY)
            continue;
        hold(generation, &generation->own, false, holdings, capacity, &count);
        hold(generation, &generation->mirror, true, holdings, capacity, &count);
    }
    return count;
}

bool muster_step_store_set_restore(muster_step_store *store, const muster_restore *restore,
                                   const int32_t *slots)
{
    int32_t *copies = NULL;
    if (restore->slot_count > 0) {
        size_t bytes = (size_t)restore->slot_count * sizeof(*copies);
        copies = malloc(bytes);
        if (copies == NULL)
            return false;
        memcpy(copies, slots, bytes);
    }
    free(store->restore_slots);
    store->restore_slots = copies;
    store->restore = *restore;
    store->has_commit = false;
    if (!restore->has_step)
        return true;
    for (int i = 0; i < GENERATIONS; i++) {
        muster_step_generation *generation = &store->generations[i];
        if (generation->state == MUSTER_STEP_EMPTY)
            continue;
        if (generation->epoch == restore->epoch && generation->step == restore->step)
            generation->state = MUSTER_STEP_COMMITTED;
        else if (is_newer(generation, restore->epoch, restore->step))
            forget(generation);
    }
    return true;
}

const muster_restore *muster_step_store_restore(const muster_step_store *store,
                                                const int32_t **slots)
{
    if (slots != NULL)
        *slots = store->restore_slots;
    return &store->restore;
}

/* The newest committed one is never written to: until its successor is committed everywhere, it is
 * what a rebuild goes back to. */
static muster_step_generation *writable(muster_step_store *store)
{
    muster_step_generation *first = &store->generations[0];
    muster_step_generation *second = &store->generations[1];
    if (first->state != MUSTER_STEP_COMMITTED)
        return first;
    if (second->state != MUSTER_STEP_COMMITTED)
        return second;
    return is_newer(first, second->epoch, second->step) ? second : first;
}

/* Room for bytes; the contents go. Memory only grows: a job's states are of one size, or nearly. */
static bool make_room(muster_step_state *state, size_t bytes)
{
    if (bytes > state->capacity) {
        free(state->data);
        state->capacity = 0;
        state->data = malloc(bytes);
        if (state->data == NULL)
            return false;
        state->capacity = bytes;
    }
    state->bytes = bytes;
    return true;
}

muster_step_generation *muster_step_store_begin(muster_step_store *store, uint64_t epoch,
                                                uint64_t step, int32_t own_slot, size_t own_bytes)
{
    muster_step_generation *generation = writable(store);
    forget(generation);
    if (!make_room(&generation->own, own_bytes))
        return NULL;
    generation->epoch = epoch;
    generation->step = step;
    generation->own.slot = own_slot;
    return generation;
}

bool muster_step_generation_expect_mirror(muster_step_generation *generation, int32_t slot,
                                          size_t bytes)
{
    MUSTER_ASSERT(generation->state == MUSTER_STEP_EMPTY);
    generation->mirror.slot = MUSTER_SLOT_NONE;
    if (!make_room(&generation->mirror, bytes))
        return false;
    generation->mirror.slot = slot;
    return true;
}

void muster_step_generation_stage(muster_step_generation *generation)
{
    MUSTER_ASSERT(generation->state == MUSTER_STEP_EMPTY);
    MUSTER_ASSERT(generation->own.slot != MUSTER_SLOT_NONE);
    generation->state = MUSTER_STEP_STAGED;
}

void muster_step_store_commit(muster_step_store *store, muster_step_generation *generation)
{
    MUSTER_ASSERT(generation->state == MUSTER_STEP_STAGED);
    generation->state = MUSTER_STEP_COMMITTED;
    store->has_commit = true;
    store->commit_epoch = generation->epoch;
    store->commit_step = generation->step;
}

bool muster_step_store_last_committed(const muster_step_store *store, uint64_t epoch,
                                      uint64_t *step)
{
    if (!store->has_commit || store->commit_epoch != epoch)
        return false;
    *step = store->commit_step;
    return true;
}

const muster_step_state *muster_step_store_find(const muster_step_store *store, int32_t slot,
                                                bool *is_own)
{
    if (!store->restore.has_step || slot == MUSTER_SLOT_NONE)
        return NULL;
    for (int i = 0; i < GENERATIONS; i++) {
        const muster_step_generation *generation = &store->generations[i];
        if (generation->state == MUSTER_STEP_EMPTY || generation->epoch != store->restore.epoch ||
            generation->step != store->restore.step)
            continue;
        *is_own = generation->own.slot == slot;
        if (*is_own)
            return &generation->own;
        if (generation->mirror.slot == slot)
            return &generation->mirror;
    }
    return NULL;
}
