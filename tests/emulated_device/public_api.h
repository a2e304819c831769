/* SPDX-License-Identifier: Apache-2.0 */
/* The part of CUDA's public runtime and driver interface that is emulated here: names, numbers and layouts as their
 * documentation gives them. Declared anew and not included, so that the emulator builds on a machine without any
 * CUDA header; what a caller was compiled against is the same binary interface. */
#ifndef MUSTER_TESTS_EMULATED_PUBLIC_API_H
#define MUSTER_TESTS_EMULATED_PUBLIC_API_H

#include <stddef.h>
#include <stdint.h>

#define EMULATED_API __attribute__((visibility("default")))

/* Every error that the emulator gives out: name in C, name in CUDA, number, text. */
#define EMULATED_ERRORS(X) \
    X(SUCCESS, cudaSuccess, 0, "no error") \
    X(INVALID_VALUE, cudaErrorInvalidValue, 1, "invalid argument") \
    X(MEMORY_ALLOCATION, cudaErrorMemoryAllocation, 2, "out of memory") \
    X(INVALID_MEMCPY_DIRECTION, cudaErrorInvalidMemcpyDirection, 21, \
      "invalid copy direction for memcpy") \
    X(STUB_LIBRARY, cudaErrorStubLibrary, 34, "CUDA driver is a stub library") \
    X(INSUFFICIENT_DRIVER, cudaErrorInsufficientDriver, 35, \
      "CUDA driver version is insufficient for CUDA runtime version") \
    X(INVALID_DEVICE_FUNCTION, cudaErrorInvalidDeviceFunction, 98, "invalid device function") \
    X(NO_DEVICE, cudaErrorNoDevice, 100, "no CUDA-capable device is detected") \
    X(INVALID_DEVICE, cudaErrorInvalidDevice, 101, "invalid device ordinal") \
    X(INVALID_CONTEXT, cudaErrorDeviceUninitialized, 201, "invalid device context") \
    X(PEER_ACCESS_UNSUPPORTED, cudaErrorPeerAccessUnsupported, 217, \
      "peer access is not supported between these two devices") \
    X(INVALID_RESOURCE_HANDLE, cudaErrorInvalidResourceHandle, 400, "invalid resource handle") \
    X(SYMBOL_NOT_FOUND, cudaErrorSymbolNotFound, 500, "named symbol not found") \
    X(NOT_READY, cudaErrorNotReady, 600, "device not ready") \
    X(ILLEGAL_ADDRESS, cudaErrorIllegalAddress, 700, "an illegal memory access was encountered") \
    X(HOST_MEMORY_ALREADY_REGISTERED, cudaErrorHostMemoryAlreadyRegistered, 712, \
      "part or all of the requested memory range is already mapped") \
    X(HOST_MEMORY_NOT_REGISTERED, cudaErrorHostMemoryNotRegistered, 713, \
      "pointer does not correspond to a registered memory region") \
    X(LAUNCH_FAILURE, cudaErrorLaunchFailure, 719, "unspecified launch failure") \
    X(NOT_SUPPORTED, cudaErrorNotSupported, 801, "operation not supported") \
    X(STREAM_CAPTURE_UNSUPPORTED, cudaErrorStreamCaptureUnsupported, 900, \
      "operation not permitted when stream is capturing") \
    X(STREAM_CAPTURE_UNMATCHED, cudaErrorStreamCaptureUnmatched, 903, \
      "the capture was not initiated in this stream") \
    X(STREAM_CAPTURE_IMPLICIT, cudaErrorStreamCaptureImplicit, 906, \
      "operation would make the legacy stream depend on a capturing blocking stream") \
    X(UNKNOWN, cudaErrorUnknown, 999, "unknown error")

typedef enum cuda_error {
#define EMULATED_ERROR_NUMBER(name, cuda_name, number, text) CUDA_##name = (number),
    EMULATED_ERRORS(EMULATED_ERROR_NUMBER)
#undef EMULATED_ERROR_NUMBER
} cuda_error;

/* Opaque handles. The legacy default stream is NULL or 1, the default stream of a thread is 2. */
typedef struct emulated_stream *cuda_stream;
typedef struct emulated_event *cuda_event;
typedef struct emulated_function *cuda_function;
typedef struct emulated_graph *cuda_graph;
typedef struct emulated_pool *cuda_pool;
typedef void (*cuda_host_function)(void *user);

enum { CUDA_MEMORY_UNREGISTERED = 0, CUDA_MEMORY_HOST = 1, CUDA_MEMORY_DEVICE = 2 };
enum {
    CUDA_COPY_HOST_TO_HOST = 0,
    CUDA_COPY_HOST_TO_DEVICE,
    CUDA_COPY_DEVICE_TO_HOST,
    CUDA_COPY_DEVICE_TO_DEVICE,
    CUDA_COPY_DEFAULT
};
enum { CUDA_STREAM_NON_BLOCKING = 1 };
enum { CUDA_CAPTURE_MODE_GLOBAL = 0, CUDA_CAPTURE_MODE_THREAD_LOCAL, CUDA_CAPTURE_MODE_RELAXED };
enum { CUDA_CAPTURE_NONE = 0, CUDA_CAPTURE_ACTIVE = 1, CUDA_CAPTURE_INVALIDATED = 2 };
enum { CUDA_ENTRY_POINT_FOUND = 0, CUDA_ENTRY_POINT_NOT_FOUND = 1 };

