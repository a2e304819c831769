/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes of gathered parameters. A scope is memory for the full tensors, allocated before the round
 * that everybody agrees in, and a place on its communicator's stack of scopes. */
#include <muster/params.h>

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "comm/comm.h"
#include "comm/request.h"
#include "scope/param.h"
#include "scope/shard.h"

/* Full tensors begin on a cache line, whatever their dtype. */
#define FULL_ALIGNMENT_BYTES 64

struct muster_params_scope {
    muster_comm *comm;
    muster_params_scope *enclosing;
    uint64_t epoch;
    int32_t modifier;
    int32_t param_count; /* held so far, while it is being made */
    muster_param **params;
    void **full;
    int64_t *ones; /* the size of the communicator of them */
    uint64_t bytes;
};

static void scope_free(muster_params_scope *scope)
{
    if (scope == NULL)
        return;
    for (int32_t i = 0; i < scope->param_count; i++) {
        scope->params[i]->scope = NULL;
        free(scope->full[i]);
    }
    free(scope->params);
    free(scope->full);
    free(scope->ones);
    free(scope);
}

static muster_status no_memory(muster_error *error, uint64_t bytes)
{
    return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, 0, (int64_t)bytes,
                            "no memory for %llu bytes of gathered parameters",
                            (unsigned long long)bytes);
}

static muster_params_scope *scope_new(const muster_comm *comm, int32_t param_capacity)
{
    muster_params_scope *scope = calloc(1, sizeof(*scope));
    if (scope == NULL)
        return NULL;
    size_t count = (size_t)param_capacity + (param_capacity == 0); /* calloc(0) may give NULL */
    scope->params = calloc(count, sizeof(*scope->params));
    scope->full = calloc(count, sizeof(*scope->full));
    scope->ones = calloc((size_t)comm->size, sizeof(*scope->ones));
    if (scope->params == NULL || scope->full == NULL || scope->ones == NULL) {
        scope_free(scope);
        return NULL;
    }
    for (int32_t rank = 0; rank < comm->size; rank++)
        scope->ones[rank] = 1;
    return scope;
}

/* Takes params[index] into the scope; the scope then owns its full buffer. */
static muster_status hold(muster_params_scope *scope, const muster_comm *comm, muster_param *param,
                          muster_error *error)
{
    if (param == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "a parameter is NULL");
    muster_status status = muster_param_check(param, comm, error);
    if (status != MUSTER_OK)
        return status;
    if (param->scope != NULL)
        return muster_error_set(error, MUSTER_ERR_SCOPE_OVERLAP, MUSTER_FIELD_ARGUMENT, 0, 0,
                                param->scope == scope ? "the parameter is named twice"
                                                      : "an enclosing scope has gathered the "
                                                        "parameter; use its full tensor");
    void *full = NULL;
    size_t bytes = param->full_bytes == 0 ? FULL_ALIGNMENT_BYTES : param->full_bytes;
    if (posix_memalign(&full, FULL_ALIGNMENT_BYTES, bytes) != 0)
        return no_memory(error, bytes);
    scope->params[scope->param_count] = param;
    scope->full[scope->param_count] = full;
    scope->param_count++;
    scope->bytes += param->full_bytes;
    param->scope = scope;
    return MUSTER_OK;
}

static muster_shard shard_of(const muster_params_scope *scope, const muster_comm *comm,
                             int32_t index)
{
    const muster_param *param = scope->params[index];
    MUSTER_ASSERT(index < scope->param_count && param != NULL);
    return (muster_shard){
        .own_rank = comm->rank,
        .rank_count = comm->size,
        .ones = scope->ones,
        .shard_bytes = param->shard_bytes,
        .shard = param->shard,
        .full = scope->full[index],
    };
}

/* What all ranks must agree on: the same parameters in the same order. */
static muster_status describe(muster_request *request, const muster_params_scope *scope,
                              muster_error *error)
{
    muster_record *record = &request->record;
    size_t count = (size_t)scope->param_count;
    record->tensor_count = scope->param_count;
    if (count > 0) {
        request->descriptors = calloc(count, sizeof(*request->descriptors));
        if (request->descriptors == NULL)
            return no_memory(error, count * sizeof(*request->descriptors));
        request->descriptor_count = scope->param_count;
        for (size_t i = 0; i < count; i++)
            request->descriptors[i] = (muster_descriptor){
                .dtype = (int32_t)scope->params[i]->dtype,
                .dimension_count = 1,
                .feature_dimensions = {scope->params[i]->element_count},
                .peer = -1,
            };
        /* The first one stands in the record itself, so that the commonest mistake, one parameter
         * that differs, is named without a second round. */
        record->dtype = request->descriptors[0].dtype;
        record->dimension_count = 1;
        record->feature_dimensions[0] = scope->params[0]->element_count;
    }
    record->descriptors_hash =
        muster_descriptors_hash(request->descriptors, request->descriptor_count);
    return MUSTER_OK;
}

