/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated runtime: devices and what the environment says of them, launches, the driver's functions by name,
 * and a device that a failed kernel broke. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>

#include "public_api.h"

static void test_count_and_bus_ids(void **state)
{
    (void)state;
    int count;
    assert_int_equal(cudaGetDeviceCount(&count), CUDA_SUCCESS);
    assert_int_equal(count, 16);
    setenv("MUSTER_EMULATED_DEVICES", "3", 1);
    assert_int_equal(cudaGetDeviceCount(&count), CUDA_SUCCESS);
    assert_int_equal(count, 3);
    char ids[3][16];
    for (int i = 0; i < 3; i++) {
        int device = -1;
        assert_int_equal(cudaDeviceGetPCIBusId(ids[i], sizeof ids[i], i), CUDA_SUCCESS);
        assert_int_equal(cudaDeviceGetByPCIBusId(&device, ids[i]), CUDA_SUCCESS);
        assert_int_equal(device, i);
    }
    assert_string_not_equal(ids[0], ids[1]);
    assert_int_equal(cudaSetDevice(3), CUDA_INVALID_DEVICE);
    assert_int_equal(cudaSetDevice(2), CUDA_SUCCESS);
    assert_int_equal(cudaSetDevice(0), CUDA_SUCCESS);
    unsetenv("MUSTER_EMULATED_DEVICES");
    cudaGetLastError();
}

static void test_no_device_and_an_old_driver(void **state)
{
    (void)state;
    int number;
    void *memory;
    setenv("MUSTER_EMULATED_DEVICES", "0", 1);
    assert_int_equal(cudaGetDeviceCount(&number), CUDA_NO_DEVICE);
    assert_int_equal(cudaMalloc(&memory, 1), CUDA_NO_DEVICE);
    unsetenv("MUSTER_EMULATED_DEVICES");
    setenv("MUSTER_EMULATED_DRIVER_VERSION", "12080", 1);
    assert_int_equal(cudaDriverGetVersion(&number), CUDA_SUCCESS);
    assert_int_equal(number, 12080);
    assert_int_equal(cudaGetDeviceCount(&number), CUDA_INSUFFICIENT_DRIVER);
    assert_int_equal(cudaSetDevice(0), CUDA_INSUFFICIENT_DRIVER);
    unsetenv("MUSTER_EMULATED_DRIVER_VERSION");
    assert_int_equal(cudaMalloc(&memory, 1), CUDA_SUCCESS);
    assert_int_equal(cudaFree(memory), CUDA_SUCCESS);
    cudaGetLastError();
}

static void test_error_texts(void **state)
{
    (void)state;
    assert_string_equal(cudaGetErrorName(CUDA_NO_DEVICE), "cudaErrorNoDevice");
    assert_string_equal(cudaGetErrorString(CUDA_MEMORY_ALLOCATION), "out of memory");
    assert_string_equal(cudaGetErrorName((cuda_error)4321), "unrecognized error code");
}

typedef int (*launch_function)(cuda_function, unsigned, unsigned, unsigned, unsigned, unsigned,
                               unsigned, unsigned, cuda_stream, void **, void **);

static launch_function find_launch(void)
{
    launch_function launch = NULL;
    void *found;
    int status = -1;
    assert_int_equal(cudaGetDriverEntryPointByVersion("cuLaunchKernel", &found, 12040, 0, &status),
                     CUDA_SUCCESS);
    assert_int_equal(status, CUDA_ENTRY_POINT_FOUND);
    memcpy(&launch, &found, sizeof launch);
    return launch;
}

static void test_entry_point_that_is_missing(void **state)
{
    (void)state;
    void *found = &found;
    int status = -1;
    assert_int_equal(cudaGetDriverEntryPointByVersion("cuMemCreate", &found, 12040, 0, &status),
                     CUDA_SUCCESS);
    assert_int_equal(status, CUDA_ENTRY_POINT_NOT_FOUND);
    assert_null(found);
}

typedef struct context_calls {
    int (*get)(void **context);
    int (*set)(void *context);
    int (*state)(int device, unsigned *flags, int *active);
} context_calls;

static void find_driver(const char *name, void *function)
{
    void *found;
    assert_int_equal(cudaGetDriverEntryPointByVersion(name, &found, 12000, 0, NULL), CUDA_SUCCESS);
    assert_non_null(found);
    memcpy(function, &found, sizeof found);
}

/* A thread of its own has none, and gets one with the first call that needs it, or from the driver. */
static void *look_at_contexts(void *user)
{
    enum { CHOSEN = 9, OTHER = 11 };
    context_calls *driver = user;
    void *context = &context;
    unsigned flags;
    int device, active;
    assert_int_equal(driver->get(&context), 0);
    assert_null(context);
    assert_int_equal(driver->state(CHOSEN, &flags, &active), 0);
    assert_int_equal(active, 0);
    assert_int_equal(cudaGetDevice(&device), CUDA_SUCCESS);
    assert_int_equal(device, 0);
    assert_int_equal(driver->get(&context), 0);
    assert_null(context);
    assert_int_equal(cudaSetDevice(CHOSEN), CUDA_SUCCESS);
    assert_int_equal(driver->state(CHOSEN, &flags, &active), 0);
    assert_int_equal(active, 1);
    void *chosen = NULL;
    assert_int_equal(driver->get(&chosen), 0);
    assert_int_equal(cudaSetDevice(OTHER), CUDA_SUCCESS);
    assert_int_equal(driver->set(chosen), 0);
    assert_int_equal(cudaGetDevice(&device), CUDA_SUCCESS);
    assert_int_equal(device, CHOSEN);
    assert_int_equal(driver->set(NULL), 0);
    assert_int_equal(cudaGetDevice(&device), CUDA_SUCCESS);
    assert_int_equal(device, OTHER);
    cuda_event event;
    assert_int_equal(cudaEventCreate(&event), CUDA_SUCCESS);
    assert_int_equal(driver->get(&context), 0);
    assert_non_null(context);
    assert_ptr_not_equal(context, chosen);
    assert_int_equal(cudaEventDestroy(event), CUDA_SUCCESS);
    return NULL;
}

