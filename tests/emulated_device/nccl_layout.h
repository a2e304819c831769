/* SPDX-License-Identifier: Apache-2.0 */
/* Facts: how NCCL 2.29.7 lays out what its host code hands to its kernels, on x86-64. Names are ours, sizes and
 * places are NCCL's; every one that is relied on is asserted below. Nothing of this is promised between
 * versions: a new NCCL is first compared, structure by structure, and then added to nccl_layout_known(). */
#ifndef MUSTER_TESTS_EMULATED_NCCL_LAYOUT_H
#define MUSTER_TESTS_EMULATED_NCCL_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool nccl_layout_known(int nccl_version)
{
    return nccl_version == 22907;
}

#define NCCL_SLOTS \
    8 /* slots of a connection's buffer; a step is a count of slots since its birth */
#define NCCL_CHANNELS_MAX 64
#define NCCL_LINE_BYTES 16 /* LL: a line carries 8 bytes of data */
#define NCCL_LINE_DATA_BYTES 8
#define NCCL_GRAIN_BYTES_LL 16 /* shares of a channel in a collective are counted in grains */
#define NCCL_GRAIN_BYTES_SIMPLE 512
#define NCCL_PART_BYTES 4096 /* shares of a channel in a P2P transfer are multiples of this */
/* LL: a step with all these bits set writes every line of its slot, so that no flag of long ago can be taken
 * for a new one when the 32-bit flags have gone round. */
#define NCCL_LINE_CLEAN_MASK 0x7ffffff8U

enum nccl_protocol { NCCL_LL, NCCL_LL128, NCCL_SIMPLE, NCCL_PROTOCOLS };
enum nccl_storage { NCCL_STORED_IN_ARGUMENTS, NCCL_STORED_IN_RING, NCCL_STORED_PERSISTENTLY };
enum nccl_work_kind {
    NCCL_WORK_P2P,
    NCCL_WORK_COLLECTIVE,
    NCCL_WORK_REGISTERED,
    NCCL_WORK_BROADCASTS
};
enum nccl_slot_mode { NCCL_SLOT_IN_BUFFER, NCCL_SLOT_AT_OFFSET };

/* P2P connections are the second of a peer's two, those of rings the first. */
#define NCCL_CONNECTION_RING 0
#define NCCL_CONNECTION_P2P 1
/* A flag of a connection: its counter is a multicast address. */
#define NCCL_CONNECTION_MULTICAST 0x80
/* A connection's network device takes part in the kernel; 0 is a plain host network. */
#define NCCL_NETWORK_UNPACKS 1

/* The argument block; batches follow it, the first of the n-th running channel is batch n. */
typedef struct nccl_arguments {
    struct nccl_communicator *communicator;
    uint64_t channel_mask;
    uint8_t storage;
    uint32_t ring_mask;
    void *work;
} nccl_arguments;

typedef struct nccl_communicator {
    int32_t rank;
    int32_t rank_count;
    int32_t node;
    int32_t node_count;
    int32_t buffer_bytes[NCCL_PROTOCOLS];
    int32_t p2p_chunk_bytes;
    int32_t all_nvlink;
    int32_t *dense_to_user_rank;
    uint32_t *abort_flag;
    struct nccl_channel *channels; /* points behind this structure, see NCCL_CHANNELS_OFFSET */
    int32_t *rank_to_local_rank;
    void *profiler_started;
    void *profiler_completed;
} nccl_communicator;

#define NCCL_CHANNELS_OFFSET 96

typedef struct nccl_ring {
    int32_t previous;
    int32_t next;
    int32_t *ranks;         /* in ring order, this rank first */
    int32_t *rank_to_index; /* the inverse */
    int32_t index;
} nccl_ring;

typedef struct nccl_channel {
    struct nccl_peer **peers; /* by rank */
    nccl_ring ring;
    uint8_t other_shapes[312]; /* trees, collnet, nvls */
    uint32_t *work_done;
    uint64_t work_count;
} nccl_channel;

/* One slot's entry of the list that kernel and proxy thread share. */
typedef struct nccl_slot {
    int32_t mode;
    int32_t offset_bytes;
    int64_t bytes; /* -1: nothing to be sent */
    void *address;
} nccl_slot;

