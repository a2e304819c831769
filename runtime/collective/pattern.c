/* SPDX-License-Identifier: Apache-2.0 */
#include "collective/pattern.h"

#include "base/assert.h"

static size_t rows_bytes(const muster_pattern *pattern, int32_t rank)
{
    return (size_t)pattern->lengths[rank] * pattern->row_bytes;
}

static bool copy_own(muster_operation_list *list, const muster_pattern *pattern, void *data,
                     const void *source, size_t bytes)
{
    if (pattern->own_in_place)
        return true;
    const muster_transport_operation operation = {
        .kind = MUSTER_TRANSPORT_COPY,
        .peer = pattern->own_rank,
        .data = data,
        .source = source,
        .bytes = bytes,
    };
    return muster_operation_list_append(list, &operation);
}

static bool move(muster_operation_list *list, muster_transport_kind kind, int32_t peer, void *data,
                 size_t bytes, uint64_t peer_address)
{
    const muster_transport_operation operation = {
        .kind = kind,
        .peer = peer,
        .data = data,
        .bytes = bytes,
        .peer_address = peer_address,
    };
    return muster_operation_list_append(list, &operation);
}

/* Bytes before rank's rows in the contiguous form. */
static size_t offset_bytes(const muster_pattern *pattern, int32_t rank)
{
    size_t rows = 0;
    for (int32_t i = 0; i < rank; i++)
        rows += (size_t)pattern->lengths[i];
    return rows * pattern->row_bytes;
}

static void *place_at(void *base, size_t bytes)
{
    /* The root may have no buffer where there are no rows at all: no arithmetic on NULL. */
    return base == NULL ? NULL : (char *)base + bytes;
}

/* Where rank's rows lie at the root; offset is rank's in the contiguous form. */
static void *root_place(const muster_pattern *pattern, int32_t rank, size_t offset)
{
    if (pattern->chunks != NULL)
        return pattern->chunks[rank].data;
    return place_at(pattern->contiguous, offset);
}

/* The root's side of gatherv and scatterv: one operation for every rank with rows. */
static bool rooted_at_root(muster_operation_list *list, const muster_pattern *pattern, bool to_root)
{
    const int32_t size = pattern->rank_count;
    const muster_transport_kind expected =
        to_root ? MUSTER_TRANSPORT_EXPECT_WRITE : MUSTER_TRANSPORT_EXPECT_READ;
    const muster_transport_kind through_ring =
        to_root ? MUSTER_TRANSPORT_RECEIVE : MUSTER_TRANSPORT_SEND;
    size_t offset = offset_bytes(pattern, pattern->root);
    for (int32_t step = 0; step < size; step++) {
        const int32_t rank = (int32_t)(((int64_t)pattern->root + step) % size);
        if (rank == 0)
            offset = 0;
        const size_t bytes = rows_bytes(pattern, rank);
        void *place = root_place(pattern, rank, offset);
        bool ok;
        if (rank == pattern->root)
            ok = to_root ? copy_own(list, pattern, place, pattern->rows, bytes)
                         : copy_own(list, pattern, pattern->rows, place, bytes);
        else if (pattern->direct)
            ok = move(list, expected, rank, NULL, bytes, 0);
        else
            ok = move(list, through_ring, rank, place, bytes, 0);
        if (!ok)
            return false;
        offset += bytes;
    }
    return true;
}

static bool rooted(muster_operation_list *list, const muster_pattern *pattern, bool to_root)
{
    MUSTER_ASSERT(!pattern->direct || pattern->chunks == NULL);
    if (pattern->own_rank == pattern->root)
        return rooted_at_root(list, pattern, to_root);
    const size_t bytes = rows_bytes(pattern, pattern->own_rank);
    if (pattern->direct)
        return move(list, to_root ? MUSTER_TRANSPORT_WRITE : MUSTER_TRANSPORT_READ, pattern->root,
                    pattern->rows, bytes,
                    pattern->root_address + offset_bytes(pattern, pattern->own_rank));
    return move(list, to_root ? MUSTER_TRANSPORT_SEND : MUSTER_TRANSPORT_RECEIVE, pattern->root,
                pattern->rows, bytes, 0);
}

