/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's word with the coordinator: who it is, what its processes do. Nothing here blocks.
 * A message that finds no connection is not kept: whenever the coordinator asks again who we are
 * (REJOIN), the launcher tells everything anew. */
#ifndef MUSTER_LAUNCHER_CONTROL_H
#define MUSTER_LAUNCHER_CONTROL_H

#include "agent/link.h"

typedef struct muster_control {
    muster_link link;
    muster_message join; /* LAUNCHER_JOIN, as it is sent again and again */
    uint64_t job;
    uint64_t term;  /* the highest seen; 0: none yet */
    uint64_t epoch; /* likewise: a coordinator that lost its journal must not use it again */
    bool welcomed;
    int64_t heard_ns;
    int64_t reached_ns;   /* when a message last found a connection */
    int64_t join_sent_ns; /* the last that found a connection */
    int64_t join_tried_ns;
    char trouble[MUSTER_NOTE_TEXT_BYTES]; /* what came instead of an answer; empty: nothing */
    int64_t heartbeat_sent_ns;
    int64_t heartbeat_ns; /* how often */
} muster_control;

typedef struct muster_control_facts {
    const char *job_name;
    const char *coordinator_key; /* file; NULL, both: plain */
    const char *key_file;
    int32_t first_slot;
    int32_t slot_count;
    int32_t spare_count;
    const muster_policy *policy;
} muster_control_facts;

/* Connects without waiting. MUSTER_ERR_INVALID_ARGUMENT: the endpoint; MUSTER_ERR_SYSTEM. */
muster_status muster_control_open(muster_control *control, const char *endpoint,
                                  const muster_control_facts *facts, muster_error *error);
/* Says that we leave, where somebody hears it; bounded by linger_ms. */
void muster_control_close(muster_control *control, int linger_ms);

/* Joins until it was welcomed, then heartbeats. Returns when it wants to be called next. */
int64_t muster_control_turn(muster_control *control, int64_t now_ns);
/* The coordinator does not know us (any more). */
void muster_control_rejoin(muster_control *control, int64_t now_ns);

/* STARTED or EXITED. False: nobody is there to hear it now. */
bool muster_control_send_process(muster_control *control, muster_message_type type, int32_t slot,
                                 uint32_t incarnation, int32_t process_id, int wait_status,
                                 int64_t time_ns);
/* EXITED, of a process that is known to have been in an epoch. */
bool muster_control_send_member_exited(muster_control *control, int32_t slot, uint32_t incarnation,
                                       int32_t process_id, int wait_status, int64_t time_ns);

/* The next message of this job and of the current or a higher term; false: none. To be ended with
 * muster_message_clean_up. */
bool muster_control_receive(muster_control *control, int64_t now_ns, muster_message *message);

#endif
