/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to bytes and back: one frame, little endian, a fixed header (magic "MSTR", wire version,
 * type, payload bytes, job, term, epoch, slot, incarnation), then the payload of its type. Every length
 * is bounded before it is believed; anything that does not parse exactly is refused. Pure. */
#ifndef MUSTER_RECOVERY_WIRE_H
#define MUSTER_RECOVERY_WIRE_H

#include <stddef.h>

#include "core/message.h"

#define MUSTER_WIRE_VERSION 3u
#define MUSTER_WIRE_MESSAGE_BYTES_MAX ((size_t)16 << 20)

/* *bytes is allocated; the caller frees it. MUSTER_OK; MUSTER_ERR_NO_MEMORY;
 * MUSTER_ERR_INVALID_ARGUMENT for a type or a length that the wire does not know. */
muster_status muster_wire_encode(const muster_message *message, void **bytes, size_t *byte_count);

/* Fills *message; on MUSTER_OK the caller ends it with muster_message_clean_up.
 * MUSTER_ERR_VERSION: another wire version (the header's other fields are still filled, so that it
 * can be answered; expected/came say which); MUSTER_ERR_INVALID_ARGUMENT: not a message, error says
 * why; MUSTER_ERR_NO_MEMORY. */
muster_status muster_wire_decode(const void *bytes, size_t byte_count, muster_message *message,
                                 muster_error *error);

#endif
