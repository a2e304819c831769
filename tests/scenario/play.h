/* SPDX-License-Identifier: Apache-2.0 */
/* A play: a core, the processes that speak with it, and the transcript so far. */
#ifndef MUSTER_TESTS_SCENARIO_PLAY_H
#define MUSTER_TESTS_SCENARIO_PLAY_H

#include <stdio.h>

#include "core/core.h"

#define JOB 7u
#define NS_PER_MS ((int64_t)1000000)
#define LINE_BYTES 512
#define WORDS_MAX 40
#define RANKS_MAX 64
#define CLIENTS_MAX 256

typedef struct play_client {
    muster_connection connection;
    char name[24];
    int32_t slot;
    uint32_t incarnation;
    int32_t process_id;
    uint64_t epoch;
    uint64_t epoch_term; /* in which its epoch was agreed */
    uint64_t term;
    uint64_t mark;
    muster_member members[RANKS_MAX];
    int32_t member_count;
    bool launcher;
    int32_t first_slot, slot_count, spare_count;
} play_client;

typedef struct scenario_play {
    const char *path;
    int line_number;
    muster_core *core;
    muster_policy policy;
    int64_t now_ns, next_ns;
    void *saved;
    size_t saved_bytes;
    play_client clients[CLIENTS_MAX];
    int client_count;
    muster_connection last_connection;
    char *out;
    size_t out_bytes;
    FILE *stream;
    bool muted;
} scenario_play;

/* Says where in the file, and ends the program. */
_Noreturn void play_fail(const scenario_play *play, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

play_client *play_client_new(scenario_play *play, const char *name);
/* "2", "2.1", or a spare's name: the latest process that joined there. */
play_client *play_client_rank(scenario_play *play, const char *word);
play_client *play_client_launcher(scenario_play *play, const char *name);

/* "0-3" or "0,1,2.1" into one word a rank; "250ms", "10s". */
int play_ranks_parse(const scenario_play *play, const char *word, char ranks[][16]);
int64_t play_time_parse(const scenario_play *play, const char *word);

/* One turn of the core, into the transcript. */
void play_step(scenario_play *play, const muster_core_event *event);
void play_tick(scenario_play *play);
/* From a process; fills the header as an agent or a launcher would. */
void play_say(scenario_play *play, const play_client *from, muster_message *message);

#endif
