/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the emulated runtime know of each other. Each noun has its file: device, error, memory, stream,
 * event, function, host. Threads: every function may be called from any thread; a work item runs on the worker of its
 * stream and must not call back into the runtime, as in CUDA. */
#ifndef MUSTER_TESTS_EMULATED_H
#define MUSTER_TESTS_EMULATED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "public_api.h"

enum { EMULATED_DEVICES_MAX = 32, EMULATED_BUS_ID_BYTES = 16 };
/* What is pretended: a device of compute capability 8.0, without anything that is newer. */
enum { EMULATED_CAPABILITY_MAJOR = 8, EMULATED_CAPABILITY_MINOR = 0 };

/* Keeps the error as the calling thread's last one, as every call of the runtime does, and returns it. */
cuda_error emulated_error_keep(cuda_error error);
/* Says on stderr which call cannot be done and why, and keeps NOT_SUPPORTED. */
cuda_error emulated_error_refuse(const char *call, const char *reason);
/* One line on stderr, marked as the emulator's. */
void emulated_error_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How many devices there are: MUSTER_EMULATED_DEVICES, 16 when it is not set. */
int emulated_device_count(void);
/* What cudaGetDevice says; a thread that works on a device makes its context current by that. */
int emulated_device_selected(void);
int emulated_device_current(void);
void emulated_device_make_current(int device);
bool emulated_device_has_current(void);
void emulated_device_forget_current(void);
/* Whether any thread has made it: it stays. */
bool emulated_device_has_context(int device);
/* SUCCESS, NO_DEVICE, INSUFFICIENT_DRIVER, or the device's sticky error. Every call that works on a device asks
 * first, as the real runtime initialises itself first. */
cuda_error emulated_device_check(void);
/* From now on every call on this device gives that error: what the real device does after a failed kernel. */
void emulated_device_break(int device, cuda_error error);
cuda_error emulated_device_broken(int device);
void emulated_device_bus_id(int device, char bus_id[EMULATED_BUS_ID_BYTES]);

typedef struct emulated_range {
    uintptr_t base;
    size_t bytes;
    int type; /* CUDA_MEMORY_HOST or CUDA_MEMORY_DEVICE */
    int device;
    bool owned; /* allocated here, not registered */
} emulated_range;
/* Takes any memory of the host for memory of device from now on, so that a test of host buffers can be run over
 * the device. The one call that programs see and that is not CUDA's. */
EMULATED_API void emulated_device_claim(void *pointer, size_t bytes, int device);
/* The tracked range around an address. false: plain memory of the host. */
bool emulated_memory_find(const void *pointer, emulated_range *range);

/* One item of work on a stream; run() is called by the stream's worker and owns item. */
typedef struct emulated_work {
    struct emulated_work *next;
    void (*run)(struct emulated_work *item);
    int device; /* set when the item is put on a stream */
} emulated_work;

/* The stream behind a handle (the default stream of the current device for NULL and 1), with a reference that
 * emulated_stream_release gives back; NULL for a handle that is none, or no longer. */
struct emulated_stream *emulated_stream_find(cuda_stream handle);
void emulated_stream_release(struct emulated_stream *stream);
int emulated_stream_device(const struct emulated_stream *stream);
unsigned long long emulated_stream_id(const struct emulated_stream *stream);
bool emulated_stream_legacy(const struct emulated_stream *stream);
bool emulated_stream_capturing(struct emulated_stream *stream);
/* Returns what it was before. */
bool emulated_stream_set_capturing(struct emulated_stream *stream, bool capturing);
_Atomic int *emulated_stream_capture_mode(struct emulated_stream *stream);
/* Puts work at the stream's end, behind what the order of the default stream asks for. Takes item in any case. */
cuda_error emulated_stream_put(struct emulated_stream *stream, emulated_work *item);
/* A place in the stream's order: behind all that was put so far. An event is no more than that. */
cuda_error emulated_stream_mark(struct emulated_stream *stream, uint64_t *put);
bool emulated_stream_passed(struct emulated_stream *stream, uint64_t put);
void emulated_stream_wait(struct emulated_stream *stream, uint64_t put);
/* What is put on the stream from now on waits until other has passed that place. */
cuda_error emulated_stream_put_wait(struct emulated_stream *stream, struct emulated_stream *other,
                                    uint64_t put);
void emulated_stream_retain(struct emulated_stream *stream);
/* Waits until all that was put on the stream before has run. */
cuda_error emulated_stream_drain(struct emulated_stream *stream);
/* All streams of a device, or of every device when it is -1. */
cuda_error emulated_stream_drain_device(int device);

/* Whether a capture of the global mode forbids the calling thread to ask after events. */
bool emulated_capture_forbids(void);

/* A launch, put on the stream; arguments are copied. */
cuda_error emulated_function_launch(cuda_function function, unsigned grid_x, unsigned block_x,
                                    const void *arguments, size_t argument_bytes,
                                    cuda_stream stream);
bool emulated_function_known(cuda_function function);

/* Makes this process a host of its own where the environment asks for it (MUSTER_EMULATED_OVER=net). */
void emulated_host_choose(void);

#endif
