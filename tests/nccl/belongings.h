/* SPDX-License-Identifier: Apache-2.0 */
/* What a process holds: its threads, descriptors and mappings, by name, so that what is left of something can be
 * told. Sockets are told apart by what they are, not by their number. */
#ifndef MUSTER_TESTS_NCCL_BELONGINGS_H
#define MUSTER_TESTS_NCCL_BELONGINGS_H

#include <stddef.h>

/* As belongings_count names them. */
#define BELONGINGS_LISTENING "descriptor: listening socket"
#define BELONGINGS_SOCKET "descriptor: socket"
#define BELONGINGS_ANONYMOUS "mapping: anonymous"

typedef struct belongings belongings;

/* Of this process, now. NULL: no memory. */
belongings *belongings_count(void);
void belongings_free(belongings *of);

/* Calls tell, where it is not NULL, for each name of which there is more in `after`; returns how many more things
 * that are in all. */
size_t belongings_left(const belongings *before, const belongings *after,
                       void (*tell)(void *context, const char *name, size_t more), void *context);

#endif