typedef struct cuda_pointer_attributes {
    int type;
    int device;
    void *device_pointer;
    void *host_pointer;
    long reserved[8]; /* since 13.0; a caller of 12 gave room for the four fields above only */
} cuda_pointer_attributes;
enum { CUDA_POINTER_ATTRIBUTES_BYTES_OF_12 = 24 };

typedef struct cuda_function_attributes {
    size_t shared_bytes;
    size_t constant_bytes;
    size_t local_bytes;
    int threads_per_block_max;
    int registers;
    int ptx_version;
    int binary_version;
    int cache_mode;
    int dynamic_shared_bytes_max;
    int shared_carveout;
} cuda_function_attributes; /* its tail differs between versions and stays as the caller had it */

/* The head of a device's properties: alike in 12 and 13 up to the grid's size; what follows is filled by offset. */
typedef struct cuda_properties_head {
    char name[256];
    unsigned char uuid[16];
    char luid[8];
    unsigned luid_node_mask;
    size_t global_bytes;
    size_t shared_bytes_per_block;
    int registers_per_block;
    int warp_threads;
    size_t pitch_bytes_max;
    int threads_per_block_max;
    int block_max[3];
    int grid_max[3];
} cuda_properties_head;

typedef struct cuda_launch_config {
    unsigned grid[3];
    unsigned block[3];
    unsigned shared_bytes;
    cuda_stream stream;
    void *attributes;
    unsigned attribute_count;
} cuda_launch_config;

/* Marks in the list that hands a launch its argument block. */
#define CUDA_LAUNCH_END ((void *)0)
#define CUDA_LAUNCH_BUFFER_POINTER ((void *)1)
#define CUDA_LAUNCH_BUFFER_BYTES ((void *)2)

typedef struct cuda_dim3 {
    unsigned x, y, z;
} cuda_dim3;

/* Devices. */
EMULATED_API cuda_error cudaGetDeviceCount(int *count);
EMULATED_API cuda_error cudaGetDevice(int *device);
EMULATED_API cuda_error cudaSetDevice(int device);
EMULATED_API cuda_error cudaDeviceGetAttribute(int *value, int attribute, int device);
EMULATED_API cuda_error cudaGetDeviceProperties(void *properties,
                                                int device); /* the layout of 13 */
EMULATED_API cuda_error cudaGetDeviceProperties_v2(void *properties,
                                                   int device); /* the layout of 12 */
EMULATED_API cuda_error cudaDeviceGetPCIBusId(char *bus_id, int bytes, int device);
EMULATED_API cuda_error cudaDeviceGetByPCIBusId(int *device, const char *bus_id);
EMULATED_API cuda_error cudaDeviceCanAccessPeer(int *can, int device, int peer);
EMULATED_API cuda_error cudaDeviceEnablePeerAccess(int peer, unsigned flags);
EMULATED_API cuda_error cudaDeviceSetLimit(int limit, size_t value);
EMULATED_API cuda_error cudaDeviceSynchronize(void);
EMULATED_API cuda_error cudaDriverGetVersion(int *version);
EMULATED_API cuda_error cudaRuntimeGetVersion(int *version);

/* Errors. */
EMULATED_API const char *cudaGetErrorName(cuda_error error);
EMULATED_API const char *cudaGetErrorString(cuda_error error);
EMULATED_API cuda_error cudaGetLastError(void);
EMULATED_API cuda_error cudaPeekAtLastError(void);

/* Memory. */
EMULATED_API cuda_error cudaMalloc(void **pointer, size_t bytes);
EMULATED_API cuda_error cudaFree(void *pointer);
EMULATED_API cuda_error cudaMallocHost(void **pointer, size_t bytes);
EMULATED_API cuda_error cudaHostAlloc(void **pointer, size_t bytes, unsigned flags);
EMULATED_API cuda_error cudaFreeHost(void *pointer);
EMULATED_API cuda_error cudaHostRegister(void *pointer, size_t bytes, unsigned flags);
EMULATED_API cuda_error cudaHostUnregister(void *pointer);
EMULATED_API cuda_error cudaHostGetDevicePointer(void **device_pointer, void *host_pointer,
                                                 unsigned flags);
EMULATED_API cuda_error cudaPointerGetAttributes(cuda_pointer_attributes *attributes,
                                                 const void *pointer);
EMULATED_API cuda_error cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
EMULATED_API cuda_error cudaMemPoolCreate(cuda_pool *pool, const void *properties);
EMULATED_API cuda_error cudaMemPoolDestroy(cuda_pool pool);
EMULATED_API cuda_error cudaMemPoolSetAttribute(cuda_pool pool, int attribute, void *value);
EMULATED_API cuda_error cudaMallocFromPoolAsync(void **pointer, size_t bytes, cuda_pool pool,
                                                cuda_stream stream);