typedef struct nccl_connection {
    uint8_t *buffers[NCCL_PROTOCOLS];
    void *handles[NCCL_PROTOCOLS];
    uint64_t *tail; /* raised by the sender */
    uint64_t *head; /* raised by the receiver, or by the proxy thread that has passed a slot on */
    int32_t flags;
    int32_t shared;
    int32_t slot_bytes; /* Simple */
    void **pointer_exchange;
    uint64_t *argument_exchange;
    nccl_slot *slots; /* NULL where no proxy thread takes part */
    uint64_t step;    /* kept from launch to launch */
    uint64_t last_cleaning;
    int32_t network_kind;
    int32_t network_version;
    void *network_handle;
    size_t network_bytes;
    int32_t network_progress;
} nccl_connection;

typedef struct nccl_peer {
    nccl_connection send[2];
    nccl_connection receive[2];
} nccl_peer;

/* flags, from the lowest bit: 14 bits, how many batches further the next one of this channel is (0: none); 1 bit,
 * the next one belongs to this one; 2 bits, kind of work; 15 bits, function. */
typedef struct nccl_batch {
    uint32_t flags;
    uint32_t first_offset;
    uint64_t works; /* bit i: one work at first_offset + i times its size */
} nccl_batch;

#define NCCL_BATCH_JUMP(flags) ((flags)&0x3fffU)
#define NCCL_BATCH_EXTENDS(flags) ((flags) >> 14 & 1U)
#define NCCL_BATCH_KIND(flags) ((flags) >> 15 & 3U)
#define NCCL_BATCH_FUNCTION(flags) ((flags) >> 17)

typedef struct nccl_p2p_work {
    uint8_t *send_address;
    uint8_t *receive_address;
    size_t send_bytes;
    size_t receive_bytes;
    int32_t send_rank;
    int32_t receive_rank;
    uint8_t channel_count; /* of all P2P traffic, a power of two */
    uint8_t first_channel;
    uint8_t send_channel_count; /* 0: nothing in this direction */
    uint8_t receive_channel_count;
    uint8_t send_chunk_code; /* nccl_chunk_bytes() */
    uint8_t receive_chunk_code;
    uint8_t flags;
} nccl_p2p_work;

#define NCCL_P2P_SEND_LL 0x01
#define NCCL_P2P_RECEIVE_LL 0x02
#define NCCL_P2P_REGISTERED \
    0x3c /* buffers known to the network or the peer: written or read without slots */
#define NCCL_P2P_PROFILED 0x40

typedef struct nccl_collective_work {
    uint8_t first_channel;
    uint8_t last_channel;
    uint8_t warps;
    uint8_t flags;
    uint32_t root;
    uint8_t *receive_buffer;
    uint8_t *send_buffer;
    uint64_t registered[4];
    size_t first_count; /* elements of the first channel, of each in the middle, of the last */
    size_t middle_count;
    size_t last_count;
    uint64_t chunk_grains; /* three times 21 bits, the same order */
    uint64_t argument;     /* of the reduction, or where it lies */
} nccl_collective_work;

#define NCCL_COLLECTIVE_ARGUMENT_IS_ADDRESS 0x01
#define NCCL_COLLECTIVE_REGISTERED 0x06
#define NCCL_COLLECTIVE_PROFILED 0x80

/* Broadcasts of one group travel together, each from its own root. */
typedef struct nccl_broadcast_work {
    int32_t depth; /* how far behind the root this rank is in the ring */
    int32_t chunk_bytes;
    uint8_t *send_buffer;
    uint8_t *receive_buffer;
    size_t bytes;
    size_t bytes_done;
    uint8_t padding[8];
} nccl_broadcast_work;

/* Chunk sizes in eight bits: three bits below the leading one, and an exponent. */
static inline uint32_t nccl_chunk_bytes(uint8_t code)
{
    uint32_t exponent = code >> 3;

    return exponent == 0 ? code : (8U | (code & 7U)) << (exponent - 1);
}

