/* SPDX-License-Identifier: Apache-2.0 */
/* A process that is short of descriptors or memory: for a moment it waits and tries again; for longer its rank says
 * so, since its peers only see one that does not connect, and would be given up with it. Pure. */
#ifndef MUSTER_TRANSPORT_HOST_WANT_H
#define MUSTER_TRANSPORT_HOST_WANT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct muster_host_want {
    int64_t since_ns; /* the first try that failed of those in a row; 0: none */
    int64_t last_ns;
    int native_code;
} muster_host_want;

/* Such a failure, or any other: one of these says nothing about the process. */
bool muster_host_want_is(int native_code);
/* A try failed so. */
void muster_host_want_failed(muster_host_want *want, int native_code, int64_t now_ns);
/* One succeeded. */
void muster_host_want_ended(muster_host_want *want);
/* It has failed for so long, and still does, that waiting is no use. */
bool muster_host_want_lasts(const muster_host_want *want, int64_t now_ns);

#endif
