/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in. With keys the router speaks CURVE only, and ZeroMQ asks here (ZAP, RFC 27) about the
 * public key of each connection before a message of it is seen; each message then names that key. The
 * asking is a socket in the coordinator's own poll, and ZeroMQ's I/O thread does not wait for the
 * answer: no thread more, no lock.
 *
 * The list of allowed keys is read again when its file has changed: a new key is served, and a key that
 * was taken out is refused from the next message on, without a restart.
 *
 * Without keys connections are plain; over ipc the kernel then says whose they are, and only those of
 * the coordinator's own user and of root are taken. */
#ifndef MUSTER_COORDINATOR_GATE_H
#define MUSTER_COORDINATOR_GATE_H

#include "coordinator/counters.h"
#include "keys/allowed.h"

typedef struct muster_gate muster_gate;

/* Before the router is bound. keys: the coordinator's secret file, or NULL: plain. allowed: the list,
 * needed with keys. counters is borrowed. MUSTER_ERR_ENVIRONMENT: the sentence names the file;
 * MUSTER_ERR_INVALID_ARGUMENT: one of both lacks; MUSTER_ERR_NO_MEMORY, MUSTER_ERR_SYSTEM. */
muster_status muster_gate_open(void *context, void *router, const char *keys, const char *allowed,
                               muster_counters *counters, muster_gate **gate, muster_error *error);
void muster_gate_close(muster_gate *gate);

/* To be polled; then call muster_gate_turn. NULL: plain. */
void *muster_gate_socket(muster_gate *gate);
/* Answers what is asked, a bounded number of times. */
void muster_gate_turn(muster_gate *gate, int64_t now_ns);

/* Grows whenever the list was read again: what was found before is to be asked anew. */
uint64_t muster_gate_version(const muster_gate *gate);
/* NULL: not, or no longer, allowed. Valid until the version grows. */
const muster_allowed_key *muster_gate_find(const muster_gate *gate, const muster_key *key);
bool muster_gate_asks_for_keys(const muster_gate *gate);

/* What the router's monitor says of a handshake that failed: an event and its value. */
void muster_gate_count_failure(muster_gate *gate, uint16_t event, uint32_t value);

#endif
