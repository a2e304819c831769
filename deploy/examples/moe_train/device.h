/* SPDX-License-Identifier: Apache-2.0 */
/* Memory and a stream of this rank's device, where the job was started with a device plane (muster run
 * --device nccl). Without one nothing here does anything, and tensors travel from host memory.
 *
 * The CUDA runtime is not linked: the library that Muster's device plane has loaded is looked up, so that
 * one program serves nodes with GPUs and without. A job with kernels of its own is linked with it
 * anyway, and needs muster_comm_set_stream and muster_tensor_device of all this, and no more. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

enum { DEVICE_MEMORY_MAX = 16 };

struct device {
    int32_t index; /* of the CUDA runtime; -1: tensors stay in host memory */
    void *stream;  /* a cudaStream_t */
    struct device_calls {
        int (*set_device)(int index);
        int (*allocate)(void **memory, size_t bytes);
        int (*release)(void *memory);
        int (*stream_create)(void **stream, unsigned flags);
        int (*stream_destroy)(void *stream);
        int (*stream_synchronize)(void *stream);
        int (*copy)(void *to, const void *from, size_t bytes, int kind, void *stream);
        const char *(*text)(int code);
    } calls;
    void *memory[DEVICE_MEMORY_MAX];
    int memory_count;
};

/* Fills error and returns MUSTER_ERR_SYSTEM: a program whose device fails ends. Its memory is gone with it, and a
 * new process may do better. */
muster_status device_fail(muster_error *error, const char *call, const char *reason);

/* Looks functions up in a library that is loaded. */
struct device_symbol {
    const char *name;
    void *function; /* where the pointer to it goes */
};
muster_status device_find(void *library, const struct device_symbol *symbols, size_t count,
                          muster_error *error);

/* device must be zero. MUSTER_OK without a device plane too. */
muster_status device_open(struct device *device, muster_job *job, muster_error *error);

/* Frees what was allocated, and the stream. Only once the job was left: what a lost rank left on the stream
 * is over then, and CUDA waits for it without a bound. */
void device_close(struct device *device);

static inline bool device_in_use(const struct device *device)
{
    return device->index >= 0;
}

/* Freed by the close. Without a device plane *memory is NULL. */
muster_status device_allocate(struct device *device, size_t bytes, void **memory,
                              muster_error *error);

/* The tensor as it travels: of the device's memory where there is a plane, else of the host's. */
muster_tensor device_tensor(const struct device *device, void *host, void *memory,
                            muster_dtype dtype, int64_t rows, int64_t features);

/* Copies rows to the device: on the stream, so ahead of the batch that takes them there. The host's rows may
 * be changed at once. */
muster_status device_write(const struct device *device, void *memory, const void *host,
                           size_t bytes, muster_error *error);

/* Copies rows to the host, and waits for that. Only after muster_comm_synchronize has returned MUSTER_OK:
 * behind a batch that a lost rank left unfinished this would wait as long as the batch. */
muster_status device_read(const struct device *device, void *host, const void *memory, size_t bytes,
                          muster_error *error);

#endif
