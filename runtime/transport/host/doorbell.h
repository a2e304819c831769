/* SPDX-License-Identifier: Apache-2.0 */
/* One doorbell a rank, in the segment: how a rank that found nothing to do sleeps, and how others wake
 * it without a system call while nobody sleeps.
 *
 * The order that loses no wake: the sleeper writes `sleeping`, then looks once more at what it waits for,
 * then sleeps; the ringer publishes, then looks at `sleeping`. Of two such pairs at least one side sees the
 * other's write, provided that all four accesses are sequentially consistent: so everything that is
 * published for a peer in a segment (sequences, ring positions, counters) is stored and loaded with
 * seq_cst. On x86-64 that makes the stores locked and leaves the loads plain. */
#ifndef MUSTER_TRANSPORT_HOST_DOORBELL_H
#define MUSTER_TRANSPORT_HOST_DOORBELL_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct muster_host_doorbell {
    _Atomic uint32_t word;     /* the futex: changes with every ring that may have a sleeper */
    _Atomic uint32_t sleeping; /* somebody of the rank is armed */
} muster_host_doorbell;

/* Says "about to sleep"; look once more before muster_host_doorbell_sleep with the ticket. */
uint32_t muster_host_doorbell_arm(muster_host_doorbell *doorbell);
void muster_host_doorbell_disarm(muster_host_doorbell *doorbell);

/* Until the doorbell was rung since the ticket, or max_ns; may return early. */
void muster_host_doorbell_sleep(muster_host_doorbell *doorbell, uint32_t ticket, int64_t max_ns);

/* After publishing something for the doorbell's rank. No system call while nobody is armed. */
void muster_host_doorbell_ring(muster_host_doorbell *doorbell);

/* Wakes a sleeper although nothing was published; any thread. */
void muster_host_doorbell_wake(muster_host_doorbell *doorbell);

#endif
