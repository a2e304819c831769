/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/trace.h"

#include <dlfcn.h>
#include <string.h>

#include "base/error.h"
#include "plugin/plugin.h"

typedef const muster_trace_table *(*muster_trace_provider_function)(void);

static muster_status trace_adopt(muster_tracer *tracer, void *library, const char *reason,
                                 muster_error *error)
{
    if (library == NULL)
        return muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "the trace provider cannot be loaded, going on untraced: %s",
                                reason);
    void *symbol = dlsym(library, MUSTER_TRACE_PROVIDER_SYMBOL);
    if (symbol == NULL) {
        dlclose(library);
        return muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "the trace provider has no symbol %s, going on untraced: install "
                                "one that belongs to this libmuster",
                                MUSTER_TRACE_PROVIDER_SYMBOL);
    }
    muster_trace_provider_function provider;
    memcpy(&provider, &symbol, sizeof provider);
    const muster_trace_table *table = provider();
    uint32_t version = table != NULL ? table->table_version : 0;
    if (version != MUSTER_TRACE_TABLE_VERSION) {
        dlclose(library);
        return muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_ARGUMENT,
                                MUSTER_TRACE_TABLE_VERSION, version,
                                "the trace provider has table version %u, expected %u, going on "
                                "untraced: install one that belongs to this libmuster",
                                version, MUSTER_TRACE_TABLE_VERSION);
    }
    tracer->library = library;
    tracer->table = table;
    return muster_error_set_ok(error);
}

muster_status muster_tracer_open(muster_tracer *tracer, bool wanted,
                                 const muster_trace_identity *who, muster_error *error)
{
    *tracer = (muster_tracer){.who = *who};
    if (!wanted)
        return muster_error_set_ok(error);
    char reason[MUSTER_PLUGIN_REASON_BYTES] = "";
    void *library = muster_plugin_load(MUSTER_TRACE_PROVIDER_LTTNG, reason);
    return trace_adopt(tracer, library, reason, error);
}

muster_status muster_tracer_open_file(muster_tracer *tracer, const char *path,
                                      const muster_trace_identity *who, muster_error *error)
{
    *tracer = (muster_tracer){.who = *who};
    char reason[MUSTER_PLUGIN_REASON_BYTES] = "";
    void *library = muster_plugin_load_file(path, reason);
    return trace_adopt(tracer, library, reason, error);
}

void muster_tracer_close(muster_tracer *tracer)
{
    tracer->table = NULL;
    if (tracer->library != NULL)
        dlclose(tracer->library);
    tracer->library = NULL;
}
