/* SPDX-License-Identifier: Apache-2.0 */
/* 64-bit hashing of small records (XXH3 of libxxhash, header only, so that there is no link-time
 * dependency). Pure. */
#ifndef MUSTER_BASE_HASH_H
#define MUSTER_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t muster_hash_bytes(const void *bytes, size_t count, uint64_t seed);
uint64_t muster_hash_text(const char *text); /* job names; seed 0 */

#endif
