/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/batch_builder.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "comm/device_check.h"
#include "layout/tensor.h"

static void batch_free(muster_batch *batch)
{
    for (int32_t i = 0; i < batch->tensor_count; i++)
        free(batch->tensors[i].chunks);
    free(batch->tensors);
    free(batch->lengths);
    free(batch->transfers);
    free(batch->ordinals);
    muster_range_list_clean_up(&batch->ranges);
    free(batch);
}

void muster_batch_abandon(muster_batch *batch)
{
    if (batch == NULL)
        return;
    muster_request_drop(batch->request);
    batch_free(batch);
}

static void refuse(muster_batch *batch, muster_error *local, int32_t tensor_index)
{
    if (local->status == MUSTER_OK)
        return;
    local->tensor_index = tensor_index;
    muster_request_refuse(batch->request, local);
}

static void refuse_memory(muster_batch *batch)
{
    muster_error local;
    muster_error_init(&local);
    muster_error_set(&local, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                     "no memory for a batch");
    refuse(batch, &local, -1);
}

static void open_layout(muster_batch *batch, const int64_t *lengths, int32_t lengths_count)
{
    muster_comm *comm = batch->comm;
    muster_record *record = &batch->request->record;
    muster_error local;
    muster_error_init(&local);
    record->lengths_count = lengths_count;
    int64_t own_rows = lengths != NULL && lengths_count == comm->size ? lengths[comm->rank] : 0;
    if (muster_lengths_check(lengths, lengths_count, comm->size, comm->rank, own_rows, &local) !=
        MUSTER_OK) {
        refuse(batch, &local, -1);
        return;
    }
    MUSTER_ASSERT(lengths != NULL); /* the check has refused it */
    batch->lengths = malloc((size_t)comm->size * sizeof(*batch->lengths));
    if (batch->lengths == NULL) {
        refuse_memory(batch);
        return;
    }
    memcpy(batch->lengths, lengths, (size_t)comm->size * sizeof(*batch->lengths));
    record->own_rows = own_rows;
    record->lengths_hash = muster_lengths_hash(lengths, lengths_count);
    record->total_rows = muster_lengths_total(lengths, lengths_count);
    batch->layout_usable = true;
}

muster_status muster_batch_check(const muster_batch *batch, muster_error *error)
{
    const muster_comm *comm = batch->comm;
    if (!muster_job_is_ours(comm->job))
        return muster_error_set(error, MUSTER_ERR_FORKED, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "a batch of the parent process is used in a forked child");
    if (batch->request->epoch != comm->epoch)
        return muster_error_set(
            error, MUSTER_ERR_EPOCH, MUSTER_FIELD_EPOCH, (int64_t)comm->epoch,
            (int64_t)batch->request->epoch,
            "the batch was opened in epoch %llu, which a loss has ended; open it "
            "anew",
            (unsigned long long)batch->request->epoch);
    return MUSTER_OK;
}

static bool has_root(muster_call call)
{
    return call == MUSTER_CALL_GATHERV || call == MUSTER_CALL_SCATTERV ||
           call == MUSTER_CALL_BROADCAST;
}

muster_status muster_batch_open(muster_comm *comm, muster_call call, const int64_t *lengths,
                                int32_t lengths_count, int32_t root, muster_batch **batch,
                                muster_error *error)
{
    if (batch == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "batch is NULL; pass where the handle goes");
    *batch = NULL;
    muster_request *request;
    muster_status status = muster_request_new(comm, call, &request, error);
    if (status != MUSTER_OK)
        return status;
    muster_batch *opened = calloc(1, sizeof(*opened));
    if (opened == NULL) {
        muster_request_drop(request);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a batch");
    }
    opened->comm = comm;
    opened->request = request;
    opened->call = call;
    opened->root = root;
    muster_range_list_init(&opened->ranges);
    if (call == MUSTER_CALL_GATHERV || call == MUSTER_CALL_SCATTERV ||
        call == MUSTER_CALL_ALLGATHERV)
        open_layout(opened, lengths, lengths_count);
    else
        opened->layout_usable = true;
    if (has_root(call)) {
        request->record.root = root;
        if (root < 0 || root >= comm->size) {
            muster_error local;
            muster_error_init(&local);
            muster_error_set(&local, MUSTER_ERR_ROOT, MUSTER_FIELD_ROOT, comm->size - 1, root,
                             "root is not a rank of this communicator");
            refuse(opened, &local, -1);
            opened->layout_usable = false;
        }
    }
    *batch = opened;
    return MUSTER_OK;
}

