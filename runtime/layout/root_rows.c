/* SPDX-License-Identifier: Apache-2.0 */
/* What the root says of everyone's rows. Only the rows that the call moves count: a buffer's room
 * beyond the sum of the lengths is never touched and may overlap anything. */
#include <inttypes.h>

#include "base/error.h"
#include "layout/ranges.h"
#include "layout/tensor.h"

static muster_status check_form(const muster_root_rows *root_rows, muster_error *error)
{
    if (root_rows == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "root_rows: expected one at the root, came NULL");
    if (root_rows->struct_bytes != sizeof(*root_rows))
        return muster_error_set(error, MUSTER_ERR_STRUCT_SIZE, MUSTER_FIELD_STRUCT_BYTES,
                                (int64_t)sizeof(*root_rows), (int64_t)root_rows->struct_bytes,
                                "muster_root_rows.struct_bytes: expected %zu, came %zu; set it to "
                                "sizeof(muster_root_rows)",
                                sizeof(*root_rows), root_rows->struct_bytes);
    const int forms = (root_rows->contiguous != NULL) + (root_rows->chunks != NULL);
    if (forms != 1)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 1, forms,
                                "root_rows: expected exactly one of contiguous and chunks, came "
                                "%s",
                                forms == 0 ? "neither" : "both");
    return MUSTER_OK;
}

/* dtype and feature dimensions as rows has them. shape_status: the code for another shape. */
static muster_status check_alike(const muster_tensor *tensor, const muster_tensor *rows,
                                 muster_status shape_status, muster_error *error)
{
    if (tensor->dtype != rows->dtype)
        return muster_error_set(error, MUSTER_ERR_DTYPE, MUSTER_FIELD_DTYPE, rows->dtype,
                                tensor->dtype, "dtype: expected %s, as this rank's rows, came %s",
                                muster_dtype_text(rows->dtype), muster_dtype_text(tensor->dtype));
    if (tensor->dimension_count != rows->dimension_count)
        return muster_error_set(error, shape_status, MUSTER_FIELD_DIMENSION_COUNT,
                                rows->dimension_count, tensor->dimension_count,
                                "dimension_count: expected %" PRId32
                                ", as this rank's rows, came %" PRId32,
                                rows->dimension_count, tensor->dimension_count);
    for (int32_t i = 1; i < rows->dimension_count; i++) {
        if (tensor->dimensions[i] != rows->dimensions[i])
            return muster_error_set(
                error, shape_status, (muster_field)(MUSTER_FIELD_FEATURE_DIMENSION_1 + i - 1),
                rows->dimensions[i], tensor->dimensions[i],
                "dimensions[%" PRId32 "]: expected %" PRId64 ", as this rank's rows, came %" PRId64,
                i, rows->dimensions[i], tensor->dimensions[i]);
    }
    return MUSTER_OK;
}

static bool meet(uintptr_t one, size_t one_bytes, uintptr_t other, size_t other_bytes)
{
    return one_bytes > 0 && other_bytes > 0 && one < other + other_bytes && other < one + one_bytes;
}

static muster_status check_contiguous(const muster_tensor *all, const muster_tensor *rows,
                                      const int64_t *lengths, int32_t comm_size, int32_t root,
                                      bool device_allowed, bool *in_place, muster_error *error)
{
    muster_status status = muster_tensor_check(all, device_allowed, error);
    if (status == MUSTER_OK)
        status = check_alike(all, rows, MUSTER_ERR_FEATURE_DIMENSIONS, error);
    if (status != MUSTER_OK) {
        muster_error_prefix(error, "the root's contiguous buffer: ");
        return status;
    }
    const int64_t total = muster_lengths_total(lengths, comm_size);
    if (all->dimensions[0] < total)
        return muster_error_set(error, MUSTER_ERR_CAPACITY, MUSTER_FIELD_CAPACITY, total,
                                all->dimensions[0],
                                "the root's contiguous buffer: expected room for %" PRId64
                                " rows, the sum of the lengths, came %" PRId64,
                                total, all->dimensions[0]);
    const size_t row_bytes = muster_tensor_row_bytes(rows);
    const size_t place = (size_t)muster_lengths_total(lengths, root) * row_bytes;
    if ((uintptr_t)rows->data == (uintptr_t)all->data + place && rows->data != NULL) {
        *in_place = true;
        return MUSTER_OK;
    }
    if (meet((uintptr_t)rows->data, muster_tensor_bytes(rows), (uintptr_t)all->data,
             (size_t)total * row_bytes))
        return muster_error_set(error, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, (int64_t)place,
                                (int64_t)((uintptr_t)rows->data - (uintptr_t)all->data),
                                "this rank's rows overlap the root's contiguous buffer: expected "
                                "apart, or in place at byte %zu of it, came byte %" PRId64,
                                place, (int64_t)((uintptr_t)rows->data - (uintptr_t)all->data));
    return MUSTER_OK;
}

static muster_status check_chunk(const muster_tensor *chunk, int32_t rank, int64_t length,
                                 int32_t comm_size, const muster_tensor *rows, bool device_allowed,
                                 muster_error *error)
{
    if (chunk->struct_bytes == 0 || (chunk->data == NULL && length > 0))
        return muster_error_set(
            error, MUSTER_ERR_MISSING_CHUNK, MUSTER_FIELD_CHUNK, comm_size, rank,
            "chunk %" PRId32 ": expected a buffer of %" PRId64 " rows, came none%s", rank, length,
            length == 0 ? "; a chunk of 0 rows needs its descriptor too" : "");
    muster_status status = muster_tensor_check(chunk, device_allowed, error);
    if (status == MUSTER_OK)
        status = check_alike(chunk, rows, MUSTER_ERR_CHUNK_SHAPE, error);
    if (status != MUSTER_OK) {
        muster_error_prefix(error, "chunk %" PRId32 ": ", rank);
        return status;
    }
    if (chunk->dimensions[0] != length)
        return muster_error_set(error, MUSTER_ERR_CHUNK_SHAPE, MUSTER_FIELD_CHUNK, length,
                                chunk->dimensions[0],
                                "chunk %" PRId32 ": expected %" PRId64
                                " rows, which is lengths[%" PRId32 "], came %" PRId64,
                                rank, length, rank, chunk->dimensions[0]);
    return MUSTER_OK;
}

