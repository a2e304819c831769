/* SPDX-License-Identifier: Apache-2.0 */
/* Handing descriptors over: what is said on the abstract unix socket of an endpoint. One connection, one
 * request, one reply; both of a fixed size (SOCK_SEQPACKET keeps their borders), the reply with at most
 * MUSTER_HOST_HANDOVER_FDS descriptors. Both sides check that the other runs under their own user id. */
#ifndef MUSTER_TRANSPORT_HOST_HANDOVER_H
#define MUSTER_TRANSPORT_HOST_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/host/clock.h"
#include "transport/transport.h"

#define MUSTER_HOST_HANDOVER_FDS 32
#define MUSTER_HOST_NAME_BYTES 16
#define MUSTER_HOST_BOOT_ID_BYTES 36

/* The host plane's part of a blob. */
typedef struct muster_host_address {
    uint32_t magic;
    uint32_t version;
    uint8_t name[MUSTER_HOST_NAME_BYTES];    /* random: nobody can guess or take it */
    char boot_id[MUSTER_HOST_BOOT_ID_BYTES]; /* which host */
    uint32_t reserved;
    uint64_t network_namespace; /* abstract names are looked up in one */
} muster_host_address;

typedef enum muster_host_request_kind {
    MUSTER_HOST_REQUEST_SEGMENT = 1,
    MUSTER_HOST_REQUEST_EXPORTS = 2,
    MUSTER_HOST_REQUEST_LIFE = 3
} muster_host_request_kind;

typedef struct muster_host_request {
    uint32_t magic;
    uint32_t version;
    uint32_t kind;
    int32_t rank; /* SEGMENT: who asks; must be a member */
    int32_t slot;
    uint32_t incarnation;
    uint64_t job;
    uint64_t epoch;
    uint64_t communicator;
    uint64_t exports_version; /* EXPORTS: of the pages had so far; 0 with the first */
    uint64_t first_region;    /* EXPORTS: from which of the list on */
} muster_host_request;

typedef enum muster_host_answer {
    MUSTER_HOST_ANSWER_OK = 1,
    MUSTER_HOST_ANSWER_NOT_YET = 2, /* ask again: the segment is not made, the list has changed */
    MUSTER_HOST_ANSWER_REFUSED = 3, /* another job, or not a member */
    MUSTER_HOST_ANSWER_VERSION = 4
} muster_host_answer;

typedef struct muster_host_region_entry {
    uint64_t id; /* no two regions of an endpoint ever have the same */
    uint64_t address;
    uint64_t bytes;
} muster_host_region_entry;

typedef struct muster_host_reply {
    uint32_t magic;
    uint32_t version;
    uint32_t answer;
    uint32_t fd_count;
    uint64_t exports_version;
    uint64_t region_total;
    muster_host_region_entry regions[MUSTER_HOST_HANDOVER_FDS]; /* the first fd_count are set */
} muster_host_reply;

/* A socket that answers at address->name (which it fills), non-blocking; MUSTER_ERR_SYSTEM. */
muster_status muster_host_handover_listen(muster_host_address *address, int *fd,
                                          muster_error *error);

/* Of this process, for comparison with a member's. */
void muster_host_handover_here(muster_host_address *address);

/* False where the blob is none of the host plane's of this version. */
bool muster_host_handover_parse(const muster_transport_blob *blob, muster_host_address *address);

/* Asks, and takes the reply. fds: MUSTER_HOST_HANDOVER_FDS places; the first reply->fd_count are the
 * caller's on success, none otherwise. Blocks within patience. MUSTER_OK (look at reply->answer);
 * MUSTER_ERR_TIMEOUT, MUSTER_ERR_RANK_LOST from patience;
 * MUSTER_ERR_COMM_FAILED: nobody listens there (now); MUSTER_ERR_FOREIGN: another user's process;
 * MUSTER_ERR_VERSION; MUSTER_ERR_SYSTEM. No sentence is written: *native_code gets errno. */
muster_status muster_host_handover_ask(const muster_host_address *address,
                                       muster_host_request *request, muster_host_reply *reply,
                                       int *fds, const muster_host_patience *patience,
                                       int *native_code);

/* The serving side, on non-blocking sockets. */
bool muster_host_handover_same_user(int fd);
/* 1: a request came; 0: not yet; -1: the connection is of no use. */
int muster_host_handover_receive_request(int fd, muster_host_request *request);
void muster_host_handover_send_reply(int fd, muster_host_reply *reply, const int *fds);

#endif