void muster_batch_describe(muster_batch *batch, const muster_descriptor *descriptor)
{
    muster_request *request = batch->request;
    if (request->descriptor_count == batch->descriptor_capacity) {
        int32_t capacity = batch->descriptor_capacity == 0 ? 4 : batch->descriptor_capacity * 2;
        muster_descriptor *grown = realloc(request->descriptors, (size_t)capacity * sizeof(*grown));
        if (grown == NULL) {
            refuse_memory(batch);
            return;
        }
        request->descriptors = grown;
        batch->descriptor_capacity = capacity;
    }
    request->descriptors[request->descriptor_count++] = *descriptor;
}

/* The next tensor's place; NULL when memory ran out, which is then refused in the round. */
static muster_batch_tensor *next_tensor(muster_batch *batch)
{
    if (batch->tensor_count == batch->tensor_capacity) {
        int32_t capacity = batch->tensor_capacity == 0 ? 1 : batch->tensor_capacity * 2;
        muster_batch_tensor *grown = realloc(batch->tensors, (size_t)capacity * sizeof(*grown));
        if (grown == NULL) {
            refuse_memory(batch);
            return NULL;
        }
        batch->tensors = grown;
        batch->tensor_capacity = capacity;
    }
    muster_batch_tensor *tensor = &batch->tensors[batch->tensor_count++];
    memset(tensor, 0, sizeof(*tensor));
    return tensor;
}

/* What every kind of call says of one tensor. NULL where the tensor itself is not usable. */
static muster_batch_tensor *add_tensor(muster_batch *batch, const muster_tensor *rows)
{
    muster_comm *comm = batch->comm;
    muster_record *record = &batch->request->record;
    int32_t index = record->tensor_count++;
    muster_batch_tensor *tensor = next_tensor(batch);
    muster_error local;
    muster_error_init(&local);
    if (rows == NULL)
        muster_error_set(&local, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                         "rows is NULL; pass a tensor, with 0 rows where there are none");
    else
        muster_tensor_check(rows, muster_device_check_allowed(comm), &local);
    if (local.status == MUSTER_OK && rows != NULL && batch->lengths != NULL &&
        rows->dimensions[0] != batch->lengths[comm->rank])
        muster_error_set(&local, MUSTER_ERR_OWN_ROWS, MUSTER_FIELD_OWN_ROWS,
                         batch->lengths[comm->rank], rows->dimensions[0],
                         "the rows of this rank's tensor are not its entry in the lengths");
    if (local.status == MUSTER_OK && rows != NULL)
        muster_device_check_tensor(comm, rows, muster_tensor_bytes(rows), &record->memory_kind,
                                   &local);
    refuse(batch, &local, index);
    if (local.status != MUSTER_OK || tensor == NULL || rows == NULL)
        return NULL;
    muster_descriptor descriptor = {
        .dtype = (int32_t)rows->dtype, .dimension_count = rows->dimension_count, .peer = -1};
    for (int32_t i = 1; i < rows->dimension_count; i++)
        descriptor.feature_dimensions[i - 1] = rows->dimensions[i];
    if (index == 0) {
        record->dtype = descriptor.dtype;
        record->dimension_count = descriptor.dimension_count;
        memcpy(record->feature_dimensions, descriptor.feature_dimensions,
               sizeof(record->feature_dimensions));
    }
    muster_batch_describe(batch, &descriptor);
    tensor->pattern = (muster_pattern){
        .own_rank = comm->rank,
        .rank_count = comm->size,
        .root = batch->root,
        .lengths = batch->lengths,
        .row_bytes = muster_tensor_row_bytes(rows),
        .rows = rows->data,
        .rows_count = rows->dimensions[0],
    };
    return tensor;
}

static void add_range(muster_batch *batch, const void *data, size_t bytes, bool written)
{
    if (!muster_range_list_add(&batch->ranges, data, bytes, written))
        refuse_memory(batch);
}

/* The direct way is the host plane's. */
static uint64_t find_region(const muster_batch *batch, const void *data, size_t bytes)
{
    const muster_job *job = batch->comm->job;
    if (batch->request->record.memory_kind == MUSTER_MEMORY_DEVICE)
        return 0;
    return job->table->memory_find(job->endpoint, data, bytes);
}

/* That all of the root's memory is of the batch's kind; of root_rows that are otherwise checked. */
static muster_status check_root_memory(muster_batch *batch, const muster_root_rows *root_rows,
                                       size_t row_bytes, muster_error *error)
{
    const muster_comm *comm = batch->comm;
    muster_record *record = &batch->request->record;
    if (root_rows->contiguous != NULL)
        return muster_device_check_tensor(comm, root_rows->contiguous,
                                          (size_t)record->total_rows * row_bytes,
                                          &record->memory_kind, error);
    for (int32_t rank = 0; rank < comm->size; rank++) {
        const muster_tensor *chunk = &root_rows->chunks[rank];
        muster_status status = muster_device_check_tensor(comm, chunk, muster_tensor_bytes(chunk),
                                                          &record->memory_kind, error);
        if (status != MUSTER_OK) {
            muster_error_prefix(error, "chunk %d: ", rank);
            return status;
        }
    }
    return MUSTER_OK;
}

