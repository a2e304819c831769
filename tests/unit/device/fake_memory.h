/* SPDX-License-Identifier: Apache-2.0 */
/* Which memory of the process counts as a fake device's. From any thread. */
#ifndef MUSTER_TESTS_FAKE_MEMORY_H
#define MUSTER_TESTS_FAKE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Said once of an address; said again, the new length and device count. */
void fake_memory_register(const void *data, size_t bytes, int32_t device);
/* Pieces of one device grow together; those of another, an older buffer in the same place of a stack, go. */
void fake_memory_claim(const void *data, size_t bytes, int32_t device);
/* -1: of none. */
int32_t fake_memory_device(const void *data, size_t bytes);

#endif
