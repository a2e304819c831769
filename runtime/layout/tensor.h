/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of one tensor or one set of lengths without asking another rank. Pure. Every check
 * returns the public status code and fills error (rank stays -1: the agreement round names it). */
#ifndef MUSTER_LAYOUT_TENSOR_H
#define MUSTER_LAYOUT_TENSOR_H

#include <stdbool.h>

#include <muster/collective.h>
#include <muster/tensor.h>

/* struct size, dtype, dimension count 1..8, dimensions >= 0, strides, memory kind (host here unless
 * device_allowed), overflow of elements and bytes, NULL with bytes, alignment to the dtype. */
muster_status muster_tensor_check(const muster_tensor *tensor, bool device_allowed,
                                  muster_error *error);

/* Of a checked tensor. */
size_t muster_tensor_row_bytes(const muster_tensor *tensor); /* product of features * dtype bytes */
size_t muster_tensor_bytes(const muster_tensor *tensor);

/* Lengths as a collective takes them: count == size, none negative, sum fits; and
 * own_rows == lengths[own_rank]. */
muster_status muster_lengths_check(const int64_t *lengths, int32_t lengths_count, int32_t comm_size,
                                   int32_t own_rank, int64_t own_rows, muster_error *error);
uint64_t muster_lengths_hash(const int64_t *lengths, int32_t lengths_count);
int64_t muster_lengths_total(const int64_t *lengths,
                             int32_t lengths_count); /* of checked lengths */

/* root_rows at the root: exactly one form; contiguous: dtype and features as rows, capacity >= total;
 * chunks: count, present, dtype, features, dimensions[0] == lengths[i]; and overlaps: chunks among
 * themselves, and rows with root_rows except for the in-place form (rows->data exactly at its place).
 * own_in_place (may be NULL) says whether it is that form. */
muster_status muster_root_rows_check(const muster_root_rows *root_rows, const muster_tensor *rows,
                                     const int64_t *lengths, int32_t comm_size, int32_t root,
                                     bool device_allowed, bool *own_in_place, muster_error *error);

#endif