/* The root's side of a gather or scatter, and of every rank of an allgatherv. */
static void add_root_rows(muster_batch *batch, muster_batch_tensor *tensor,
                          const muster_tensor *rows, const muster_root_rows *root_rows,
                          int32_t place, bool written)
{
    muster_comm *comm = batch->comm;
    muster_record *record = &batch->request->record;
    int32_t index = record->tensor_count - 1;
    muster_pattern *pattern = &tensor->pattern;
    muster_error local;
    muster_error_init(&local);
    if (muster_root_rows_check(root_rows, rows, batch->lengths, comm->size, place,
                               muster_device_check_allowed(comm), &pattern->own_in_place,
                               &local) != MUSTER_OK ||
        check_root_memory(batch, root_rows, pattern->row_bytes, &local) != MUSTER_OK) {
        refuse(batch, &local, index);
        return;
    }
    if (root_rows->contiguous != NULL) {
        int64_t capacity_rows = root_rows->contiguous->dimensions[0];
        size_t bytes = (size_t)record->total_rows * pattern->row_bytes;
        pattern->contiguous = root_rows->contiguous->data;
        if (record->capacity_rows < 0 || capacity_rows < record->capacity_rows)
            record->capacity_rows = capacity_rows;
        add_range(batch, pattern->contiguous, bytes, written);
        tensor->root_region_version = find_region(batch, pattern->contiguous, bytes);
        return;
    }
    size_t chunk_bytes = (size_t)comm->size * sizeof(*tensor->chunks);
    tensor->chunks = malloc(chunk_bytes);
    if (tensor->chunks == NULL) {
        refuse_memory(batch);
        return;
    }
    memcpy(tensor->chunks, root_rows->chunks, chunk_bytes);
    pattern->chunks = tensor->chunks;
    for (int32_t rank = 0; rank < comm->size; rank++)
        if (rank != place || !pattern->own_in_place)
            add_range(batch, tensor->chunks[rank].data, muster_tensor_bytes(&tensor->chunks[rank]),
                      written);
    if (pattern->own_in_place)
        add_range(batch, tensor->chunks[place].data, muster_tensor_bytes(&tensor->chunks[place]),
                  written);
}

void muster_batch_add_rooted(muster_batch *batch, const muster_tensor *rows,
                             const muster_root_rows *root_rows)
{
    muster_comm *comm = batch->comm;
    bool gather = batch->call == MUSTER_CALL_GATHERV;
    muster_batch_tensor *tensor = add_tensor(batch, rows);
    if (tensor == NULL || !batch->layout_usable)
        return;
    if (comm->rank == batch->root) {
        if (root_rows == NULL) {
            muster_error local;
            muster_error_init(&local);
            muster_error_set(&local, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                             "root_rows is NULL at the root; pass its buffer");
            refuse(batch, &local, batch->request->record.tensor_count - 1);
            return;
        }
        add_root_rows(batch, tensor, rows, root_rows, batch->root, gather);
    }
    if (!tensor->pattern.own_in_place)
        add_range(batch, rows->data, muster_tensor_bytes(rows), !gather);
}

void muster_batch_add_broadcast(muster_batch *batch, const muster_tensor *rows)
{
    muster_comm *comm = batch->comm;
    muster_batch_tensor *tensor = add_tensor(batch, rows);
    if (tensor == NULL)
        return;
    batch->request->record.own_rows = rows->dimensions[0];
    if (comm->rank == batch->root)
        tensor->root_region_version = find_region(batch, rows->data, muster_tensor_bytes(rows));
}

void muster_batch_add_allgatherv(muster_batch *batch, const muster_tensor *rows,
                                 const muster_tensor *all)
{
    muster_batch_tensor *tensor = add_tensor(batch, rows);
    if (tensor == NULL || !batch->layout_usable)
        return;
    if (all == NULL) {
        muster_error local;
        muster_error_init(&local);
        muster_error_set(&local, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                         "all is NULL; pass the tensor that takes every rank's rows");
        refuse(batch, &local, 0);
        return;
    }
    muster_root_rows everywhere = {.struct_bytes = sizeof(everywhere), .contiguous = all};
    add_root_rows(batch, tensor, rows, &everywhere, batch->comm->rank, true);
    if (!tensor->pattern.own_in_place)
        add_range(batch, rows->data, muster_tensor_bytes(rows), false);
}