bool muster_pattern_gatherv(muster_operation_list *list, const muster_pattern *pattern)
{
    return rooted(list, pattern, true);
}

bool muster_pattern_scatterv(muster_operation_list *list, const muster_pattern *pattern)
{
    return rooted(list, pattern, false);
}

bool muster_pattern_broadcast(muster_operation_list *list, const muster_pattern *pattern)
{
    const size_t bytes = (size_t)pattern->rows_count * pattern->row_bytes;
    if (pattern->own_rank != pattern->root) {
        if (pattern->direct)
            return move(list, MUSTER_TRANSPORT_READ, pattern->root, pattern->rows, bytes,
                        pattern->root_address);
        return move(list, MUSTER_TRANSPORT_RECEIVE, pattern->root, pattern->rows, bytes, 0);
    }
    for (int32_t step = 1; step < pattern->rank_count; step++) {
        const int32_t peer = (int32_t)(((int64_t)pattern->root + step) % pattern->rank_count);
        const bool ok = pattern->direct
                            ? move(list, MUSTER_TRANSPORT_EXPECT_READ, peer, NULL, bytes, 0)
                            : move(list, MUSTER_TRANSPORT_SEND, peer, pattern->rows, bytes, 0);
        if (!ok)
            return false;
    }
    return true;
}

bool muster_pattern_allgatherv(muster_operation_list *list, const muster_pattern *pattern)
{
    const int32_t size = pattern->rank_count;
    const int32_t own = pattern->own_rank;
    const size_t own_bytes = rows_bytes(pattern, own);
    const size_t own_offset = offset_bytes(pattern, own);
    if (!copy_own(list, pattern, place_at(pattern->contiguous, own_offset), pattern->rows,
                  own_bytes))
        return false;
    /* In step s a rank sends to the one s after it and receives from the one s before it. The offset
     * is walked backwards with the source: from the own one down to 0, then from the end. */
    size_t offset = own_offset;
    for (int32_t step = 1; step < size; step++) {
        const int32_t to = (int32_t)(((int64_t)own + step) % size);
        const int32_t from = (int32_t)(((int64_t)own - step + size) % size);
        if (from == size - 1)
            offset = offset_bytes(pattern, size);
        const size_t bytes = rows_bytes(pattern, from);
        offset -= bytes;
        if (!move(list, MUSTER_TRANSPORT_SEND, to, pattern->rows, own_bytes, 0) ||
            !move(list, MUSTER_TRANSPORT_RECEIVE, from, place_at(pattern->contiguous, offset),
                  bytes, 0))
            return false;
    }
    return true;
}

size_t muster_pattern_rooted_most(int32_t rank_count)
{
    return (size_t)rank_count;
}

size_t muster_pattern_allgatherv_most(int32_t rank_count)
{
    return 2 * (size_t)rank_count;
}

/* The next transfer with the own rank of the wanted direction at or after from; count where none. */
static size_t next_own(const muster_pattern_transfer *transfers, size_t count, size_t from,
                       int32_t own_rank, bool is_send)
{
    while (from < count && (transfers[from].peer != own_rank || transfers[from].is_send != is_send))
        from++;
    return from;
}

bool muster_pattern_p2p(muster_operation_list *list, int32_t own_rank,
                        const muster_pattern_transfer *transfers, size_t count)
{
    size_t receive = 0;
    for (size_t i = 0; i < count; i++) {
        const muster_pattern_transfer *transfer = &transfers[i];
        if (transfer->peer != own_rank) {
            if (!move(list, transfer->is_send ? MUSTER_TRANSPORT_SEND : MUSTER_TRANSPORT_RECEIVE,
                      transfer->peer, transfer->data, transfer->bytes, 0))
                return false;
        } else if (transfer->is_send) {
            receive = next_own(transfers, count, receive, own_rank, false);
            MUSTER_ASSERT(receive < count && transfers[receive].bytes == transfer->bytes);
            const muster_transport_operation operation = {
                .kind = MUSTER_TRANSPORT_COPY,
                .peer = own_rank,
                .data = transfers[receive].data,
                .source = transfer->data,
                .bytes = transfer->bytes,
            };
            if (!muster_operation_list_append(list, &operation))
                return false;
            receive++;
        }
    }
    return true;
}
