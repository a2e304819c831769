/* SPDX-License-Identifier: Apache-2.0 */
/* A control plane of any size: the real core and the real bytes of its messages, over a model of the machine that the
 * coordinator runs on. Ranks are not simulated as in world.h; they only answer.
 *
 * Two forms. Direct: each rank has its own connection, as it is built. Aggregated: one agent a host speaks for its
 * ranks, in frames that carry what several of them say in one moment; that one is a model only. */
#ifndef MUSTER_TESTS_SIMULATION_SIZE_MODEL_H
#define MUSTER_TESTS_SIMULATION_SIZE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/message.h"

#define SIZE_RANKS_A_HOST 8

/* What the model takes the machine for. One thread of the coordinator does everything. */
typedef struct size_machine {
    int64_t latency_ns; /* of the network, one way */
    int64_t local_ns;   /* between a rank and its host's agent */
    int64_t receive_ns; /* a frame that comes, without what it says */
    int64_t message_ns; /* what one message of it costs the core */
    int64_t send_ns;    /* a frame that goes */
    int64_t gather_ns;  /* an aggregating agent waits so long for others of its host */
    int64_t release_ns; /* at most, from a REVOKE to the rank's QUIET */
    int64_t
        connect_ns; /* from an AGREED to the rank's CONNECTED: the host plane's part, not modelled */
    int64_t exit_ns;        /* from a process's end to its launcher's word */
    int64_t flush_ns;       /* a journal's flush, and ... */
    double disk_bytes_a_ns; /* ... its bytes */
    double wire_bytes_a_ns; /* of the coordinator's network card */
} size_machine;

extern const size_machine size_machine_default;

typedef struct size_loss {
    double detect_ms;  /* to the last verdict */
    double told_ms;    /* from there to the last survivor that heard REVOKE */
    double rebuilt_ms; /* from there to the last that heard ESTABLISHED */
    double frames;     /* of the coordinator, both ways, for each rank; without heartbeats */
    double bytes;      /* likewise */
    double work_us;    /* likewise: how long its thread was busy with them, and its disk */
} size_loss;

typedef struct size_result {
    int32_t ranks, hosts;
    bool aggregated;
    bool feasible; /* else: heartbeats alone are more than the coordinator's thread can take */
    double busy;   /* its share by heartbeats, one a second */
    double heartbeat_bytes; /* a rank and second */
    double formed_ms;
    size_loss replaced; /* one rank, by a spare */
    size_loss shrunk;   /* one rank, for which there is no spare left */
    size_loss vanished; /* one host; all zero where there is one only */
    /* Measured on this machine, not modelled: the core's time for each message, and its longest turn. */
    double core_us, core_worst_ms;
} size_result;

/* False: what should come never came; said on stderr. */
bool size_model_run(const size_machine *machine, int32_t ranks, bool aggregated,
                    size_result *result);

#endif