static bool append_tensor(muster_batch *batch, const muster_pattern *pattern)
{
    muster_operation_list *list = &batch->request->operations;
    switch (batch->call) {
    case MUSTER_CALL_GATHERV:
        return muster_pattern_gatherv(list, pattern);
    case MUSTER_CALL_SCATTERV:
        return muster_pattern_scatterv(list, pattern);
    case MUSTER_CALL_BROADCAST:
        return muster_pattern_broadcast(list, pattern);
    case MUSTER_CALL_ALLGATHERV:
        return muster_pattern_allgatherv(list, pattern);
    default:
        return false;
    }
}

static void batch_agreed(muster_request *request, const muster_verdict *verdict,
                         const void *payloads)
{
    muster_batch *batch = request->context;
    if (batch->call == MUSTER_CALL_P2P) {
        bool appended = muster_pattern_p2p(&request->operations, batch->comm->rank,
                                           batch->transfers, (size_t)batch->transfer_count);
        MUSTER_ASSERT(appended); /* reserved when the batch was closed */
        return;
    }
    const muster_record *root_record =
        has_root(batch->call) ? muster_request_record_of(payloads, batch->root) : NULL;
    MUSTER_ASSERT(root_record != NULL || !verdict->direct);
    for (int32_t i = 0; i < batch->tensor_count; i++) {
        muster_pattern *pattern = &batch->tensors[i].pattern;
        pattern->direct = verdict->direct;
        if (verdict->direct)
            pattern->root_address = root_record->region_addresses[i];
        bool appended = append_tensor(batch, pattern);
        MUSTER_ASSERT(appended);
    }
}

static void batch_finished(muster_request *request, muster_status status)
{
    (void)status;
    batch_free(request->context);
    request->context = NULL;
}

/* The direct way: at the root, where its buffers lie; elsewhere, how much of it is mapped. */
static void offer_direct_way(muster_batch *batch)
{
    muster_comm *comm = batch->comm;
    muster_record *record = &batch->request->record;
    if (!has_root(batch->call) || !batch->layout_usable ||
        batch->tensor_count > MUSTER_DIRECT_TENSORS_MAX)
        return;
    if (comm->rank != batch->root) {
        pthread_mutex_lock(&comm->lock); /* the progress thread may be mapping more of it */
        if (comm->transport != NULL)
            record->region_mapped_version =
                comm->job->table->mapped_version(comm->transport, batch->root);
        pthread_mutex_unlock(&comm->lock);
        return;
    }
    for (int32_t i = 0; i < batch->tensor_count; i++) {
        const muster_batch_tensor *tensor = &batch->tensors[i];
        if (tensor->root_region_version == 0) {
            record->region_version = 0;
            return;
        }
        if (tensor->root_region_version > record->region_version)
            record->region_version = tensor->root_region_version;
        const void *base = batch->call == MUSTER_CALL_BROADCAST ? tensor->pattern.rows
                                                                : tensor->pattern.contiguous;
        record->region_addresses[i] = (uint64_t)(uintptr_t)base;
    }
}

muster_request *muster_batch_close(muster_batch *batch)
{
    muster_request *request = batch->request;
    muster_record *record = &request->record;
    size_t size_most = batch->call == MUSTER_CALL_P2P ? (size_t)batch->transfer_count
                       : batch->call == MUSTER_CALL_ALLGATHERV
                           ? muster_pattern_allgatherv_most(batch->comm->size)
                           : muster_pattern_rooted_most(batch->comm->size);
    size_t most =
        batch->call == MUSTER_CALL_P2P ? size_most : size_most * (size_t)batch->tensor_count;
    if (!muster_operation_list_reserve(&request->operations, most))
        refuse_memory(batch);
    if (batch->call != MUSTER_CALL_P2P && record->tensor_count > 1)
        record->descriptors_hash =
            muster_descriptors_hash(request->descriptors, request->descriptor_count);
    if (muster_range_list_overlaps(&batch->ranges)) {
        muster_error local;
        muster_error_init(&local);
        muster_error_set(&local, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, 0, 0,
                         "two buffers of the call overlap");
        refuse(batch, &local, -1);
    }
    if (record->memory_kind == MUSTER_MEMORY_DEVICE) {
        muster_error local;
        muster_error_init(&local);
        if (muster_device_check_stream(batch->comm, &local) != MUSTER_OK)
            refuse(batch, &local, -1);
    }
    offer_direct_way(batch);
    request->context = batch;
    request->agreed = batch_agreed;
    request->finished = batch_finished;
    return request;
}
