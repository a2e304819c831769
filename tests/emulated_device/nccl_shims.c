/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into the relinked libnccl.so.2, beside the archive.
 *
 * The archive holds weak and hidden stubs of five runtime calls, all of which fail; they would win over a shared
 * runtime. Strong definitions here take their place and hand over to calls of the runtime that have no such stub.
 *
 * And it was compiled against a glibc that has C23's number parsing under names of its own. */
#include "public_api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define HIDDEN __attribute__((visibility("hidden")))
/* CUDA of the archive's compilation: versions of driver functions are asked for by it. */
enum { ARCHIVE_CUDA_VERSION = 12040 };

HIDDEN cuda_error cudaGetDriverEntryPoint(const char *name, void **function,
                                          unsigned long long flags, int *status);
cuda_error cudaGetDriverEntryPoint(const char *name, void **function, unsigned long long flags,
                                   int *status)
{
    return cudaGetDriverEntryPointByVersion(name, function, ARCHIVE_CUDA_VERSION, flags, status);
}

HIDDEN cuda_error cudaStreamGetCaptureInfo_v2(cuda_stream stream, int *status,
                                              unsigned long long *id, cuda_graph *graph,
                                              const void **dependencies, size_t *dependency_count);
cuda_error cudaStreamGetCaptureInfo_v2(cuda_stream stream, int *status, unsigned long long *id,
                                       cuda_graph *graph, const void **dependencies,
                                       size_t *dependency_count)
{
    return cudaStreamGetCaptureInfo_v3(stream, status, id, graph, dependencies, NULL,
                                       dependency_count);
}

#define REFUSE(name) \
    HIDDEN cuda_error name(void); \
    cuda_error name(void) \
    { \
        fprintf(stderr, "emulated CUDA: %s: not emulated\n", #name); \
        return CUDA_NOT_SUPPORTED; \
    }
REFUSE(cudaUserObjectCreate)
REFUSE(cudaGraphRetainUserObject)
REFUSE(cudaStreamUpdateCaptureDependencies)

/* Weak: with a newer glibc, its own are taken. */
#define C23 __attribute__((weak, visibility("hidden")))
C23 long __isoc23_strtol(const char *text, char **end, int base);
C23 long long __isoc23_strtoll(const char *text, char **end, int base);
C23 unsigned long __isoc23_strtoul(const char *text, char **end, int base);
C23 unsigned long long __isoc23_strtoull(const char *text, char **end, int base);
C23 int __isoc23_sscanf(const char *text, const char *format, ...);
C23 int __isoc23_fscanf(FILE *file, const char *format, ...);

long __isoc23_strtol(const char *text, char **end, int base)
{
    return strtol(text, end, base);
}

long long __isoc23_strtoll(const char *text, char **end, int base)
{
    return strtoll(text, end, base);
}

unsigned long __isoc23_strtoul(const char *text, char **end, int base)
{
    return strtoul(text, end, base);
}

unsigned long long __isoc23_strtoull(const char *text, char **end, int base)
{
    return strtoull(text, end, base);
}

int __isoc23_sscanf(const char *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int read = vsscanf(text, format, arguments);
    va_end(arguments);
    return read;
}

int __isoc23_fscanf(FILE *file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int read = vfscanf(file, format, arguments);
    va_end(arguments);
    return read;
}
