/* SPDX-License-Identifier: Apache-2.0 */
/* What a coordinator refused, and how often: one number for each reason, since its start. Printed when
 * it ends, written to its events file, and there for whoever shows its status. */
#ifndef MUSTER_COORDINATOR_COUNTERS_H
#define MUSTER_COORDINATOR_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* X(name, text). The names are those of the events file and of metrics: they stay. */
#define MUSTER_COUNTER_LIST(X) \
    X(plain_connections, "plain connections, where keys are asked for") \
    X(wrong_keys, "connections meant for another coordinator's key") \
    X(unknown_keys, "connections with a key that is not allowed") \
    X(replayed, "replayed messages") \
    X(handshakes_failed, "connections that were no peer of Muster's") \
    X(other_users, "connections of other users") \
    X(malformed, "messages that were none") \
    X(other_versions, "messages of another version") \
    X(foreign_jobs, "messages of another job") \
    X(stolen_slots, "messages for a slot that another holds") \
    X(over_budget, "messages over their sender's share") \
    X(no_room, "jobs and connections that there was no room for")

/* Counted by the thread that serves; read by any. */
typedef struct muster_counters {
#define MUSTER_COUNTER_FIELD(name, text) atomic_uint_fast64_t name;
    MUSTER_COUNTER_LIST(MUSTER_COUNTER_FIELD)
#undef MUSTER_COUNTER_FIELD
} muster_counters;

/* The counters at one moment. */
typedef struct muster_refusals {
#define MUSTER_COUNTER_FIELD(name, text) uint64_t name;
    MUSTER_COUNTER_LIST(MUSTER_COUNTER_FIELD)
#undef MUSTER_COUNTER_FIELD
} muster_refusals;

#endif
