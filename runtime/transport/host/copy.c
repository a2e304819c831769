/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/copy.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define LINE_BYTES ((size_t)64)
/* Not worth the alignment and the fence below. */
#define STREAM_LEAST_BYTES ((size_t)4096)

__attribute__((target("avx2"))) static void stream_lines_avx2(uint8_t *to, const uint8_t *from,
                                                              size_t lines)
{
    for (; lines > 0; lines--, to += LINE_BYTES, from += LINE_BYTES) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)from);
        __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(from + 32));

        _mm256_stream_si256((__m256i *)(void *)to, low);
        _mm256_stream_si256((__m256i *)(void *)(to + 32), high);
    }
}

static void stream_lines_sse2(uint8_t *to, const uint8_t *from, size_t lines)
{
    for (; lines > 0; lines--, to += LINE_BYTES, from += LINE_BYTES) {
        const __m128i *source = (const __m128i *)(const void *)from;
        __m128i *destination = (__m128i *)(void *)to;
        __m128i first = _mm_loadu_si128(source);
        __m128i second = _mm_loadu_si128(source + 1);
        __m128i third = _mm_loadu_si128(source + 2);
        __m128i fourth = _mm_loadu_si128(source + 3);

        _mm_stream_si128(destination, first);
        _mm_stream_si128(destination + 1, second);
        _mm_stream_si128(destination + 2, third);
        _mm_stream_si128(destination + 3, fourth);
    }
}

static void copy_streaming(uint8_t *to, const uint8_t *from, size_t bytes)
{
    size_t before = (LINE_BYTES - (uintptr_t)to % LINE_BYTES) % LINE_BYTES;
    size_t lines = (bytes - before) / LINE_BYTES;
    size_t middle = lines * LINE_BYTES;

    memcpy(to, from, before);
    if (__builtin_cpu_supports("avx2"))
        stream_lines_avx2(to + before, from + before, lines);
    else
        stream_lines_sse2(to + before, from + before, lines);
    memcpy(to + before + middle, from + before + middle, bytes - before - middle);
    /* Streaming stores are not ordered by a release store: without this a reader that has seen the counter could
     * still read old bytes. */
    _mm_sfence();
}

void muster_host_copy(void *to, const void *from, size_t bytes, bool stream)
{
    if (stream && bytes >= STREAM_LEAST_BYTES)
        copy_streaming(to, from, bytes);
    else
        memcpy(to, from, bytes);
}

#else

void muster_host_copy(void *to, const void *from, size_t bytes, bool stream)
{
    (void)stream;
    memcpy(to, from, bytes);
}

#endif
