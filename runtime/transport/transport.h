/* SPDX-License-Identifier: Apache-2.0 */
/* The transport: a function table that the host plane (shared memory), NCCL, TCP and later ones fill.
 *
 * endpoint   one for each rank of a job and each transport: lives from join to leave, over all epochs
 * transport  one for each communicator of one epoch: its rounds and its data
 * batch      what one call moves on a transport
 *
 * Threads: memory_*, arm, sleep, disarm and wake may be called from any thread; everything else of one
 * transport is serialised by the communicator's lock. Nothing here reads the environment. No function blocks unless
 * it says so. */
#ifndef MUSTER_TRANSPORT_TRANSPORT_H
#define MUSTER_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>
#include <muster/tensor.h>

#include "base/rank_set.h"

#define MUSTER_TRANSPORT_TABLE_VERSION 1u
#define MUSTER_TRANSPORT_BLOB_BYTES 128
/* What one rank contributes to one round. */
#define MUSTER_ROUND_BYTES 384

typedef struct muster_transport_endpoint muster_transport_endpoint;
typedef struct muster_transport muster_transport;
typedef struct muster_transport_batch muster_transport_batch;

/* How other ranks find an endpoint; travels over the control plane. */
typedef struct muster_transport_blob {
    uint32_t bytes;
    uint8_t data[MUSTER_TRANSPORT_BLOB_BYTES];
} muster_transport_blob;

typedef struct muster_transport_endpoint_options {
    uint64_t job; /* hash of the job's name */
    int32_t slot;
    uint32_t incarnation;
    /* Called on a thread of the endpoint when the kernel says that a watched peer's process is dying
     * (robust futex). May be NULL. Must not call back into the endpoint. */
    void (*on_peer_dying)(void *context, int32_t slot, uint32_t incarnation);
    void *context;
    /* Several hosts (NULL where a transport knows one host only); read during endpoint_open. */
    const char
        *host_id; /* NULL: ask the machine. Ranks of one machine that differ in it are two hosts */
    const char *host_address; /* where other hosts reach this one, an address or a name; NULL: the
                                 local address of the route to coordinator */
    const char
        *coordinator; /* its endpoint; neither tcp:// nor a host_address: no socket is opened */
    /* Called, on any thread and more than once, while the connection with a member on another host is lost: a
     * suspicion, since its process or the network may be to blame. May be NULL. Must not call back. */
    void (*on_peer_unreachable)(void *context, int32_t slot, uint32_t incarnation);
} muster_transport_endpoint_options;

typedef struct muster_transport_member {
    int32_t slot;
    uint32_t incarnation;
    muster_transport_blob blob;
} muster_transport_member;

typedef struct muster_transport_connect_options {
    uint64_t epoch;
    uint64_t communicator;
    const muster_transport_member *members; /* by rank */
    int32_t member_count;
    int32_t own_rank;
    bool watch_peers;    /* world: watch the next rank's life through its robust futex */
    int64_t deadline_ns; /* CLOCK_MONOTONIC */
    int64_t silence_ns;  /* a peer on another host that acknowledges nothing for so long is
                           unreachable; 0: 10 s */
    /* Polled at least every 10 ms while connect blocks; true: give up with MUSTER_ERR_RANK_LOST. */
    bool (*cancelled)(void *context);
    void *context;
} muster_transport_connect_options;

typedef enum muster_transport_kind {
    MUSTER_TRANSPORT_SEND = 1,         /* through the transport's own buffers */
    MUSTER_TRANSPORT_RECEIVE = 2,      /* meets a SEND of the peer of the same bytes, in order */
    MUSTER_TRANSPORT_WRITE = 3,        /* straight into the peer's region */
    MUSTER_TRANSPORT_EXPECT_WRITE = 4, /* complete when the peer's WRITE is (data NULL) */
    MUSTER_TRANSPORT_READ = 5,         /* straight out of the peer's region */
    MUSTER_TRANSPORT_EXPECT_READ = 6,  /* complete when the peer's READ is (data NULL) */
    MUSTER_TRANSPORT_COPY = 7          /* own rows: from `source` to `data`; peer is the own rank */
} muster_transport_kind;

typedef struct muster_transport_operation {
    muster_transport_kind kind;
    int32_t peer;
    void *data;         /* this rank's memory */
    const void *source; /* COPY only */
    size_t bytes;       /* > 0: zero-byte operations are skipped by both sides, alike, above this */
    uint64_t peer_address; /* WRITE, READ: in the peer's address space, inside a mapped region */
} muster_transport_operation;

