/* SPDX-License-Identifier: Apache-2.0 */
#include "provider_counting.h"

#include <muster/export.h>

MUSTER_API provider_counting_state provider_counts;
MUSTER_API const muster_trace_table *muster_trace_provider(void);

static void count_batch(const muster_trace_identity *who, const muster_trace_batch *batch)
{
    provider_counts.events++;
    provider_counts.last_who = *who;
    provider_counts.last_sequence = batch->sequence;
}

const muster_trace_table *muster_trace_provider(void)
{
    static const muster_trace_table table = {.table_version = MUSTER_TRACE_TABLE_VERSION,
                                             .batch_begin = count_batch};
    return &table;
}
