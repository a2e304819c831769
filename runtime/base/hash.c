/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t muster_hash_bytes(const void *bytes, size_t count, uint64_t seed)
{
    /* XXH3 is the same on every machine of one byte order; the join refuses another one. */
    return XXH3_64bits_withSeed(bytes, count, seed);
}

uint64_t muster_hash_text(const char *text)
{
    return muster_hash_bytes(text, strlen(text), 0);
}
