/* SPDX-License-Identifier: Apache-2.0 */
/* What the counting provider saw: exported by it as `provider_counts`. */
#ifndef MUSTER_TESTS_PROVIDER_COUNTING_H
#define MUSTER_TESTS_PROVIDER_COUNTING_H

#include "tracing/trace.h"

typedef struct provider_counting_state {
    int events;
    muster_trace_identity last_who;
    uint64_t last_sequence;
} provider_counting_state;

#endif
