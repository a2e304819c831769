/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/library.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

enum { FLAGS = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE };

static const char *const nccl_names[] = {"libnccl.so.2", NULL};
static const char *const cuda_names[] = {"libcudart.so.13", "libcudart.so.12", NULL};

/* The version whose name is loaded already comes first, since a framework in this process allocates with
 * that one; two runtimes in one process work, but double its work per device. */
static void *load_any(const char *const *names, char *reason, size_t reason_bytes)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        void *handle = dlopen(names[i], FLAGS | RTLD_NOLOAD);
        if (handle != NULL)
            return handle;
    }
    reason[0] = '\0';
    for (size_t i = 0; names[i] != NULL; i++) {
        void *handle = dlopen(names[i], FLAGS);
        if (handle != NULL)
            return handle;
        const char *text = dlerror();
        if (reason[0] == '\0')
            snprintf(reason, reason_bytes, "%s", text != NULL ? text : names[i]);
    }
    return NULL;
}

static void *load(const char *name, const char *const *names, const char *what, const char *advice,
                  muster_error *error)
{
    char reason[160];
    const char *const only[] = {name, NULL};
    void *handle = load_any(name != NULL ? only : names, reason, sizeof(reason));
    if (handle == NULL)
        muster_error_set(error, MUSTER_ERR_LIBRARY, MUSTER_FIELD_NONE, 0, 0,
                         "%s cannot be loaded (%s); %s", what, reason, advice);
    return handle;
}

/* A pointer to a function is no pointer to an object: copied as bytes. */
static muster_status find(void *handle, const char *what, const char *name, void *function,
                          muster_error *error)
{
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof(symbol));
    if (symbol != NULL)
        return MUSTER_OK;
    return muster_error_set(error, MUSTER_ERR_LIBRARY, MUSTER_FIELD_NONE, 0, 0,
                            "%s has no function %s: it is older than what Muster supports, or "
                            "another library of that name; install a newer one",
                            what, name);
}

muster_status muster_nccl_library_check_version(int version, muster_error *error)
{
    const int major = version / 10000, minor = version / 100 % 100, patch = version % 100;
    if (version >= MUSTER_NCCL_VERSION_CRASHING_FIRST &&
        version <= MUSTER_NCCL_VERSION_CRASHING_LAST)
        return muster_error_set(error, MUSTER_ERR_LIBRARY, MUSTER_FIELD_NONE,
                                MUSTER_NCCL_VERSION_LEAST, version,
                                "NCCL %d.%d.%d is refused: 2.28.3 to 2.28.8 crash when a "
                                "communicator is aborted; install 2.28.9 or newer",
                                major, minor, patch);
    if (version < MUSTER_NCCL_VERSION_LEAST) {
        /* Before 2.9 the patch had two digits and the minor one. */
        const bool old = version < 10000;
        return muster_error_set(
            error, MUSTER_ERR_LIBRARY, MUSTER_FIELD_NONE, MUSTER_NCCL_VERSION_LEAST, version,
            "NCCL %d.%d.%d is too old: install 2.28.9 or newer", old ? version / 1000 : major,
            old ? version / 100 % 10 : minor, patch);
    }
    return MUSTER_OK;
}

static muster_status find_nccl(muster_nccl_library *library, muster_error *error)
{
    muster_status status;
    ncclResult_t result;
#define FIND(name) \
    status = find(library->nccl_handle, "the NCCL library", #name, &library->name, error); \
    if (status != MUSTER_OK) \
        return status;
    /* The version first: a library that is too old is told by its version, not by what it lacks. */
    FIND(ncclGetVersion)
    result = library->ncclGetVersion(&library->nccl_version);
    if (result != ncclSuccess) {
        muster_error_set(error, MUSTER_ERR_LIBRARY, MUSTER_FIELD_NONE, 0, result,
                         "ncclGetVersion failed with code %d: the NCCL library is not usable",
                         (int)result);
        if (error != NULL && error->struct_bytes >= sizeof(*error))
            error->native_code = (int32_t)result;
        return MUSTER_ERR_LIBRARY;
    }
    status = muster_nccl_library_check_version(library->nccl_version, error);
    if (status != MUSTER_OK)
        return status;
    MUSTER_NCCL_CALLS(FIND)
#undef FIND
    return MUSTER_OK;
}

static muster_status find_cuda(muster_nccl_library *library, muster_error *error)
{
    muster_status status;
#define FIND(name) \
    status = find(library->cuda_handle, "the CUDA runtime", #name, &library->name, error); \
    if (status != MUSTER_OK) \
        return status;
    MUSTER_CUDA_CALLS(FIND)
#undef FIND
    void *symbol = dlsym(library->cuda_handle, "cudaStreamGetDevice");
    memcpy(&library->cudaStreamGetDevice, &symbol, sizeof(symbol));
    symbol = dlsym(library->cuda_handle, "cudaGetDriverEntryPointByVersion");
    memcpy(&library->cudaGetDriverEntryPointByVersion, &symbol, sizeof(symbol));
    return MUSTER_OK;
}

muster_status muster_nccl_library_open(muster_nccl_library *library, const char *nccl_name,
                                       const char *cuda_name, muster_error *error)
{
    memset(library, 0, sizeof(*library));
    /* CUDA's first: an NCCL that is linked against a shared runtime then gets this one. */
    library->cuda_handle =
        load(cuda_name, cuda_names, "the CUDA runtime (libcudart)",
             "install CUDA 12 or 13, or put its folder into LD_LIBRARY_PATH", error);
    muster_status status =
        library->cuda_handle != NULL ? find_cuda(library, error) : MUSTER_ERR_LIBRARY;
    if (status == MUSTER_OK) {
        library->nccl_handle =
            load(nccl_name, nccl_names, "NCCL (libnccl.so.2)",
                 "install NCCL 2.28.9 or newer, or put its folder into LD_LIBRARY_PATH", error);
        status = library->nccl_handle != NULL ? find_nccl(library, error) : MUSTER_ERR_LIBRARY;
    }
    if (status != MUSTER_OK)
        muster_nccl_library_close(library);
    return status;
}

void muster_nccl_library_close(muster_nccl_library *library)
{
    if (library->nccl_handle != NULL)
        dlclose(library->nccl_handle);
    if (library->cuda_handle != NULL)
        dlclose(library->cuda_handle);
    library->nccl_handle = NULL;
    library->cuda_handle = NULL;
}