/* Everything that this rank can find out alone; on an error *made may hold a part of the scope. */
static muster_status prepare_gather(muster_request *request, muster_param *const *params,
                                    int32_t param_count, int32_t modifier, bool has_place,
                                    muster_params_scope **made, muster_error *error)
{
    const muster_comm *comm = request->comm;
    if (!has_place || param_count < 0 || (params == NULL && param_count > 0))
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0,
                                param_count,
                                "muster_params_gather: scope and params must not be NULL, "
                                "param_count must be >= 0");
    if (modifier < MUSTER_RANK_NONE || modifier >= comm->size)
        return muster_error_set(error, MUSTER_ERR_MODIFIER, MUSTER_FIELD_MODIFIER, comm->size - 1,
                                modifier, "modifier %d is no rank of the %d and not -1", modifier,
                                comm->size);
    *made = scope_new(comm, param_count);
    if (*made == NULL)
        return no_memory(error, (uint64_t)param_count * sizeof(void *));
    for (int32_t i = 0; i < param_count; i++) {
        muster_status status = hold(*made, comm, params[i], error);
        if (status != MUSTER_OK) {
            error->tensor_index = i;
            return status;
        }
    }
    muster_status status = describe(request, *made, error);
    if (status != MUSTER_OK)
        return status;
    for (int32_t i = 0; i < param_count; i++) {
        muster_shard shard = shard_of(*made, comm, i);
        if (!muster_shard_append_gather(&request->operations, &shard))
            return no_memory(error, (uint64_t)comm->size * sizeof(muster_transport_operation));
    }
    return MUSTER_OK;
}

muster_status muster_params_gather(muster_comm *comm, muster_param *const *params,
                                   int32_t param_count, int32_t modifier,
                                   muster_params_scope **scope, muster_error *error)
{
    if (scope != NULL)
        *scope = NULL;
    muster_request *request;
    muster_status status = muster_request_new(comm, MUSTER_CALL_PARAMS_GATHER, &request, error);
    if (status != MUSTER_OK)
        return status;
    muster_params_scope *made = NULL;
    muster_error local;
    muster_error_init(&local);
    request->record.argument = modifier;
    if (prepare_gather(request, params, param_count, modifier, scope != NULL, &made, &local) !=
        MUSTER_OK)
        muster_request_refuse(request, &local);
    status = muster_request_run(request, error);
    if (status != MUSTER_OK) {
        scope_free(made);
        return status;
    }
    MUSTER_ASSERT(made != NULL && scope != NULL); /* else this rank has refused, and so have all */
    made->comm = comm;
    made->epoch = comm->epoch;
    made->modifier = modifier;
    made->enclosing = comm->innermost_scope;
    comm->innermost_scope = made;
    comm->open_scopes++;
    MUSTER_TRACE(&comm->job->tracer, params_begin, comm->sequence, param_count, modifier,
                 made->bytes);
    *scope = made;
    return MUSTER_OK;
}

void *muster_params_full(muster_params_scope *scope, int32_t index)
{
    return scope == NULL || index < 0 || index >= scope->param_count ? NULL : scope->full[index];
}

/* Ends the scope on this rank. A rebuild empties the stack, so it may not be on it any more. */
static void end(muster_params_scope *scope, muster_status status)
{
    muster_comm *comm = scope->comm;
    for (muster_params_scope **link = &comm->innermost_scope; *link != NULL;
         link = &(*link)->enclosing)
        if (*link == scope) {
            *link = scope->enclosing;
            comm->open_scopes--;
            break;
        }
    MUSTER_TRACE(&comm->job->tracer, params_end, comm->sequence, scope->param_count,
                 scope->modifier, (int32_t)status);
    scope_free(scope);
}

static muster_status prepare_release(muster_request *request, const muster_params_scope *scope,
                                     muster_error *error)
{
    const muster_comm *comm = request->comm;
    if (scope != comm->innermost_scope)
        return muster_error_set(error, MUSTER_ERR_UNBALANCED, MUSTER_FIELD_ARGUMENT,
                                comm->open_scopes, 0,
                                "the scope is not the innermost one; release that first");
    if (scope->modifier == MUSTER_RANK_NONE)
        return MUSTER_OK;
    for (int32_t i = 0; i < scope->param_count; i++) {
        muster_shard shard = shard_of(scope, comm, i);
        if (!muster_shard_append_release(&request->operations, &shard, scope->modifier))
            return no_memory(error, (uint64_t)comm->size * sizeof(muster_transport_operation));
    }
    return MUSTER_OK;
}

muster_status muster_params_release(muster_params_scope *scope, muster_error *error)
{
    if (scope == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "muster_params_release: scope is NULL; pass an open scope");
    muster_comm *comm = scope->comm;
    muster_request *request;
    muster_status status = muster_request_new(comm, MUSTER_CALL_PARAMS_RELEASE, &request, error);
    if (status == MUSTER_OK && scope->epoch != comm->epoch) {
        /* No round: a replacement in the new epoch has never seen this scope and would be in another
         * call. To this rank the scope is a handle of a revoked epoch. */
        muster_request_drop(request);
        return muster_error_set(error, MUSTER_ERR_EPOCH, MUSTER_FIELD_EPOCH, (int64_t)comm->epoch,
                                (int64_t)scope->epoch,
                                "the scope was opened in epoch %llu, which a loss has ended; call "
                                "muster_params_abandon",
                                (unsigned long long)scope->epoch);
    }
    if (status == MUSTER_OK) {
        muster_error local;
        muster_error_init(&local);
        request->record.argument = scope->modifier;
        request->record.tensor_count = scope->param_count;
        if (prepare_release(request, scope, &local) != MUSTER_OK)
            muster_request_refuse(request, &local);
        status = muster_request_run(request, error);
    }
    /* A refusal moved nothing, on any rank: the call can be mended and made again. */
    bool refused = status == MUSTER_ERR_NO_MEMORY ||
                   (status != MUSTER_OK && muster_status_advice(status) == MUSTER_ADVICE_FIX_CALL);
    if (!refused)
        end(scope, status);
    return status;
}

void muster_params_abandon(muster_params_scope *scope)
{
    if (scope != NULL)
        end(scope, MUSTER_ERR_RANK_LOST);
}