#define NCCL_PLACE(type, member, offset) \
    _Static_assert(offsetof(type, member) == (offset), #type "." #member)

_Static_assert(sizeof(nccl_arguments) == 32, "nccl_arguments");
NCCL_PLACE(nccl_arguments, channel_mask, 8);
NCCL_PLACE(nccl_arguments, storage, 16);
NCCL_PLACE(nccl_arguments, ring_mask, 20);
NCCL_PLACE(nccl_arguments, work, 24);

_Static_assert(sizeof(nccl_communicator) == 88, "nccl_communicator");
NCCL_PLACE(nccl_communicator, rank_count, 4);
NCCL_PLACE(nccl_communicator, buffer_bytes, 16);
NCCL_PLACE(nccl_communicator, p2p_chunk_bytes, 28);
NCCL_PLACE(nccl_communicator, all_nvlink, 32);
NCCL_PLACE(nccl_communicator, abort_flag, 48);
NCCL_PLACE(nccl_communicator, channels, 56);

_Static_assert(sizeof(nccl_ring) == 32, "nccl_ring");
NCCL_PLACE(nccl_ring, next, 4);
NCCL_PLACE(nccl_ring, ranks, 8);
NCCL_PLACE(nccl_ring, index, 24);

_Static_assert(sizeof(nccl_channel) == 368, "nccl_channel");
NCCL_PLACE(nccl_channel, ring, 8);
NCCL_PLACE(nccl_channel, other_shapes, 40);
NCCL_PLACE(nccl_channel, work_done, 352);
NCCL_PLACE(nccl_channel, work_count, 360);

_Static_assert(sizeof(nccl_slot) == 24, "nccl_slot");
NCCL_PLACE(nccl_slot, offset_bytes, 4);
NCCL_PLACE(nccl_slot, bytes, 8);

_Static_assert(sizeof(nccl_connection) == 152, "nccl_connection");
NCCL_PLACE(nccl_connection, handles, 24);
NCCL_PLACE(nccl_connection, tail, 48);
NCCL_PLACE(nccl_connection, head, 56);
NCCL_PLACE(nccl_connection, flags, 64);
NCCL_PLACE(nccl_connection, slot_bytes, 72);
NCCL_PLACE(nccl_connection, slots, 96);
NCCL_PLACE(nccl_connection, step, 104);
NCCL_PLACE(nccl_connection, network_kind, 120);

_Static_assert(sizeof(nccl_peer) == 608, "nccl_peer");
NCCL_PLACE(nccl_peer, receive, 304);

_Static_assert(sizeof(nccl_batch) == 16, "nccl_batch");
NCCL_PLACE(nccl_batch, first_offset, 4);
NCCL_PLACE(nccl_batch, works, 8);

_Static_assert(sizeof(nccl_p2p_work) == 48, "nccl_p2p_work");
NCCL_PLACE(nccl_p2p_work, send_bytes, 16);
NCCL_PLACE(nccl_p2p_work, send_rank, 32);
NCCL_PLACE(nccl_p2p_work, channel_count, 40);
NCCL_PLACE(nccl_p2p_work, send_channel_count, 42);
NCCL_PLACE(nccl_p2p_work, send_chunk_code, 44);
NCCL_PLACE(nccl_p2p_work, flags, 46);

_Static_assert(sizeof(nccl_collective_work) == 96, "nccl_collective_work");
NCCL_PLACE(nccl_collective_work, flags, 3);
NCCL_PLACE(nccl_collective_work, root, 4);
NCCL_PLACE(nccl_collective_work, receive_buffer, 8);
NCCL_PLACE(nccl_collective_work, send_buffer, 16);
NCCL_PLACE(nccl_collective_work, first_count, 56);
NCCL_PLACE(nccl_collective_work, chunk_grains, 80);
NCCL_PLACE(nccl_collective_work, argument, 88);

_Static_assert(sizeof(nccl_broadcast_work) == 48, "nccl_broadcast_work");
NCCL_PLACE(nccl_broadcast_work, chunk_bytes, 4);
NCCL_PLACE(nccl_broadcast_work, send_buffer, 8);
NCCL_PLACE(nccl_broadcast_work, bytes, 24);
NCCL_PLACE(nccl_broadcast_work, bytes_done, 32);

#endif