EMULATED_API cuda_error cudaMallocAsync(void **pointer, size_t bytes, cuda_stream stream);
EMULATED_API cuda_error cudaFreeAsync(void *pointer, cuda_stream stream);
EMULATED_API cuda_error cudaMemcpy(void *to, const void *from, size_t bytes, int kind);
EMULATED_API cuda_error cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind,
                                        cuda_stream stream);
EMULATED_API cuda_error cudaMemset(void *to, int value, size_t bytes);
EMULATED_API cuda_error cudaMemsetAsync(void *to, int value, size_t bytes, cuda_stream stream);

/* Streams, their capture, and events. */
EMULATED_API cuda_error cudaStreamCreate(cuda_stream *stream);
EMULATED_API cuda_error cudaStreamCreateWithFlags(cuda_stream *stream, unsigned flags);
EMULATED_API cuda_error cudaStreamCreateWithPriority(cuda_stream *stream, unsigned flags,
                                                     int priority);
EMULATED_API cuda_error cudaStreamDestroy(cuda_stream stream);
EMULATED_API cuda_error cudaStreamSynchronize(cuda_stream stream);
EMULATED_API cuda_error cudaStreamQuery(cuda_stream stream);
EMULATED_API cuda_error cudaStreamWaitEvent(cuda_stream stream, cuda_event event, unsigned flags);
EMULATED_API cuda_error cudaStreamGetId(cuda_stream stream, unsigned long long *id);
EMULATED_API cuda_error cudaStreamGetDevice(cuda_stream stream, int *device);
EMULATED_API cuda_error cudaStreamGetFlags(cuda_stream stream, unsigned *flags);
EMULATED_API cuda_error cudaLaunchHostFunc(cuda_stream stream, cuda_host_function function,
                                           void *user);
EMULATED_API cuda_error cudaStreamIsCapturing(cuda_stream stream, int *status);
EMULATED_API cuda_error cudaStreamGetCaptureInfo_v3(cuda_stream stream, int *status,
                                                    unsigned long long *id, cuda_graph *graph,
                                                    const void **dependencies, const void **edges,
                                                    size_t *dependency_count);
EMULATED_API cuda_error cudaStreamGetCaptureInfo(cuda_stream stream, int *status,
                                                 unsigned long long *id, cuda_graph *graph,
                                                 const void **dependencies, const void **edges,
                                                 size_t *dependency_count);
EMULATED_API cuda_error cudaStreamBeginCapture(cuda_stream stream, int mode);
EMULATED_API cuda_error cudaStreamEndCapture(cuda_stream stream, cuda_graph *graph);
EMULATED_API cuda_error cudaGraphDestroy(cuda_graph graph);
EMULATED_API cuda_error cudaThreadExchangeStreamCaptureMode(int *mode);
EMULATED_API cuda_error cudaEventCreate(cuda_event *event);
EMULATED_API cuda_error cudaEventCreateWithFlags(cuda_event *event, unsigned flags);
EMULATED_API cuda_error cudaEventDestroy(cuda_event event);
EMULATED_API cuda_error cudaEventRecord(cuda_event event, cuda_stream stream);
EMULATED_API cuda_error cudaEventQuery(cuda_event event);
EMULATED_API cuda_error cudaEventSynchronize(cuda_event event);

/* Functions and their launch; the first seven are what a compiled CUDA file calls by itself. */
EMULATED_API void **__cudaRegisterFatBinary(void *binary);
EMULATED_API void __cudaRegisterFatBinaryEnd(void **handle);
EMULATED_API void __cudaUnregisterFatBinary(void **handle);
EMULATED_API void __cudaRegisterFunction(void **handle, const char *host, char *device,
                                         const char *name, int threads, void *thread_first,
                                         void *block_first, void *block, void *grid, int *warp);
EMULATED_API void __cudaRegisterVar(void **handle, char *host, char *device, const char *name,
                                    int external, size_t bytes, int constant, int global);
EMULATED_API char __cudaInitModule(void **handle);
EMULATED_API unsigned __cudaPopCallConfiguration(cuda_dim3 *grid, cuda_dim3 *block,
                                                 size_t *shared_bytes, void *stream);
EMULATED_API cuda_error cudaLaunchKernel(const void *symbol, cuda_dim3 grid, cuda_dim3 block,
                                         void **arguments, size_t shared_bytes, cuda_stream stream);
EMULATED_API cuda_error cudaGetFuncBySymbol(cuda_function *function, const void *symbol);
EMULATED_API cuda_error cudaFuncGetAttributes(cuda_function_attributes *attributes,
                                              const void *symbol);
EMULATED_API cuda_error cudaFuncSetAttribute(const void *symbol, int attribute, int value);
EMULATED_API cuda_error cudaGetDriverEntryPointByVersion(const char *name, void **function,
                                                         unsigned version, unsigned long long flags,
                                                         int *status);

#endif
