/* SPDX-License-Identifier: Apache-2.0 */
/* Capture is shown, not carried out: a capturing stream says so and takes no work, which is what a library that
 * refuses capturing streams needs for its tests. */
#include "emulated.h"

#include <stdatomic.h>
#include <stdlib.h>

struct emulated_graph {
    unsigned long long id;
};

static cuda_error capture_status(cuda_stream handle, int *status, unsigned long long *id)
{
    struct emulated_stream *stream = status == NULL ? NULL : emulated_stream_find(handle);
    if (stream == NULL) {
        return status == NULL ? CUDA_INVALID_VALUE : CUDA_INVALID_RESOURCE_HANDLE;
    }
    *status = emulated_stream_capturing(stream) ? CUDA_CAPTURE_ACTIVE : CUDA_CAPTURE_NONE;
    if (id != NULL) {
        *id = emulated_stream_id(stream);
    }
    emulated_stream_release(stream);
    return CUDA_SUCCESS;
}

cuda_error cudaStreamIsCapturing(cuda_stream handle, int *status)
{
    return emulated_error_keep(capture_status(handle, status, NULL));
}

cuda_error cudaStreamGetCaptureInfo_v3(cuda_stream handle, int *status, unsigned long long *id,
                                       cuda_graph *graph, const void **dependencies,
                                       const void **edges, size_t *dependency_count)
{
    (void)dependencies;
    (void)edges;
    cuda_error error = capture_status(handle, status, id);
    if (error == CUDA_SUCCESS && *status == CUDA_CAPTURE_ACTIVE) {
        return emulated_error_refuse("cudaStreamGetCaptureInfo",
                                     "a capture is only shown, not carried out");
    }
    if (graph != NULL) {
        *graph = NULL;
    }
    if (dependency_count != NULL) {
        *dependency_count = 0;
    }
    return emulated_error_keep(error);
}

cuda_error cudaStreamGetCaptureInfo(cuda_stream handle, int *status, unsigned long long *id,
                                    cuda_graph *graph, const void **dependencies,
                                    const void **edges, size_t *dependency_count)
{
    return cudaStreamGetCaptureInfo_v3(handle, status, id, graph, dependencies, edges,
                                       dependency_count);
}

/* Streams that are captured in the global mode, and a thread's own mode: global, as every thread begins. */
static atomic_int global_captures;
static _Thread_local int thread_mode;

/* Here nobody is told of the capture's own end, which a real device spoils then. */
bool emulated_capture_forbids(void)
{
    return thread_mode == CUDA_CAPTURE_MODE_GLOBAL && atomic_load(&global_captures) > 0;
}

cuda_error cudaStreamBeginCapture(cuda_stream handle, int mode)
{
    cuda_error error = CUDA_SUCCESS;
    struct emulated_stream *stream = emulated_stream_find(handle);
    if (stream == NULL) {
        return emulated_error_keep(CUDA_INVALID_RESOURCE_HANDLE);
    }
    if (emulated_stream_legacy(stream) || emulated_stream_set_capturing(stream, true)) {
        error = CUDA_STREAM_CAPTURE_UNSUPPORTED;
    } else {
        *emulated_stream_capture_mode(stream) = mode;
        atomic_fetch_add(&global_captures, mode == CUDA_CAPTURE_MODE_GLOBAL);
    }
    emulated_stream_release(stream);
    return emulated_error_keep(error);
}

cuda_error cudaStreamEndCapture(cuda_stream handle, cuda_graph *graph)
{
    struct emulated_stream *stream = graph == NULL ? NULL : emulated_stream_find(handle);
    if (stream == NULL) {
        return emulated_error_keep(graph == NULL ? CUDA_INVALID_VALUE
                                                 : CUDA_INVALID_RESOURCE_HANDLE);
    }
    cuda_error error =
        emulated_stream_set_capturing(stream, false) ? CUDA_SUCCESS : CUDA_STREAM_CAPTURE_UNMATCHED;
    if (error == CUDA_SUCCESS) {
        atomic_fetch_sub(&global_captures,
                         *emulated_stream_capture_mode(stream) == CUDA_CAPTURE_MODE_GLOBAL);
        *graph = calloc(1, sizeof **graph); /* empty: nothing can have been captured */
        error = *graph == NULL ? CUDA_MEMORY_ALLOCATION : CUDA_SUCCESS;
    }
    emulated_stream_release(stream);
    return emulated_error_keep(error);
}

cuda_error cudaGraphDestroy(cuda_graph graph)
{
    free(graph);
    return CUDA_SUCCESS;
}

cuda_error cudaThreadExchangeStreamCaptureMode(int *mode)
{
    if (mode == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    int before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}
