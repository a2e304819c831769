/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels: what a compiled CUDA file registers when it is loaded, found again by the address of its host stub, and
 * carried out by kernel.h on the worker of the stream. */
#include "emulated.h"
#include "kernel.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct emulated_function {
    struct emulated_function *next;
    void **binary;
    const void *symbol;
    char *name;
    _Atomic bool known; /* its library is of a version that kernel.h knows */
};

static struct {
    pthread_mutex_t lock;
    struct emulated_function *first;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

void **__cudaRegisterFatBinary(void *binary)
{
    emulated_host_choose();
    void **handle = malloc(sizeof *handle);
    if (handle != NULL) {
        *handle = binary; /* its code is for a GPU: nobody reads it */
    }
    return handle;
}

void __cudaRegisterFatBinaryEnd(void **handle)
{
    (void)handle;
}

void __cudaUnregisterFatBinary(void **handle)
{
    pthread_mutex_lock(&all.lock);
    struct emulated_function **link = &all.first;
    while (*link != NULL) {
        struct emulated_function *function = *link;
        if (function->binary == handle) {
            *link = function->next;
            free(function->name);
            free(function);
        } else {
            link = &function->next;
        }
    }
    pthread_mutex_unlock(&all.lock);
    free(handle);
}

void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name,
                            int threads, void *thread_first, void *block_first, void *block,
                            void *grid, int *warp)
{
    (void)device;
    (void)threads;
    (void)thread_first;
    (void)block_first;
    (void)block;
    (void)grid;
    (void)warp;
    struct emulated_function *function = calloc(1, sizeof *function);
    char *copied = strdup(name);
    if (function == NULL || copied == NULL) {
        emulated_error_say("no memory to register kernel %s", name);
        abort();
    }
    function->binary = handle;
    function->symbol = host;
    function->name = copied;
    pthread_mutex_lock(&all.lock);
    function->next = all.first;
    all.first = function;
    pthread_mutex_unlock(&all.lock);
}

void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int external,
                       size_t bytes, int constant, int global)
{
    (void)handle; /* variables of device code, which does not run */
    (void)host;
    (void)device;
    (void)name;
    (void)external;
    (void)bytes;
    (void)constant;
    (void)global;
}

char __cudaInitModule(void **handle)
{
    (void)handle;
    return 1;
}

unsigned __cudaPopCallConfiguration(cuda_dim3 *grid, cuda_dim3 *block, size_t *shared_bytes,
                                    void *stream)
{
    (void)grid;
    (void)block;
    (void)shared_bytes;
    (void)stream;
    emulated_error_refuse("__cudaPopCallConfiguration",
                          "launches between <<< and >>> are not emulated");
    return 1;
}

static struct emulated_function *find(const void *symbol, bool by_handle)
{
    pthread_mutex_lock(&all.lock);
    struct emulated_function *function = all.first;
    while (function != NULL && (by_handle ? (const void *)function : function->symbol) != symbol) {
        function = function->next;
    }
    pthread_mutex_unlock(&all.lock);
    return function;
}

bool emulated_function_known(cuda_function function)
{
    return find(function, true) != NULL;
}

