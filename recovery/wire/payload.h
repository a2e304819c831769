/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of every message's payload, said once for both directions. */
#ifndef MUSTER_RECOVERY_WIRE_PAYLOAD_H
#define MUSTER_RECOVERY_WIRE_PAYLOAD_H

#include "core/message.h"
#include "core/stream.h"

/* Streams the payload of message->type; a type that is none fails the stream. Reading: arrays are
 * allocated into *message even where the stream fails later; muster_message_clean_up frees them. */
void muster_payload_stream(muster_stream *stream, muster_message *message);

#endif
