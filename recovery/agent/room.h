/* SPDX-License-Identifier: Apache-2.0 */
/* Whether there is room for a ZeroMQ context: libzmq aborts the process when a thread or a descriptor
 * of its own cannot be had (thread.cpp, epoll.cpp), so that must be found out before it is asked. */
#ifndef MUSTER_RECOVERY_AGENT_ROOM_H
#define MUSTER_RECOVERY_AGENT_ROOM_H

#include <muster/status.h>

/* Takes what a context takes, two threads and some descriptors, and gives it back. MUSTER_OK;
 * MUSTER_ERR_NO_MEMORY (threads); MUSTER_ERR_SYSTEM (descriptors); the sentence says what to raise. */
muster_status muster_agent_room(muster_error *error);

#endif