static void test_the_context_of_a_thread(void **state)
{
    (void)state;
    context_calls driver;
    find_driver("cuCtxGetCurrent", &driver.get);
    find_driver("cuCtxSetCurrent", &driver.set);
    find_driver("cuDevicePrimaryCtxGetState", &driver.state);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look_at_contexts, &driver), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* A kernel that nobody knows: its launch is taken, its run fails, and the device stays broken; another does not. */
static void test_unknown_kernel_breaks_its_device(void **state)
{
    (void)state;
    static const char stub;
    char binary = 0;
    void **handle = __cudaRegisterFatBinary(&binary);
    __cudaRegisterFunction(handle, &stub, NULL, "a_kernel_that_nobody_knows", -1, NULL, NULL, NULL,
                           NULL, NULL);
    __cudaRegisterFatBinaryEnd(handle);
    cuda_function function;
    assert_int_equal(cudaGetFuncBySymbol(&function, &binary), CUDA_INVALID_DEVICE_FUNCTION);
    assert_int_equal(cudaGetFuncBySymbol(&function, &stub), CUDA_SUCCESS);
    launch_function launch = find_launch();

    cuda_stream here;
    cuda_stream elsewhere;
    assert_int_equal(cudaStreamCreate(&elsewhere), CUDA_SUCCESS);
    assert_int_equal(cudaSetDevice(5), CUDA_SUCCESS);
    assert_int_equal(cudaStreamCreate(&here), CUDA_SUCCESS);
    char arguments[64] = {0};
    size_t bytes = sizeof arguments;
    void *extra[] = {CUDA_LAUNCH_BUFFER_POINTER, arguments, CUDA_LAUNCH_BUFFER_BYTES, &bytes,
                     CUDA_LAUNCH_END};
    /* A kernel goes to the current device, and so must its stream. */
    assert_int_equal(launch(function, 1, 1, 1, 32, 1, 1, 0, elsewhere, NULL, extra),
                     CUDA_INVALID_RESOURCE_HANDLE);
    assert_int_equal(launch(function, 1, 2, 1, 32, 1, 1, 0, here, NULL, extra), CUDA_NOT_SUPPORTED);
    assert_int_equal(launch(function, 1, 1, 1, 32, 1, 1, 0, here, extra, NULL), CUDA_NOT_SUPPORTED);
    cudaGetLastError();
    assert_int_equal(launch(function, 1, 1, 1, 32, 1, 1, 0, here, NULL, extra), CUDA_SUCCESS);
    assert_int_equal(cudaStreamSynchronize(here), CUDA_LAUNCH_FAILURE);
    assert_int_equal(cudaGetLastError(), CUDA_LAUNCH_FAILURE);
    assert_int_equal(cudaGetLastError(), CUDA_LAUNCH_FAILURE);
    assert_int_equal(cudaStreamQuery(here), CUDA_LAUNCH_FAILURE);
    assert_int_equal(cudaSetDevice(0), CUDA_SUCCESS);
    assert_int_equal(cudaGetLastError(), CUDA_LAUNCH_FAILURE); /* the thread's own, once */
    assert_int_equal(cudaGetLastError(), CUDA_SUCCESS);
    assert_int_equal(cudaStreamSynchronize(elsewhere), CUDA_SUCCESS);
    assert_int_equal(cudaStreamDestroy(elsewhere), CUDA_SUCCESS);
    cudaStreamDestroy(here);
    __cudaUnregisterFatBinary(handle);
    assert_int_equal(cudaGetFuncBySymbol(&function, &stub), CUDA_INVALID_DEVICE_FUNCTION);
}

/* Kernels of a library that is an NCCL of another version: nothing of its structures would be right. */
static void test_other_version_of_nccl_is_refused(void **state)
{
    (void)state;
    void *library = dlopen(OTHER_NCCL, RTLD_NOW);
    assert_non_null(library);
    cuda_function function;
    assert_int_equal(cudaGetFuncBySymbol(&function, dlsym(library, "other_kernel")), CUDA_SUCCESS);
    launch_function launch = find_launch();
    char arguments[4096] = {0};
    size_t bytes = sizeof arguments;
    void *extra[] = {CUDA_LAUNCH_BUFFER_POINTER, arguments, CUDA_LAUNCH_BUFFER_BYTES, &bytes,
                     CUDA_LAUNCH_END};
    assert_int_equal(launch(function, 1, 1, 1, 32, 1, 1, 0, NULL, NULL, extra), CUDA_NOT_SUPPORTED);
    assert_int_equal(cudaGetLastError(), CUDA_NOT_SUPPORTED);
    assert_int_equal(cudaDeviceSynchronize(), CUDA_SUCCESS);
    dlclose(library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_and_bus_ids),
        cmocka_unit_test(test_no_device_and_an_old_driver),
        cmocka_unit_test(test_error_texts),
        cmocka_unit_test(test_the_context_of_a_thread),
        cmocka_unit_test(test_entry_point_that_is_missing),
        cmocka_unit_test(test_other_version_of_nccl_is_refused),
        cmocka_unit_test(test_unknown_kernel_breaks_its_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
