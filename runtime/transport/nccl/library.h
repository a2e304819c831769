/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL and the CUDA runtime, reached through tables of function pointers (README.md says why). */
#ifndef MUSTER_TRANSPORT_NCCL_LIBRARY_H
#define MUSTER_TRANSPORT_NCCL_LIBRARY_H

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <muster/status.h>

/* 2.28.9: the first after the versions that crash. Versions as ncclGetVersion gives them. */
#define MUSTER_NCCL_VERSION_LEAST 22809
#define MUSTER_NCCL_VERSION_CRASHING_FIRST 22803
#define MUSTER_NCCL_VERSION_CRASHING_LAST 22808

/* X(name): what every version that is accepted has. The types are those of the headers. */
#define MUSTER_NCCL_CALLS(X) \
    X(ncclGetVersion) \
    X(ncclGetErrorString) \
    X(ncclGetLastError) \
    X(ncclGetUniqueId) \
    X(ncclCommInitRankConfig) \
    X(ncclCommInitRankScalable) \
    X(ncclCommShrink) \
    X(ncclCommGetAsyncError) \
    X(ncclCommFinalize) \
    X(ncclCommDestroy) \
    X(ncclCommAbort) \
    X(ncclGroupStart) \
    X(ncclGroupEnd) \
    X(ncclSend) \
    X(ncclRecv)

#define MUSTER_CUDA_CALLS(X) \
    X(cudaRuntimeGetVersion) \
    X(cudaDriverGetVersion) \
    X(cudaGetDeviceCount) \
    X(cudaGetDevice) \
    X(cudaSetDevice) \
    X(cudaGetErrorName) \
    X(cudaGetErrorString) \
    X(cudaGetLastError) \
    X(cudaThreadExchangeStreamCaptureMode) \
    X(cudaPointerGetAttributes) \
    X(cudaStreamIsCapturing) \
    X(cudaMemcpyAsync) \
    X(cudaEventCreateWithFlags) \
    X(cudaEventRecord) \
    X(cudaEventQuery) \
    X(cudaEventDestroy)

typedef struct muster_nccl_library {
    void *nccl_handle;
    void *cuda_handle;
    int nccl_version;
    int runtime_version;
    int driver_version;
#define MUSTER_NCCL_MEMBER(name) __typeof__(name) *(name);
    MUSTER_NCCL_CALLS(MUSTER_NCCL_MEMBER)
    MUSTER_CUDA_CALLS(MUSTER_NCCL_MEMBER)
#undef MUSTER_NCCL_MEMBER
    /* Newer than CUDA 12.0, and not of the header, which may be older; NULL where they are missing. */
    cudaError_t (*cudaStreamGetDevice)(cudaStream_t stream, int *device); /* 12.8 */
    cudaError_t (*cudaGetDriverEntryPointByVersion)(const char *name, void **function,
                                                    unsigned version, unsigned long long flags,
                                                    int *found); /* 12.5 */
} muster_nccl_library;

/* Loads both and checks their versions; names NULL: the defaults of transport/device.h. MUSTER_ERR_LIBRARY. */
muster_status muster_nccl_library_open(muster_nccl_library *library, const char *nccl_name,
                                       const char *cuda_name, muster_error *error);
/* Gives the handles back; the libraries stay in the process, since neither can be unloaded. */
void muster_nccl_library_close(muster_nccl_library *library);

/* MUSTER_OK, or why NCCL of this version is refused. Pure. */
muster_status muster_nccl_library_check_version(int version, muster_error *error);

#endif
