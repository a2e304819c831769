/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/want.h"

#include <errno.h>

#include "transport/host/clock.h"

/* Long enough for what closes files now and then; short beside the deadline of a rebuild. */
#define LASTS_NS (1000 * MUSTER_HOST_MILLISECOND_NS)
/* A try is made at least so often while somebody waits: one that lies further back was the last. */
#define STILL_NS (500 * MUSTER_HOST_MILLISECOND_NS)

bool muster_host_want_is(int native_code)
{
    return native_code == EMFILE || native_code == ENFILE || native_code == ENOMEM ||
           native_code == ENOBUFS;
}

void muster_host_want_failed(muster_host_want *want, int native_code, int64_t now_ns)
{
    if (want->since_ns == 0 || now_ns - want->last_ns >= STILL_NS)
        want->since_ns = now_ns;
    want->last_ns = now_ns;
    want->native_code = native_code;
}

void muster_host_want_ended(muster_host_want *want)
{
    want->since_ns = 0;
}

bool muster_host_want_lasts(const muster_host_want *want, int64_t now_ns)
{
    return want->since_ns != 0 && now_ns - want->last_ns < STILL_NS &&
           want->last_ns - want->since_ns >= LASTS_NS;
}