typedef struct muster_transport_table {
    uint32_t table_version;
    const char *name; /* "host", "nccl" */
    muster_memory_kind memory_kind;

    /* ---- endpoint ---- */
    muster_status (*endpoint_open)(const muster_transport_endpoint_options *options,
                                   muster_transport_endpoint **endpoint, muster_error *error);
    /* All its transports are closed before. Joins its threads (at most 200 ms). */
    void (*endpoint_close)(muster_transport_endpoint *endpoint);
    void (*endpoint_blob)(const muster_transport_endpoint *endpoint, muster_transport_blob *blob);

    /* ---- memory, any thread ---- */
    muster_status (*memory_alloc)(muster_transport_endpoint *endpoint, size_t bytes, void **memory,
                                  muster_error *error);
    muster_status (*memory_free)(muster_transport_endpoint *endpoint, void *memory);
    /* The exports version from which on peers know the region in which [address, address + bytes)
     * lies; 0 where it is not wholly inside one that this endpoint allocated. */
    uint64_t (*memory_find)(muster_transport_endpoint *endpoint, const void *address, size_t bytes);
    /* Puts fresh zeroed memory at the same addresses of every region, and forgets the old pages: for
     * a lost process that could not be proven gone. */
    muster_status (*memory_abandon)(muster_transport_endpoint *endpoint, muster_error *error);

    /* ---- transport ---- */
    /* Blocks until every member is connected, the deadline, or cancelled. */
    muster_status (*connect)(muster_transport_endpoint *endpoint,
                             const muster_transport_connect_options *options,
                             muster_transport **transport, muster_error *error);
    /* No batch may be live. After it nothing of this transport touches anybody's memory. */
    void (*close)(muster_transport *transport);

    /* ---- rounds: everyone's MUSTER_ROUND_BYTES to everyone; numbered 1, 2, 3 ... ---- */
    void (*round_post)(muster_transport *transport, uint64_t round, const void *payload);
    /* NULL until all have posted `round`; then the payloads by rank, MUSTER_ROUND_BYTES apart, valid
     * until the own post of the round after the next. */
    const void *(*round_poll)(muster_transport *transport, uint64_t round);
    /* The ranks that have not posted `round`. */
    void (*round_missing)(muster_transport *transport, uint64_t round, muster_rank_set *missing);

    /* ---- data ---- */
    /* Room for a batch of so many operations, before the round that agrees on it: a submit within it does
     * not fail for want of memory. A batch may be live. MUSTER_ERR_NO_MEMORY. */
    muster_status (*reserve)(muster_transport *transport, size_t operation_count,
                             muster_error *error);
    /* Operations are copied. One batch is live at a time on one transport. */
    muster_status (*submit)(muster_transport *transport,
                            const muster_transport_operation *operations, size_t operation_count,
                            muster_transport_batch **batch, muster_error *error);
    /* Moves what can be moved without waiting; *done when all is complete; *moved when anything was. */
    muster_status (*progress)(muster_transport_batch *batch, bool *done, bool *moved,
                              muster_error *error);
    /* The peers that the batch still waits for. */
    void (*batch_missing)(muster_transport_batch *batch, muster_rank_set *missing);
    /* Frees a batch, complete or not. On return this rank no longer touches anyone's memory for it;
     * a transport on which an incomplete batch was released takes no further batch. */
    void (*release)(muster_transport_batch *batch);

    /* ---- direct way ---- */
    /* The exports version of peer that this rank has mapped wholly; 0: none. */
    uint64_t (*mapped_version)(muster_transport *transport, int32_t peer);
    /* Maps what peer exports now, if it is newer than what is mapped. May block up to 100 ms; failing
     * is no error: the ring is taken. Called after a batch, never between a verdict and its data. */
    void (*map_exports)(muster_transport *transport, int32_t peer);

    /* ---- waiting: arm, look once more, then sleep ---- */
    uint32_t (*arm)(muster_transport *transport);
    /* Sleeps until something was posted or moved since arm, wake was called, or max_ns passed. */
    void (*sleep)(muster_transport *transport, uint32_t ticket, int64_t max_ns);
    void (*disarm)(muster_transport *transport);
    /* Wakes a sleeper of this rank, from any thread (the agent, on a revoke). */
    void (*wake)(muster_transport *transport);
} muster_transport_table;

#endif
