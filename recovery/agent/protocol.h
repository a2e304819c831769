/* SPDX-License-Identifier: Apache-2.0 */
/* A rank's side of the protocol: what it knows of its job, what it makes of the coordinator's words, and
 * what it has to say when. No clock, no socket, no thread: the agent brings `now`, the messages and a
 * way to send; the simulator in tests brings its own of each.
 *
 * The atomics may be read by any thread at any time; all else, and every change, belongs to whoever
 * holds the agent's mutex. */
#ifndef MUSTER_RECOVERY_AGENT_PROTOCOL_H
#define MUSTER_RECOVERY_AGENT_PROTOCOL_H

#include <stdatomic.h>

#include "agent/activity.h"
#include "agent/deaths.h"
#include "agent/outbox.h"

/* A send that found no memory is tried again after this. */
#define MUSTER_PROTOCOL_NO_MEMORY_RETRY_NS ((int64_t)100000000)

/* Unchanging after the start. */
typedef struct muster_protocol_identity {
    const char *coordinator; /* its endpoint, for sentences; borrowed */
    uint64_t job;
    int32_t slot; /* as asked for; MUSTER_SLOT_SPARE_WIRE: a spare */
    int32_t slot_count;
    uint32_t incarnation; /* as asked for; UINT32_MAX: any */
    int32_t process_id;
    uint64_t host;
    muster_blob blob;
} muster_protocol_identity;

typedef struct muster_protocol {
    muster_protocol_identity identity;
    muster_policy policy; /* of the first WELCOME, before which nobody asks */

    atomic_int_fast32_t slot;
    atomic_uint_fast32_t incarnation;
    atomic_uint_fast64_t term;
    atomic_uint_fast64_t epoch; /* of the newest AGREED; 0: none yet */
    atomic_uint_fast64_t revoked_epoch;
    atomic_int standing; /* muster_status */
    muster_activity_marks marks;

    muster_outbox outbox;
    muster_deaths deaths;
    muster_blob blob;
    bool revoke_shown; /* the revoke descriptor should be readable */
    bool joined;       /* welcomed once */
    bool join_pending; /* a JOIN waits for its answer */
    bool contact;      /* the last send found a connection, or something came since */
    bool heard;        /* anything at all came from a coordinator */
    bool leaving;
    bool goodbye; /* the leave was heard */
    int64_t join_due_ns;
    int64_t heartbeat_due_ns;
    int64_t leave_due_ns;
    int64_t connected_due_ns; /* CONNECTED is said again until it is answered */
    muster_error refused;     /* status other than OK: the first join failed; why */
    muster_status ending;     /* what waits return where the standing is not OK */
    char standing_text[MUSTER_NOTE_TEXT_BYTES];
    muster_message agreed; /* the newest; its type is 0 where there is none */
    uint64_t established_epoch;
    char awaited[MUSTER_NOTE_TEXT_BYTES]; /* for whom the job waits, as last heard; may be empty */
} muster_protocol;

void muster_protocol_init(muster_protocol *protocol, const muster_protocol_identity *identity);
void muster_protocol_clean_up(muster_protocol *protocol);

/* An empty message of type with this rank's header. Any thread: atomics only. */
muster_message muster_protocol_header(const muster_protocol *protocol, uint32_t type);

bool muster_protocol_revoked(const muster_protocol *protocol, uint64_t epoch);
muster_status muster_protocol_standing(const muster_protocol *protocol);

/* ---- what the working thread waits for: protocol.c ---- */

/* An AGREED of an epoch greater than after_epoch. True when the wait for it is over: *status is
 * MUSTER_OK, or why this rank takes part no more. */
bool muster_protocol_agreed(const muster_protocol *protocol, uint64_t after_epoch,
                            muster_status *status);
/* The same for ESTABLISHED; MUSTER_ERR_RANK_LOST: epoch was revoked before. */
bool muster_protocol_established(const muster_protocol *protocol, uint64_t epoch,
                                 muster_status *status);

/* ---- what the working thread says: protocol.c ---- */

/* This rank touches nobody's memory any more. Holdings are copied. */
void muster_protocol_quiet(muster_protocol *protocol, uint64_t epoch, uint64_t released_ns,
                           const muster_blob *blob, const muster_holding *holdings,
                           int32_t holding_count);
/* False when memory ran out. */
bool muster_protocol_connected(muster_protocol *protocol, uint64_t epoch);
/* EVIDENCE, COMMITTED or RESUMED, made with muster_protocol_header; taken over. Memory that runs out
 * drops it: each has another way to be noticed (heartbeats carry the committed step; silence and
 * launchers are evidence too). */
void muster_protocol_report(muster_protocol *protocol, muster_message *message);
void muster_protocol_leave(muster_protocol *protocol);
/* No answer to a leave is awaited any more: it was heard, or this rank is out of the job anyway. */
bool muster_protocol_left(const muster_protocol *protocol);

/* ---- what the coordinator says: protocol_hear.c ---- */

typedef struct muster_protocol_heard {
    bool news;     /* it was for us: whoever waits should look again */
    bool wake;     /* sleepers of the working thread must be woken */
    bool pong_due; /* answer with pong, at once: it is not kept */
    muster_message pong;
} muster_protocol_heard;

/* One message; takes over what it keeps of it. The caller cleans *message up afterwards. */
void muster_protocol_hear(muster_protocol *protocol, muster_message *message, int64_t now_ns,
                          muster_protocol_heard *heard);
/* A connection was made anew: everything said or heard over the last one may be lost. */
void muster_protocol_hear_reconnect(muster_protocol *protocol);
/* Something came that is no message for this build. True: whoever waits should look again. */
bool muster_protocol_hear_failure(muster_protocol *protocol, muster_status status,
                                  const muster_error *error, int64_t now_ns);

/* ---- what is due to be said: protocol_speak.c ---- */

/* As muster_link_send: MUSTER_OK; MUSTER_ERR_TIMEOUT: no connection, or no room in it;
 * MUSTER_ERR_NO_MEMORY. */
typedef muster_status muster_protocol_send(void *context, const muster_message *message);

typedef struct muster_protocol_turn {
    int64_t now_ns;
    int64_t next_ns; /* when something is due again */
    bool blocked;    /* something due found no room: wait for room */
    muster_protocol_send *send;
    void *context;
} muster_protocol_turn;

/* Everything that is due, in order. */
void muster_protocol_speak(muster_protocol *protocol, muster_protocol_turn *turn);

#endif
