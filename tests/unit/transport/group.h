/* SPDX-License-Identifier: Apache-2.0 */
/* A group of ranks for tests: as threads of this process or as forked processes, each with an endpoint
 * and a transport that is connected to the others. */
#ifndef MUSTER_TESTS_UNIT_TRANSPORT_GROUP_H
#define MUSTER_TESTS_UNIT_TRANSPORT_GROUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "transport/host/host.h"
#include "transport/plane/plane.h"

#define GROUP_RANKS_MAX 8
#define GROUP_JOB UINT64_C(0x1234)
#define SECOND_NS INT64_C(1000000000)

/* Shared by all ranks, also across fork. */
typedef struct group_shared {
    _Atomic uint32_t blob_count;
    muster_transport_blob blobs[GROUP_RANKS_MAX];
    _Atomic uint32_t arrived[16]; /* of barriers outside the transport */
    _Atomic uint64_t words[64];   /* for the test's own use */
} group_shared;

typedef struct group_rank {
    const muster_transport_table *table;
    muster_transport_endpoint *endpoint;
    muster_transport *transport;
    muster_transport_member members[GROUP_RANKS_MAX];
    int32_t rank;
    int32_t rank_count;
    uint64_t round; /* the last one posted */
    uint64_t random;
    group_shared *shared;
    void *argument;
    /* what on_peer_dying was told */
    _Atomic uint32_t dying_count;
    _Atomic int32_t dying_slot;
    _Atomic uint32_t dying_incarnation;
    _Atomic uint64_t dying_ranks; /* bits: 2 is slot 101 */
} group_rank;

typedef void (*group_body)(group_rank *self);

/* With MUSTER_TEST_HOSTS=N in the environment the ranks are spread over N pretended hosts, which reach each other by
 * TCP on the loopback; without it they are all on this one. */

/* Runs body as rank_count threads (processes) that are connected, and closes all. A check that fails
 * ends the process with a message on stderr: cmocka's own assertions jump, and only work on the main thread. */
void group_run_threads(int32_t rank_count, group_body body, void *argument);
void group_run_processes(int32_t rank_count, group_body body, void *argument);

/* The pieces, for tests that do it by hand. */
group_shared *group_share(void);
void group_unshare(group_shared *shared);
void group_open(group_rank *self, group_shared *shared, int32_t rank, int32_t rank_count);
void group_connect(group_rank *self, uint64_t epoch, uint64_t communicator, bool watch_peers);
void group_close(group_rank *self);
/* Waits until rank_count ranks called it with this index; not through the transport. */
void group_meet(group_rank *self, int index);
/* Runs a rank in a fork; the child ends with 0 when body returns. */
pid_t group_fork(group_shared *shared, int32_t rank, int32_t rank_count, group_body body,
                 void *argument);
void group_expect_exit(pid_t child, int exit_code);

int64_t group_now_ns(void);
uint64_t group_random(uint64_t *state);

/* Posts the next round and waits for everyone's. */
const void *group_round(group_rank *self, const void *payload);
/* Submits, progresses until done, releases. */
void group_batch(group_rank *self, const muster_transport_operation *operations, size_t count);

/* Bytes that say where they come from: fill, and compare. */
void group_fill(uint8_t *bytes, size_t count, uint64_t seed);
bool group_same(const uint8_t *bytes, size_t count, uint64_t seed);

int group_count_fds(void);
int group_count_maps(void);

#define CHECK(expression) \
    ((expression) ? (void)0 : group_check_failed(#expression, __FILE__, __LINE__))
_Noreturn void group_check_failed(const char *expression, const char *file, int line);

#endif
