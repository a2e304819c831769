/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated runtime called by somebody who was compiled against NVIDIA's headers: the numbers and layouts that
 * public_api.h states anew are theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <cuda_runtime_api.h>

#if CUDART_VERSION >= 13000 && CUDART_VERSION < 14000
static void test_properties(void **state)
{
    (void)state;
    struct cudaDeviceProp properties;
    memset(&properties, 0x55, sizeof properties);
    assert_int_equal(cudaGetDeviceProperties(&properties, 4), cudaSuccess);
    assert_string_equal(properties.name, "Muster emulated device 4");
    assert_int_equal(properties.major, 8);
    assert_int_equal(properties.minor, 0);
    assert_int_equal(properties.warpSize, 32);
    assert_int_equal(properties.maxThreadsPerBlock, 1024);
    assert_int_equal(properties.multiProcessorCount, 108);
    assert_int_equal(properties.canMapHostMemory, 1);
    assert_int_equal(properties.unifiedAddressing, 1);
    assert_int_equal(properties.clusterLaunch, 0);
    assert_int_equal(properties.reserved[55], 0);
    int bus;
    assert_int_equal(cudaDeviceGetAttribute(&bus, cudaDevAttrPciBusId, 4), cudaSuccess);
    assert_int_equal(properties.pciBusID, bus);
    assert_int_equal(cudaDeviceGetAttribute(&bus, cudaDevAttrPciDomainId, 4), cudaSuccess);
    assert_int_equal(properties.pciDomainID, bus);
}
#endif

static void test_attributes(void **state)
{
    (void)state;
    int value = -1;
    assert_int_equal(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0),
                     cudaSuccess);
    assert_int_equal(value, 8);
    assert_int_equal(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0),
                     cudaSuccess);
    assert_int_equal(value, 108);
    assert_int_equal(cudaDeviceGetAttribute(&value, cudaDevAttrGPUDirectRDMASupported, 0),
                     cudaSuccess);
    assert_int_equal(value, 0);
    assert_int_equal(cudaDeviceGetAttribute(&value, cudaDevAttrHostRegisterSupported, 0),
                     cudaSuccess);
    assert_int_equal(value, 1);
}

static void test_pointers(void **state)
{
    (void)state;
    struct cudaPointerAttributes attributes;
    void *memory;
    assert_int_equal(cudaSetDevice(7), cudaSuccess);
    assert_int_equal(cudaMalloc(&memory, 10), cudaSuccess);
    assert_int_equal(cudaPointerGetAttributes(&attributes, memory), cudaSuccess);
    assert_int_equal(attributes.type, cudaMemoryTypeDevice);
    assert_int_equal(attributes.device, 7);
    assert_ptr_equal(attributes.devicePointer, memory);
    assert_int_equal(cudaMemset(memory, 3, 10), cudaSuccess);
    char back[10];
    assert_int_equal(cudaMemcpy(back, memory, 10, cudaMemcpyDeviceToHost), cudaSuccess);
    assert_int_equal(back[9], 3);
    assert_int_equal(cudaMemcpy(back, memory, 10, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaFree(memory), cudaSuccess);
    assert_int_equal(cudaPointerGetAttributes(&attributes, back), cudaSuccess);
    assert_int_equal(attributes.type, cudaMemoryTypeUnregistered);
    assert_int_equal(cudaSetDevice(0), cudaSuccess);
}

static void test_streams(void **state)
{
    (void)state;
    cudaStream_t stream;
    cudaGraph_t graph;
    enum cudaStreamCaptureStatus status;
    assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    assert_int_equal(cudaStreamIsCapturing(stream, &status), cudaSuccess);
    assert_int_equal(status, cudaStreamCaptureStatusActive);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
    assert_int_equal(cudaStreamQuery(stream), cudaSuccess);
    assert_int_equal(cudaStreamQuery(cudaStreamLegacy), cudaSuccess);
    assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
}

/* The name of every error that is given out is the one of its number. */
static void test_error_numbers(void **state)
{
    (void)state;
#define NAMED(error) assert_string_equal(cudaGetErrorName(error), #error)
    NAMED(cudaSuccess);
    NAMED(cudaErrorInvalidValue);
    NAMED(cudaErrorMemoryAllocation);
    NAMED(cudaErrorInvalidMemcpyDirection);
    NAMED(cudaErrorStubLibrary);
    NAMED(cudaErrorInsufficientDriver);
    NAMED(cudaErrorInvalidDeviceFunction);
    NAMED(cudaErrorNoDevice);
    NAMED(cudaErrorInvalidDevice);
    NAMED(cudaErrorDeviceUninitialized);
    NAMED(cudaErrorPeerAccessUnsupported);
    NAMED(cudaErrorInvalidResourceHandle);
    NAMED(cudaErrorSymbolNotFound);
    NAMED(cudaErrorNotReady);
    NAMED(cudaErrorIllegalAddress);
    NAMED(cudaErrorHostMemoryAlreadyRegistered);
    NAMED(cudaErrorHostMemoryNotRegistered);
    NAMED(cudaErrorLaunchFailure);
    NAMED(cudaErrorNotSupported);
    NAMED(cudaErrorStreamCaptureUnsupported);
    NAMED(cudaErrorStreamCaptureUnmatched);
    NAMED(cudaErrorStreamCaptureImplicit);
    NAMED(cudaErrorUnknown);
#undef NAMED
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if CUDART_VERSION >= 13000 && CUDART_VERSION < 14000
        cmocka_unit_test(test_properties),
#endif
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_error_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
