/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/trace.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

typedef const muster_trace_table *(*muster_trace_provider_function)(void);

#define TRACE_REASON_BYTES 160

/* The folder of the object that this code is linked into: libmuster, the command, or a test. */
static bool trace_own_directory(char *directory, size_t capacity)
{
    Dl_info info;
    char path[PATH_MAX];
    /* A program found through PATH has no folder in its name: ask the kernel. */
    if (dladdr((const void *)MUSTER_TRACE_PROVIDER_SYMBOL, &info) == 0 || info.dli_fname == NULL ||
        strchr(info.dli_fname, '/') == NULL) {
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        if (length <= 0)
            return false;
        path[length] = '\0';
    } else if (snprintf(path, sizeof path, "%s", info.dli_fname) >= (int)sizeof path) {
        return false;
    }
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return snprintf(directory, capacity, "%s", path) < (int)capacity;
}

/* RTLD_NODELETE: LTTng's own threads run code of the provider's libraries and cannot be stopped. */
static void *trace_load(const char *path, char *reason, bool *found)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL) {
        const char *text = dlerror();
        /* A file that is there and does not load is the reason worth telling. */
        if (!*found)
            snprintf(reason, TRACE_REASON_BYTES, "%s", text != NULL ? text : path);
        *found = *found || access(path, F_OK) == 0;
    }
    return library;
}

static void *trace_search(char *reason)
{
    static const char *const folders[] = {".", MUSTER_PROVIDER_DIR, MUSTER_PROVIDER_DIR_INSTALLED};
    char directory[PATH_MAX];
    char path[PATH_MAX];
    bool found = false;
    if (trace_own_directory(directory, sizeof directory)) {
        for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
            int length = snprintf(path, sizeof path, "%s/%s/%s", directory, folders[i],
                                  MUSTER_TRACE_PROVIDER_LTTNG);
            if (length >= (int)sizeof path || access(path, F_OK) != 0)
                continue;
            void *library = trace_load(path, reason, &found);
            if (library != NULL)
                return library;
        }
    }
    return trace_load(MUSTER_TRACE_PROVIDER_LTTNG, reason, &found);
}

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
    char reason[TRACE_REASON_BYTES] = "";
    return trace_adopt(tracer, trace_search(reason), reason, error);
}

muster_status muster_tracer_open_file(muster_tracer *tracer, const char *path,
                                      const muster_trace_identity *who, muster_error *error)
{
    *tracer = (muster_tracer){.who = *who};
    char reason[TRACE_REASON_BYTES] = "";
    bool found = false;
    return trace_adopt(tracer, trace_load(path, reason, &found), reason, error);
}

void muster_tracer_close(muster_tracer *tracer)
{
    tracer->table = NULL;
    if (tracer->library != NULL)
        dlclose(tracer->library);
    tracer->library = NULL;
}
