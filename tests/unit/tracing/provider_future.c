/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/trace.h"

#include <muster/export.h>

MUSTER_API const muster_trace_table *muster_trace_provider(void);

const muster_trace_table *muster_trace_provider(void)
{
    static const muster_trace_table table = {.table_version = MUSTER_TRACE_TABLE_VERSION + 1};
    return &table;
}