cuda_error cudaGetFuncBySymbol(cuda_function *function, const void *symbol)
{
    if (function == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    *function = find(symbol, false);
    return emulated_error_keep(*function == NULL ? CUDA_INVALID_DEVICE_FUNCTION : CUDA_SUCCESS);
}

cuda_error cudaFuncGetAttributes(cuda_function_attributes *attributes, const void *symbol)
{
    if (attributes == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    if (find(symbol, false) == NULL) {
        return emulated_error_keep(CUDA_INVALID_DEVICE_FUNCTION);
    }
    *attributes = (cuda_function_attributes){
        .threads_per_block_max = 1024,
        .registers = 96,
        .ptx_version = 80,
        .binary_version = 80,
        .dynamic_shared_bytes_max = 48 * 1024,
    };
    return CUDA_SUCCESS;
}

cuda_error cudaFuncSetAttribute(const void *symbol, int attribute, int value)
{
    (void)attribute; /* shared memory, carve-out: nothing here is short of them */
    (void)value;
    return emulated_error_keep(find(symbol, false) == NULL ? CUDA_INVALID_DEVICE_FUNCTION
                                                           : CUDA_SUCCESS);
}

/* The kernels' arguments are read in the layout of certain versions of NCCL: the library that registered this one
 * is asked for its own. Not under the lock: a library that is being loaded registers its kernels under the
 * loader's. */
static bool version_known(struct emulated_function *function)
{
    if (function->known) {
        return true;
    }
    int (*get_version)(int *version) = NULL;
    int version = 0;
    Dl_info place;
    void *library = dladdr(function->symbol, &place) == 0
                        ? NULL
                        : dlopen(place.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (library != NULL) {
        void *found = dlsym(library, "ncclGetVersion");
        memcpy(&get_version, &found, sizeof get_version); /* C has no cast for it */
        dlclose(library);
    }
    if (get_version != NULL && (get_version(&version) != 0 || !emulated_kernel_knows(version))) {
        emulated_error_say(
            "kernel %s: the structures of NCCL version %d are not known (README.md of the emulated "
            "device says how to add them)",
            function->name, version);
        return false;
    }
    function->known = true;
    return true;
}

typedef struct launch_work {
    emulated_work work;
    char *name;
    unsigned grid_x;
    unsigned block_x;
    size_t argument_bytes;
    _Alignas(16) unsigned char arguments[];
} launch_work;

static void run(emulated_work *item)
{
    launch_work *work = (launch_work *)item;
    emulated_launch launch = {
        .kernel_name = work->name,
        .arguments = work->arguments,
        .argument_bytes = work->argument_bytes,
        .grid_x = work->grid_x,
        .block_x = work->block_x,
    };
    char message[256] = "no reason given";
    if (emulated_kernel_run(&launch, message, sizeof message) != 0) {
        emulated_error_say("kernel %s on device %d failed: %s", work->name, work->work.device,
                           message);
        emulated_device_break(work->work.device, CUDA_LAUNCH_FAILURE);
    }
    free(work->name);
    free(work);
}

cuda_error emulated_function_launch(cuda_function handle, unsigned grid_x, unsigned block_x,
                                    const void *arguments, size_t argument_bytes,
                                    cuda_stream stream_handle)
{
    struct emulated_function *function = find(handle, true);
    struct emulated_stream *stream = emulated_stream_find(stream_handle);
    cuda_error error = CUDA_INVALID_RESOURCE_HANDLE;
    if (function != NULL && !version_known(function)) {
        error = CUDA_NOT_SUPPORTED;
        function = NULL;
    }
    /* A kernel goes to the current device, so its stream must be of it. */
    if (function != NULL && stream != NULL &&
        emulated_stream_device(stream) == emulated_device_current()) {
        launch_work *work = calloc(1, sizeof *work + argument_bytes);
        char *name = strdup(function->name);
        if (work == NULL || name == NULL) {
            free(work);
            free(name);
            error = CUDA_MEMORY_ALLOCATION;
        } else {
            work->work.run = run;
            work->name = name;
            work->grid_x = grid_x;
            work->block_x = block_x;
            work->argument_bytes = argument_bytes;
            memcpy(work->arguments, arguments, argument_bytes);
            error = emulated_stream_put(stream, &work->work);
            if (error != CUDA_SUCCESS) {
                free(name);
            }
        }
    }
    if (stream != NULL) {
        emulated_stream_release(stream);
    }
    return error;
}

cuda_error cudaLaunchKernel(const void *symbol, cuda_dim3 grid, cuda_dim3 block, void **arguments,
                            size_t shared_bytes, cuda_stream stream)
{
    struct emulated_function *function = find(symbol, false);
    unsigned char packed[EMULATED_KERNEL_PACKED_BYTES_MAX];
    (void)shared_bytes;
    if (function == NULL) {
        return emulated_error_keep(CUDA_INVALID_DEVICE_FUNCTION);
    }
    size_t bytes = emulated_kernel_pack(function->name, arguments, packed, sizeof packed);
    if (bytes == 0) {
        return emulated_error_refuse("cudaLaunchKernel", function->name);
    }
    return emulated_error_keep(
        emulated_function_launch(function, grid.x, block.x, packed, bytes, stream));
}
