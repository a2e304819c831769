/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of what messages and saved states have in common. Reading: arrays are allocated into the
 * caller's pointers even where the stream fails later; the caller frees them. Pure. */
#ifndef MUSTER_RECOVERY_CORE_STREAM_FIELDS_H
#define MUSTER_RECOVERY_CORE_STREAM_FIELDS_H

#include "core/message.h"
#include "core/stream.h"

/* A slot number as messages carry it: -2 .. MUSTER_SLOTS_MAX - 1. */
void muster_stream_slot(muster_stream *stream, int32_t *slot);
void muster_stream_blob(muster_stream *stream, muster_blob *blob);
void muster_stream_members(muster_stream *stream, int32_t *count, muster_member **members);
void muster_stream_deaths(muster_stream *stream, int32_t *count, muster_death **deaths);
void muster_stream_holdings(muster_stream *stream, int32_t *count, muster_holding **holdings);
void muster_stream_slots(muster_stream *stream, int32_t *count, int32_t **slots);
/* The same, as runs of slots that follow each other: mostly all slots of a job, but a few. */
void muster_stream_slot_runs(muster_stream *stream, int32_t *count, int32_t **slots);
void muster_stream_policy(muster_stream *stream, muster_policy *policy);

#endif