/* The usual case needs no sorting and no memory: chunks that lie in the order of the ranks, and the own
 * rows before, behind, or in place. */
static bool plainly_apart(const muster_tensor *chunks, int32_t count, uintptr_t own,
                          size_t own_bytes)
{
    uintptr_t lowest = UINTPTR_MAX;
    uintptr_t end = 0;
    for (int32_t i = 0; i < count; i++) {
        const size_t bytes = muster_tensor_bytes(&chunks[i]);
        if (bytes == 0)
            continue;
        const uintptr_t first = (uintptr_t)chunks[i].data;
        if (first < end)
            return false;
        if (first < lowest)
            lowest = first;
        end = first + bytes;
    }
    return own_bytes == 0 || own >= end || own + own_bytes <= lowest;
}

/* Chunk i is range i, the own rows are range `count`. */
static bool list_all(muster_range_list *list, const muster_tensor *chunks, int32_t count,
                     const void *own, size_t own_bytes)
{
    for (int32_t i = 0; i < count; i++) {
        if (!muster_range_list_add(list, chunks[i].data, muster_tensor_bytes(&chunks[i]), true))
            return false;
    }
    return muster_range_list_add(list, own, own_bytes, true);
}

/* Chunks that overlap are refused in a scatter too, where they are only read: it is always a mistake
 * in somebody's offsets. So all count as written here. */
static muster_status check_chunks_apart(const muster_tensor *chunks, int32_t count, const void *own,
                                        size_t own_bytes, muster_error *error)
{
    if (plainly_apart(chunks, count, (uintptr_t)own, own_bytes))
        return MUSTER_OK;
    muster_range_list list;
    muster_range one;
    muster_range other;
    muster_range_list_init(&list);
    const bool listed = list_all(&list, chunks, count, own, own_bytes);
    const bool overlap = listed && muster_range_list_find_overlap(&list, &one, &other);
    muster_range_list_clean_up(&list);
    if (!listed)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory to compare the %" PRId32 " chunks", count);
    if (!overlap)
        return MUSTER_OK;
    if (one.ordinal == count || other.ordinal == count) {
        const int32_t chunk = one.ordinal == count ? other.ordinal : one.ordinal;
        return muster_error_set(error, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, 0, chunk,
                                "this rank's rows overlap chunk %" PRId32
                                ": expected apart, or exactly the root's own chunk",
                                chunk);
    }
    return muster_error_set(error, MUSTER_ERR_OVERLAP, MUSTER_FIELD_CHUNK, one.ordinal,
                            other.ordinal,
                            "chunks %" PRId32 " and %" PRId32 " overlap; expected them apart",
                            one.ordinal, other.ordinal);
}

static muster_status check_chunks(const muster_root_rows *root_rows, const muster_tensor *rows,
                                  const int64_t *lengths, int32_t comm_size, int32_t root,
                                  bool device_allowed, bool *in_place, muster_error *error)
{
    if (root_rows->chunk_count < comm_size)
        return muster_error_set(
            error, MUSTER_ERR_MISSING_CHUNK, MUSTER_FIELD_CHUNK, comm_size, root_rows->chunk_count,
            "chunk_count: expected %" PRId32 ", one chunk a rank, came %" PRId32, comm_size,
            root_rows->chunk_count);
    if (root_rows->chunk_count > comm_size)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_CHUNK, comm_size,
                                root_rows->chunk_count,
                                "chunk_count: expected %" PRId32
                                ", one chunk a rank, came %" PRId32,
                                comm_size, root_rows->chunk_count);
    for (int32_t i = 0; i < comm_size; i++) {
        const muster_status status = check_chunk(&root_rows->chunks[i], i, lengths[i], comm_size,
                                                 rows, device_allowed, error);
        if (status != MUSTER_OK)
            return status;
    }
    *in_place = rows->data != NULL && rows->data == root_rows->chunks[root].data;
    const size_t own_bytes = *in_place ? 0 : muster_tensor_bytes(rows);
    return check_chunks_apart(root_rows->chunks, comm_size, rows->data, own_bytes, error);
}

muster_status muster_root_rows_check(const muster_root_rows *root_rows, const muster_tensor *rows,
                                     const int64_t *lengths, int32_t comm_size, int32_t root,
                                     bool device_allowed, bool *own_in_place, muster_error *error)
{
    bool in_place = false;
    muster_status status = check_form(root_rows, error);
    if (status == MUSTER_OK && root_rows->contiguous != NULL)
        status = check_contiguous(root_rows->contiguous, rows, lengths, comm_size, root,
                                  device_allowed, &in_place, error);
    else if (status == MUSTER_OK)
        status = check_chunks(root_rows, rows, lengths, comm_size, root, device_allowed, &in_place,
                              error);
    if (own_in_place != NULL)
        *own_in_place = status == MUSTER_OK && in_place;
    return status == MUSTER_OK ? muster_error_set_ok(error) : status;
}
