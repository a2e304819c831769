/* SPDX-License-Identifier: Apache-2.0 */
/* What happens when, and what is said: the parts of size_model.c that know nothing of its machine. */
#ifndef MUSTER_TESTS_SIMULATION_SIZE_QUEUE_H
#define MUSTER_TESTS_SIMULATION_SIZE_QUEUE_H

#include <stddef.h>

#include "size_model.h"

typedef enum size_event_kind {
    SIZE_EVENT_BEAT,   /* a connection's heartbeats */
    SIZE_EVENT_SAY,    /* a rank says something */
    SIZE_EVENT_FLUSH,  /* a host's agent waits no longer for the others of its host */
    SIZE_EVENT_ARRIVE, /* a frame is at the coordinator */
    SIZE_EVENT_HEAR    /* a rank hears something */
} size_event_kind;

typedef struct size_word {
    int32_t rank; /* the connection: a rank's, or -1 - host for its launcher's */
    uint32_t type;
    int32_t slot; /* its own; of an EXITED, or an EVIDENCE, the lost one's */
    uint32_t incarnation;
    uint64_t epoch;
} size_word;

typedef struct size_frame {
    int32_t count;
    size_word words[SIZE_RANKS_A_HOST];
} size_frame;

typedef struct size_event {
    int64_t at_ns;
    uint64_t order;
    size_event_kind kind;
    int32_t who; /* a connection's group, or a rank */
    size_word word;
    size_frame *frame;
} size_event;

/* By time, and of one time by the order in which they came. All zero: empty. */
typedef struct size_queue {
    size_event *heap; /* count of them; the first is the next */
    size_t count, capacity;
    uint64_t order;
} size_queue;

void size_queue_push(size_queue *it, size_event what);
size_event size_queue_pop(size_queue *it);

#endif
