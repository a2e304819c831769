/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator in a thread, and peers over real sockets that say what a test wants said. */
#ifndef MUSTER_TEST_COORDINATOR_STAGE_H
#define MUSTER_TEST_COORDINATOR_STAGE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/coordinator.h"
#include "keys/key.h"

#define STAGE_NOTES_MAX 20000
#define STAGE_WAIT_MS 20000

typedef struct stage {
    char folder[64];
    char endpoint[96];
    char journal[96];
    char keys[96]; /* empty: plain */
    char allowed[96];
    muster_coordinator *coordinator;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    muster_note notes[STAGE_NOTES_MAX];
    size_t note_count;
} stage;

int stage_set_up(void **state);
int stage_tear_down(void **state);
muster_status stage_start(stage *on, muster_error *error);
/* Waits until a note of this kind and evidence has come. */
void stage_await_note(stage *on, uint32_t kind, uint32_t evidence);

typedef struct stage_peer {
    void *context;
    void *socket;
} stage_peer;

stage_peer stage_peer_open(const stage *on);
/* keys NULL: plain. */
stage_peer stage_peer_open_keyed(const char *endpoint, const muster_client_keys *keys);
void stage_peer_close(stage_peer *closed);
void stage_peer_send(stage_peer *from, const muster_message *message);
/* The next message of this type; others are passed over. */
muster_message stage_peer_await(stage_peer *to, uint32_t type);

muster_message stage_launcher_join(const char *job, int32_t slot_count);
muster_message stage_rank_join(const char *job, int32_t slot, int32_t slot_count);

#endif
