/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include <muster/version.h>

static const char *word_after(char **words, int count, const char *key)
{
    for (int i = 0; i + 1 < count; i++) {
        if (strcmp(words[i], key) == 0) {
            return words[i + 1];
        }
    }
    return NULL;
}

static bool word_there(char **words, int count, const char *key)
{
    for (int i = 0; i < count; i++) {
        if (words[i] && strcmp(words[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static void command_job(scenario_play *play, char **words, int count)
{
    muster_policy *policy = &play->policy;
    memset(policy, 0, sizeof *policy);
    policy->on_loss = MUSTER_ON_LOSS_REPLACE;
    policy->slot_count = 4;
    policy->max_replacements = 100;
    policy->crash_loop_deaths = 3;
    muster_deadlines_defaults(&policy->deadlines);
    uint64_t term = 1;
    for (int i = 1; i < count; i++) {
        char *value = strchr(words[i], '=');
        if (!value) {
            play_fail(play, "expected KEY=VALUE, came '%s'", words[i]);
        }
        *value++ = '\0';
        muster_error error;
        muster_error_init(&error);
        if (strcmp(words[i], "term") == 0) {
            term = strtoull(value, NULL, 10);
        } else if (strcmp(words[i], "slots") == 0) {
            policy->slot_count = atoi(value);
        } else if (strcmp(words[i], "on_loss") == 0) {
            policy->on_loss =
                strcmp(value, "shrink") == 0 ? MUSTER_ON_LOSS_SHRINK : MUSTER_ON_LOSS_REPLACE;
        } else if (strcmp(words[i], "min_ranks") == 0) {
            policy->min_ranks = atoi(value);
        } else if (strcmp(words[i], "max_replacements") == 0) {
            policy->max_replacements = atoi(value);
        } else if (strcmp(words[i], "grow") == 0) {
            policy->grow = strcmp(value, "step") == 0;
        } else if (strcmp(words[i], "crash_loop_deaths") == 0) {
            policy->crash_loop_deaths = atoi(value);
        } else if (muster_deadlines_set(&policy->deadlines, words[i],
                                        play_time_parse(play, value) / NS_PER_MS, &error)) {
            play_fail(play, "%s", error.message);
        }
    }
    muster_core_free(play->core); /* the job before this one is over */
    play->core = muster_core_new(JOB, term, policy);
    play_tick(play);
}

static void command_launcher(scenario_play *play, char **words, int count)
{
    play_client *launcher = NULL;
    for (int i = 0; i < play->client_count && !launcher; i++) {
        if (play->clients[i].launcher && strcmp(play->clients[i].name, words[1]) == 0) {
            launcher = &play->clients[i]; /* it comes back on a new connection */
            launcher->connection = ++play->last_connection;
        }
    }
    if (!launcher) {
        launcher = play_client_new(play, words[1]);
    }
    launcher->launcher = true;
    const char *slots = word_after(words, count, "slots");
    const char *spares = word_after(words, count, "spares");
    char ranks[RANKS_MAX][16];
    launcher->slot_count = slots ? play_ranks_parse(play, slots, ranks) : 0;
    launcher->first_slot = slots ? atoi(slots) : 0;
    launcher->spare_count = spares ? atoi(spares) : 0;
    muster_message message = {.type = MUSTER_MESSAGE_LAUNCHER_JOIN, .slot = MUSTER_SLOT_NONE};
    message.u.launcher_join.process_id = launcher->process_id;
    message.u.launcher_join.host = 1;
    message.u.launcher_join.first_slot = launcher->first_slot;
    message.u.launcher_join.slot_count = launcher->slot_count;
    message.u.launcher_join.spare_count = launcher->spare_count;
    message.u.launcher_join.policy = play->policy;
    const char *epoch = word_after(words, count, "epoch"); /* that it has heard of */
    if (epoch) {
        launcher->epoch = strtoull(epoch, NULL, 10);
        launcher->term = 1;
    }
    play_say(play, launcher, &message);
}

static void join_fill(const scenario_play *play, const play_client *joiner, muster_message *message)
{
    memset(message, 0, sizeof *message);
    message->type = MUSTER_MESSAGE_JOIN;
    message->slot = joiner->slot;
    message->incarnation = joiner->incarnation;
    message->u.join.library_version = MUSTER_VERSION;
    message->u.join.slot_count = play->policy.slot_count;
    message->u.join.process_id = joiner->process_id;
    message->u.join.host = 1;
}

static void command_join(scenario_play *play, char **words, int count)
{
    muster_message message;
    if (strcmp(words[1], "spare") == 0) {
        play_client *spare = play_client_new(play, words[2]);
        spare->slot = MUSTER_SLOT_SPARE_WIRE;
        join_fill(play, spare, &message);
        play_say(play, spare, &message);
        return;
    }
    char ranks[RANKS_MAX][16];
    int rank_count = play_ranks_parse(play, words[1], ranks);
    const char *slots = word_after(words, count, "slots");
    const char *process = word_after(words, count, "process");
    const char *version = word_after(words, count, "version");
    const char *host = word_after(words, count, "host");
    for (int i = 0; i < rank_count; i++) {
        const char *dot = strchr(ranks[i], '.');
        char name[24];
        snprintf(name, sizeof name, "%.15s%s", ranks[i], dot ? "" : ".?");
        play_client *rank = play_client_new(play, name);
        rank->slot = atoi(ranks[i]);
        rank->incarnation = dot ? (uint32_t)atoi(dot + 1) : UINT32_MAX;
        if (process) {
            rank->process_id = atoi(process);
        }
        join_fill(play, rank, &message);
        if (slots) {
            message.u.join.slot_count = atoi(slots);
        }
        if (host) {
            message.u.join.host = strtoull(host, NULL, 10);
        }
        if (version) {
            message.u.join.library_version = (uint32_t)atoi(version);
        }
        play_say(play, rank, &message);
    }
}

static void command_rejoin(scenario_play *play, char **words, int count)
{
    char ranks[RANKS_MAX][16];
    int rank_count = play_ranks_parse(play, words[1], ranks);
    const char *epoch = word_after(words, count, "epoch");
    const char *of = word_after(words, count, "of");
    for (int i = 0; i < rank_count; i++) {
        play_client *rank = play_client_rank(play, ranks[i]);
        rank->connection = ++play->last_connection;
        if (epoch) {
            rank->epoch = strtoull(epoch, NULL, 10);
        }
        muster_message message;
        join_fill(play, rank, &message);
        message.u.join.rejoin = true;
        message.u.join.epoch_term = rank->epoch_term;
        message.u.join.revoked = word_there(words, count, "revoked");
        message.u.join.member_count = rank->member_count;
        if (of) {
            char members[RANKS_MAX][16];
            message.u.join.member_count = rank->member_count = play_ranks_parse(play, of, members);
            for (int k = 0; k < rank->member_count; k++) {
                const play_client *member = play_client_rank(play, members[k]);
                rank->members[k] = (muster_member){.slot = member->slot,
                                                   .incarnation = member->incarnation,
                                                   .process_id = member->process_id,
                                                   .host = 1};
            }
        }
        message.u.join.members = rank->members;
        play_say(play, rank, &message);
    }
}

static void heartbeat(scenario_play *play, play_client *rank, char **words, int count)
{
    muster_message message = {.type = MUSTER_MESSAGE_HEARTBEAT};
    muster_activity *activity = &message.u.heartbeat.activity;
    for (int i = 0; i + 3 < count; i++) {
        if (strcmp(words[i], "waiting") == 0) {
            activity->waiting = true;
            activity->communicator = strtoull(words[i + 1], NULL, 10);
            activity->sequence = strtoull(words[i + 2], NULL, 10);
            activity->call = (uint32_t)atoi(words[i + 3]);
        }
        if (strcmp(words[i], "behind") == 0) {
            activity->completed_calls = rank->mark + 1;
            activity->last_communicator = strtoull(words[i + 1], NULL, 10);
            activity->last_sequence = strtoull(words[i + 2], NULL, 10);
            activity->last_call = (uint32_t)atoi(words[i + 3]);
        }
    }
    bool stands = activity->waiting || word_there(words, count, "hung");
    activity->progress_mark = stands ? rank->mark : ++rank->mark;
    const char *step = word_after(words, count, "step"); /* that it saw committed last */
    activity->has_committed_step = step != NULL;
    activity->committed_step = step ? strtoull(step, NULL, 10) : 0;
    const char *epoch = word_after(words, count, "epoch"); /* said then, and heard only now */
    if (!epoch) {
        play_say(play, rank, &message);
        return;
    }
    const uint64_t epoch_now = rank->epoch;
    rank->epoch = strtoull(epoch, NULL, 10);
    play_say(play, rank, &message);
    rank->epoch = epoch_now;
}

static void holdings_add(scenario_play *play, muster_message *message, const play_client *rank,
                         char ring[][16], int ring_count, const char *step)
{
    unsigned long long epoch;
    unsigned long long number;
    char committed = ' ';
    if (sscanf(step, "%llu:%llu%c", &epoch, &number, &committed) < 2) {
        play_fail(play, "expected EPOCH:STEP, came '%s'", step);
    }
    for (int at = 0; at < ring_count; at++) {
        if (atoi(ring[at]) != rank->slot) {
            continue;
        }
        int32_t left = atoi(ring[(at + ring_count - 1) % ring_count]);
        for (int mirror = 0; mirror < 2; mirror++) {
            message->u.quiet.holdings[message->u.quiet.holding_count++] =
                (muster_holding){.slot = mirror ? left : rank->slot,
                                 .epoch = epoch,
                                 .step = number,
                                 .mirror = mirror == 1,
                                 .committed = committed == 'c'};
        }
    }
}

static void command_quiet(scenario_play *play, char **words, int count)
{
    char ranks[RANKS_MAX][16];
    int rank_count = play_ranks_parse(play, words[1], ranks);
    const char *epoch = word_after(words, count, "epoch");
    for (int i = 0; i < rank_count; i++) {
        play_client *rank = play_client_rank(play, ranks[i]);
        muster_holding holdings[WORDS_MAX * 2];
        muster_message message = {.type = MUSTER_MESSAGE_QUIET};
        message.epoch = epoch ? strtoull(epoch, NULL, 10) : rank->epoch;
        message.u.quiet.released_ns = (uint64_t)play->now_ns;
        message.u.quiet.members_epoch = word_after(words, count, "knows") != NULL
                                            ? strtoull(word_after(words, count, "knows"), NULL, 10)
                                            : rank->epoch;
        message.u.quiet.holdings = holdings;
        for (int k = 2; k < count; k++) {
            if (strcmp(words[k], "ring") != 0) {
                continue;
            }
            char ring[RANKS_MAX][16];
            int ring_count = play_ranks_parse(play, words[k + 1], ring);
            for (int s = k + 2; s < count && strchr(words[s], ':'); s++) {
                holdings_add(play, &message, rank, ring, ring_count, words[s]);
            }
        }
        play_say(play, rank, &message);
    }
}

static void command_process(scenario_play *play, char **words, int count)
{
    const play_client *launcher = NULL;
    bool exited = strcmp(words[0], "exited") == 0;
    const char *code = word_after(words, count, "code");
    const char *signal = word_after(words, count, "signal");
    char *dot = strchr(words[1], '.');
    int32_t slot = atoi(words[1]);
    for (int i = 0; i < play->client_count; i++) {
        const play_client *candidate = &play->clients[i];
        if (candidate->launcher && slot >= candidate->first_slot &&
            slot < candidate->first_slot + candidate->slot_count) {
            launcher = candidate;
        }
    }
    if (!launcher) {
        play_fail(play, "slot %d has no launcher", slot);
    }
    muster_message message = {.type = exited ? MUSTER_MESSAGE_EXITED : MUSTER_MESSAGE_STARTED,
                              .slot = slot};
    message.incarnation =
        dot ? (uint32_t)atoi(dot + 1) : play_client_rank(play, words[1])->incarnation;
    message.u.process.wait_status = code ? atoi(code) << 8 : signal ? atoi(signal) : 0;
    message.u.process.member = word_there(words, count, "member");
    for (int i = 0; i < play->client_count; i++) {
        if (!play->clients[i].launcher && play->clients[i].slot == slot &&
            play->clients[i].incarnation == message.incarnation) {
            message.u.process.process_id = play->clients[i].process_id;
        }
    }
    const char *process = word_after(words, count, "process");
    if (process) {
        message.u.process.process_id = atoi(process);
    }
    play_say(play, launcher, &message);
}

static void command_evidence(scenario_play *play, char **words, int count)
{
    if (count < 4) {
        play_fail(play, "expected RANK by RANK");
    }
    const play_client *accused = play_client_rank(play, words[1]);
    muster_message message = {.type = MUSTER_MESSAGE_EVIDENCE};
    message.u.evidence.evidence = strcmp(words[0], "dying") == 0 ? MUSTER_EVIDENCE_ROBUST_FUTEX
                                  : strcmp(words[0], "unreachable") == 0
                                      ? MUSTER_EVIDENCE_CONNECTION_LOST
                                      : MUSTER_EVIDENCE_BATCH_DEADLINE;
    message.u.evidence.accused_slot = accused->slot;
    message.u.evidence.accused_incarnation = accused->incarnation;
    if (count >= 8 && strcmp(words[4], "in") == 0) {
        message.u.evidence.communicator = strtoull(words[5], NULL, 10);
        message.u.evidence.sequence = strtoull(words[6], NULL, 10);
        message.u.evidence.call = (uint32_t)atoi(words[7]);
    }
    play_say(play, play_client_rank(play, words[3]), &message);
}

/* Messages that need nothing but a sender. */
static bool command_simple(scenario_play *play, char **words, int count)
{
    static const struct {
        const char *word;
        uint32_t type;
    } simple[] = {{"connected", MUSTER_MESSAGE_CONNECTED},
                  {"resumed", MUSTER_MESSAGE_RESUMED},
                  {"leave", MUSTER_MESSAGE_LEAVE},
                  {"committed", MUSTER_MESSAGE_COMMITTED},
                  {"heartbeat", MUSTER_MESSAGE_HEARTBEAT}};
    for (size_t i = 0; i < sizeof simple / sizeof simple[0]; i++) {
        if (strcmp(words[0], simple[i].word) != 0) {
            continue;
        }
        char ranks[RANKS_MAX][16];
        int rank_count = play_ranks_parse(play, words[1], ranks);
        for (int k = 0; k < rank_count; k++) {
            play_client *rank = play_client_rank(play, ranks[k]);
            if (simple[i].type == MUSTER_MESSAGE_HEARTBEAT) {
                heartbeat(play, rank, words, count);
                continue;
            }
            muster_message message = {.type = simple[i].type};
            if (simple[i].type == MUSTER_MESSAGE_COMMITTED) {
                const char *step_word = word_after(words, count, "step");
                message.u.committed.step = step_word ? strtoull(step_word, NULL, 10) : 0;
            } else if (simple[i].type == MUSTER_MESSAGE_RESUMED) {
                message.u.resumed.returned_ns = (uint64_t)play->now_ns;
            }
            play_say(play, rank, &message);
        }
        return true;
    }
    return false;
}

static void command_lost(scenario_play *play, char **words)
{
    if (strcmp(words[1], "launcher") == 0) {
        play_client *launcher = play_client_launcher(play, words[2]);
        if (strcmp(words[0], "gone") == 0) {
            muster_message message = {.type = MUSTER_MESSAGE_LAUNCHER_LEAVE,
                                      .slot = MUSTER_SLOT_NONE};
            play_say(play, launcher, &message);
            return;
        }
        play_step(play, &(muster_core_event){.kind = MUSTER_CORE_CONNECTION_LOST,
                                             .connection = launcher->connection});
        return;
    }
    char ranks[RANKS_MAX][16];
    int rank_count = play_ranks_parse(play, words[1], ranks);
    for (int i = 0; i < rank_count; i++) {
        play_client *rank = play_client_rank(play, ranks[i]);
        play_step(play, &(muster_core_event){.kind = MUSTER_CORE_CONNECTION_LOST,
                                             .connection = rank->connection});
    }
}

static void launchers_beat(scenario_play *play)
{
    for (int i = 0; i < play->client_count; i++) {
        if (play->clients[i].launcher) {
            muster_message message = {.type = MUSTER_MESSAGE_LAUNCHER_HEARTBEAT,
                                      .slot = MUSTER_SLOT_NONE};
            play_say(play, &play->clients[i], &message);
        }
    }
}

static void command_advance(scenario_play *play, char **words, int count)
{
    int64_t until = play->now_ns + play_time_parse(play, words[1]);
    const char *beating = word_after(words, count, "beating");
    char ranks[RANKS_MAX][16];
    int rank_count = beating ? play_ranks_parse(play, beating, ranks) : 0;
    bool silent_launchers = word_there(words, count, "without-launchers");
    int64_t period = play->policy.deadlines.heartbeat_ns;
    int64_t beat = play->now_ns + period;
    for (;;) {
        int64_t next = play->next_ns < beat ? play->next_ns : beat;
        if (next > until) {
            break;
        }
        play->now_ns = next > play->now_ns ? next : play->now_ns;
        if (play->now_ns == beat) {
            for (int i = 0; i < rank_count; i++) {
                heartbeat(play, play_client_rank(play, ranks[i]), words, count);
            }
            if (!silent_launchers) {
                launchers_beat(play);
            }
            beat += period;
        }
        play_tick(play);
    }
    play->now_ns = until;
}

static void command_restart(scenario_play *play, bool journal)
{
    uint64_t term = muster_core_term(play->core);
    muster_core_free(play->core);
    muster_error error;
    muster_error_init(&error);
    play->core = journal ? muster_core_restore(play->saved, play->saved_bytes, term + 1, &error)
                         : muster_core_new(JOB, 1, &play->policy);
    if (!play->core) {
        play_fail(play, "%s", error.message);
    }
    play_tick(play);
}

void commands_do(scenario_play *play, char *text)
{
    char none[] = "";
    char *words[WORDS_MAX];
    int count = 0;
    for (int i = 0; i < WORDS_MAX; i++) {
        words[i] = none; /* a word that is missing is empty */
    }
    char *save = NULL;
    for (char *word = strtok_r(text, " ", &save); word && count < WORDS_MAX;
         word = strtok_r(NULL, " ", &save)) {
        words[count++] = word;
    }
    if (count == 0) {
        play_fail(play, "an empty command");
    }
    const char *verb = words[0];
    if (strcmp(verb, "job") == 0) {
        command_job(play, words, count);
    } else if (strcmp(verb, "restart") == 0) {
        command_restart(play, true);
    } else if (strcmp(verb, "forget") == 0) {
        command_restart(play, false);
    } else if (count < 2) {
        play_fail(play, "'%s' needs more words", verb);
    } else if (strcmp(verb, "launcher") == 0) {
        command_launcher(play, words, count);
    } else if (strcmp(verb, "join") == 0) {
        command_join(play, words, count);
    } else if (strcmp(verb, "rejoin") == 0) {
        command_rejoin(play, words, count);
    } else if (strcmp(verb, "quiet") == 0) {
        command_quiet(play, words, count);
    } else if (strcmp(verb, "started") == 0 || strcmp(verb, "exited") == 0) {
        command_process(play, words, count);
    } else if (strcmp(verb, "dying") == 0 || strcmp(verb, "late") == 0 ||
               strcmp(verb, "unreachable") == 0) {
        command_evidence(play, words, count);
    } else if (strcmp(verb, "lost") == 0 || strcmp(verb, "gone") == 0) {
        command_lost(play, words);
    } else if (strcmp(verb, "advance") == 0) {
        command_advance(play, words, count);
    } else if (strcmp(verb, "term") == 0) {
        play_client_rank(play, words[1])->term = strtoull(words[count - 1], NULL, 10);
    } else if (strcmp(verb, "pause") == 0) {
        play->now_ns += play_time_parse(play, words[1]);
        play_tick(play);
    } else if (!command_simple(play, words, count)) {
        play_fail(play, "unknown command '%s'", verb);
    }
}
