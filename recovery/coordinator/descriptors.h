/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections this process can have: each is a descriptor, and a process may have so many. Who
 * runs into that limit should hear its name before it happens, and not from ranks that cannot connect. */
#ifndef MUSTER_COORDINATOR_DESCRIPTORS_H
#define MUSTER_COORDINATOR_DESCRIPTORS_H

#include <stddef.h>

/* For the journal, events, threads, and connections of the status page. */
#define MUSTER_DESCRIPTORS_OWN ((size_t)128)

/* Takes what the hard limit allows, up to so many. For the program, not the library: it is the process's. */
void muster_descriptors_raise(size_t wanted);
/* Connections that there is room for beside our own descriptors. */
size_t muster_descriptors_room(void);
/* What stands in the way of that many connections, and what to do; empty: nothing. */
void muster_descriptors_text(size_t connections, char *text, size_t text_bytes);

#endif
