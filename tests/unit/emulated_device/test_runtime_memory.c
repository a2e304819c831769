/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated runtime: kinds of memory, copies and fills between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "public_api.h"

static int type_of(const void *pointer)
{
    cuda_pointer_attributes attributes;
    assert_int_equal(cudaPointerGetAttributes(&attributes, pointer), CUDA_SUCCESS);
    return attributes.type;
}

static void test_three_kinds_of_memory(void **state)
{
    (void)state;
    char *device;
    char *pinned;
    char *plain = malloc(100);
    assert_int_equal(cudaSetDevice(3), CUDA_SUCCESS);
    assert_int_equal(cudaMalloc((void **)&device, 100), CUDA_SUCCESS);
    assert_int_equal(cudaHostAlloc((void **)&pinned, 100, 0), CUDA_SUCCESS);
    assert_int_equal(type_of(device), CUDA_MEMORY_DEVICE);
    assert_int_equal(type_of(device + 99), CUDA_MEMORY_DEVICE);
    assert_int_equal(type_of(device + 100), CUDA_MEMORY_UNREGISTERED);
    assert_int_equal(type_of(pinned), CUDA_MEMORY_HOST);
    assert_int_equal(type_of(plain), CUDA_MEMORY_UNREGISTERED);
    cuda_pointer_attributes attributes;
    assert_int_equal(cudaPointerGetAttributes(&attributes, device + 50), CUDA_SUCCESS);
    assert_int_equal(attributes.device, 3);
    assert_ptr_equal(attributes.device_pointer, device + 50);
    assert_null(attributes.host_pointer);

    assert_int_equal(cudaHostRegister(plain, 100, 0), CUDA_SUCCESS);
    assert_int_equal(type_of(plain + 10), CUDA_MEMORY_HOST);
    assert_int_equal(cudaHostRegister(plain + 50, 100, 0), CUDA_HOST_MEMORY_ALREADY_REGISTERED);
    assert_int_equal(cudaHostUnregister(plain + 1), CUDA_HOST_MEMORY_NOT_REGISTERED);
    assert_int_equal(cudaHostUnregister(plain), CUDA_SUCCESS);
    assert_int_equal(type_of(plain), CUDA_MEMORY_UNREGISTERED);

    assert_int_equal(cudaFree(device + 1), CUDA_INVALID_VALUE);
    assert_int_equal(cudaFree(pinned), CUDA_INVALID_VALUE);
    assert_int_equal(cudaFree(device), CUDA_SUCCESS);
    assert_int_equal(type_of(device), CUDA_MEMORY_UNREGISTERED);
    assert_int_equal(cudaFree(device), CUDA_INVALID_VALUE);
    assert_int_equal(cudaFreeHost(pinned), CUDA_SUCCESS);
    assert_int_equal(cudaFree(NULL), CUDA_SUCCESS);
    assert_int_equal(cudaGetLastError(), CUDA_INVALID_VALUE);
    assert_int_equal(cudaGetLastError(), CUDA_SUCCESS);
    free(plain);
}

/* Out-of-order frees among many: the list of ranges stays sorted. */
static void test_many_ranges(void **state)
{
    (void)state;
    enum { MANY = 300 };
    char *memory[MANY];
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(cudaMalloc((void **)&memory[i], (size_t)(1 + i * 97)), CUDA_SUCCESS);
    }
    for (int i = 0; i < MANY; i += 2) {
        assert_int_equal(cudaFree(memory[i]), CUDA_SUCCESS);
    }
    for (int i = 1; i < MANY; i += 2) {
        assert_int_equal(type_of(memory[i]), CUDA_MEMORY_DEVICE);
        assert_int_equal(type_of(memory[i] + i * 97), CUDA_MEMORY_DEVICE);
        assert_int_equal(cudaFree(memory[i]), CUDA_SUCCESS);
    }
}

static void test_copies(void **state)
{
    (void)state;
    char *device;
    char host[64];
    char back[64] = {0};
    cuda_stream stream;
    for (int i = 0; i < 64; i++) {
        host[i] = (char)i;
    }
    assert_int_equal(cudaMalloc((void **)&device, 64), CUDA_SUCCESS);
    assert_int_equal(cudaStreamCreateWithFlags(&stream, CUDA_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    assert_int_equal(cudaMemsetAsync(device, 9, 64, stream), CUDA_SUCCESS);
    /* Plain memory has been read when the call returns. */
    assert_int_equal(cudaMemcpyAsync(device, host, 32, CUDA_COPY_HOST_TO_DEVICE, stream),
                     CUDA_SUCCESS);
    host[5] = 77;
    assert_int_equal(cudaMemcpyAsync(back, device, 64, CUDA_COPY_DEVICE_TO_HOST, stream),
                     CUDA_SUCCESS);
    assert_int_equal(back[5], 5);
    assert_int_equal(back[31], 31);
    assert_int_equal(back[32], 9);

    assert_int_equal(cudaMemcpy(device, host, 65, CUDA_COPY_HOST_TO_DEVICE), CUDA_INVALID_VALUE);
    assert_int_equal(cudaMemcpy(device, host, 64, CUDA_COPY_DEVICE_TO_HOST), CUDA_INVALID_VALUE);
    assert_int_equal(cudaMemcpy(device, host, 64, 7), CUDA_INVALID_MEMCPY_DIRECTION);
    assert_int_equal(cudaMemset(host, 0, 64), CUDA_INVALID_VALUE);
    assert_int_equal(cudaMemcpy(device, host, 64, CUDA_COPY_DEFAULT), CUDA_SUCCESS);
    assert_int_equal(cudaMemset(device + 60, 1, 4), CUDA_SUCCESS);
    assert_int_equal(cudaMemcpy(back, device, 64, CUDA_COPY_DEFAULT), CUDA_SUCCESS);
    assert_int_equal(back[5], 77);
    assert_int_equal(back[59], 59);
    assert_int_equal(back[60], 1);
    assert_int_equal(cudaStreamDestroy(stream), CUDA_SUCCESS);
    assert_int_equal(cudaFree(device), CUDA_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_kinds_of_memory),
        cmocka_unit_test(test_many_ranges),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
