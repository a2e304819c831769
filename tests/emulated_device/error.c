/* SPDX-License-Identifier: Apache-2.0 */
#include "emulated.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* CUDA's own interface: the last error belongs to a thread. */
static _Thread_local cuda_error last_error;

cuda_error emulated_error_keep(cuda_error error)
{
    /* "Not ready" is an answer, not a failure, and is not kept. */
    if (error != CUDA_SUCCESS && error != CUDA_NOT_READY) {
        last_error = error;
    }
    return error;
}

void emulated_error_say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "emulated CUDA (process %d): %s\n", (int)getpid(), line);
}

cuda_error emulated_error_refuse(const char *call, const char *reason)
{
    emulated_error_say("%s: %s", call, reason);
    return emulated_error_keep(CUDA_NOT_SUPPORTED);
}

const char *cudaGetErrorName(cuda_error error)
{
    switch (error) {
#define EMULATED_ERROR_NAME(name, cuda_name, number, text) \
    case CUDA_##name: \
        return #cuda_name;
        EMULATED_ERRORS(EMULATED_ERROR_NAME)
#undef EMULATED_ERROR_NAME
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cuda_error error)
{
    switch (error) {
#define EMULATED_ERROR_TEXT(name, cuda_name, number, text) \
    case CUDA_##name: \
        return text;
        EMULATED_ERRORS(EMULATED_ERROR_TEXT)
#undef EMULATED_ERROR_TEXT
    }
    return "unrecognized error code";
}

cuda_error cudaGetLastError(void)
{
    cuda_error error = last_error;
    /* A broken device stays broken, however often it is asked. */
    cuda_error sticky = emulated_device_broken(emulated_device_selected());
    last_error = CUDA_SUCCESS;
    return sticky != CUDA_SUCCESS ? sticky : error;
}

cuda_error cudaPeekAtLastError(void)
{
    cuda_error sticky = emulated_device_broken(emulated_device_selected());
    return sticky != CUDA_SUCCESS ? sticky : last_error;
}
