/* SPDX-License-Identifier: Apache-2.0 */
/* Plays a scenario: a text of commands and the transcript that they must give.
 *
 *   scenario FILE...          compares; says the first line that differs; exit code 1
 *   scenario --write FILE...  writes the transcripts anew: read the diff before you commit it
 *
 * A line that begins with "> " is a command; the indented lines after it are its transcript; everything
 * else is for the reader. A command in parentheses is done without a transcript. Ranks are written SLOT or SLOT.INCARNATION (SLOT alone: the latest process
 * that joined there); RANKS is a list such as 0-3 or 0,1,3. Times are 250ms, 10s.
 *
 *   job [KEY=VALUE...]             slots, on_loss, min_ranks, max_replacements, crash_loop_deaths,
 *                                  and deadlines by name
 *   launcher A slots 0-3 [spares N]         launcher A joins (host 1); A leave, A lost: below
 *   join RANKS [slots N] [process P] [version V]     new processes join
 *   join spare NAME                a spare joins
 *   rejoin RANKS [revoked] [epoch E of RANKS]        they come back on new connections
 *   heartbeat RANKS [waiting C S CALL]      from a thread that computes, or waits
 *   started|exited RANK [code N|signal N]            by the launcher of its slot
 *   dying RANK by RANK             robust futex
 *   late RANK by RANK              batch deadline
 *   quiet RANKS [epoch E] [ring RANKS E:S[c] ...]    holds own and left neighbour's state of a step
 *   connected RANKS | resumed RANKS | leave RANKS | committed RANKS step S
 *   lost RANKS | lost launcher A | gone launcher A   connection lost; launcher leaves
 *   advance TIME [beating RANKS] [waiting C S CALL]  time passes, deadlines fire
 *   pause TIME                     the coordinator itself sleeps
 *   term RANK N                    the rank has seen this term elsewhere
 *   restart | forget               a new term with the journal, or without it
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/version.h>

#include "transcript.h"

#define JOB 7u
#define NS_PER_MS ((int64_t)1000000)
#define LINE_BYTES 512
#define WORDS_MAX 40
#define RANKS_MAX 64
#define CLIENTS_MAX 256

typedef struct client {
    muster_connection connection;
    char name[24];
    int32_t slot;
    uint32_t incarnation;
    int32_t process_id;
    uint64_t epoch;
    uint64_t term;
    uint64_t mark;
    muster_member members[RANKS_MAX];
    int32_t member_count;
    bool launcher;
    int32_t first_slot, slot_count, spare_count;
} client;

typedef struct scenario {
    const char *path;
    int line_number;
    muster_core *core;
    muster_policy policy;
    int64_t now_ns, next_ns;
    void *saved;
    size_t saved_bytes;
    client clients[CLIENTS_MAX];
    int client_count;
    muster_connection last_connection;
    char *out;
    size_t out_bytes;
    FILE *stream;
    bool muted;
} scenario;

static _Noreturn void __attribute__((format(printf, 2, 3)))
fail(const scenario *play, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", play->path, play->line_number);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

/* ---- clients ---- */

static client *client_by_connection(scenario *play, muster_connection connection)
{
    for (int i = 0; i < play->client_count; i++) {
        if (play->clients[i].connection == connection) {
            return &play->clients[i];
        }
    }
    return NULL;
}

static client *client_new(scenario *play, const char *name)
{
    if (play->client_count == CLIENTS_MAX) {
        fail(play, "too many processes");
    }
    client *added = &play->clients[play->client_count++];
    memset(added, 0, sizeof *added);
    snprintf(added->name, sizeof added->name, "%s", name);
    added->connection = ++play->last_connection;
    added->process_id = 1000 + play->client_count;
    return added;
}

static client *client_launcher(scenario *play, const char *name)
{
    for (int i = 0; i < play->client_count; i++) {
        if (play->clients[i].launcher && strcmp(play->clients[i].name, name) == 0) {
            return &play->clients[i];
        }
    }
    fail(play, "no launcher %s", name);
}

/* "2", "2.1" or "spare NAME" in one word ("sNAME"). The latest process that joined there. */
static client *client_rank(scenario *play, const char *word)
{
    char *end;
    long slot = strtol(word, &end, 10);
    bool named = end == word;
    bool exact = !named && *end == '.';
    unsigned long incarnation = exact ? strtoul(end + 1, NULL, 10) : 0;
    client *found = NULL;
    for (int i = 0; i < play->client_count; i++) {
        client *candidate = &play->clients[i];
        if (named) {
            if (strcmp(candidate->name, word) == 0) {
                return candidate;
            }
        } else if (!candidate->launcher && candidate->slot == slot &&
                   (!exact || candidate->incarnation == incarnation) &&
                   (!found || found->incarnation == UINT32_MAX ||
                    (candidate->incarnation != UINT32_MAX &&
                     candidate->incarnation >= found->incarnation))) {
            found = candidate;
        }
    }
    if (!found) {
        fail(play, "no process '%s' has joined", word);
    }
    return found;
}

static int ranks_parse(const scenario *play, const char *word, char ranks[][16])
{
    int count = 0;
    char copy[LINE_BYTES];
    snprintf(copy, sizeof copy, "%s", word);
    char *save = NULL;
    for (char *part = strtok_r(copy, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
        char *dash = strchr(part, '-');
        int first = atoi(part);
        int last = dash ? atoi(dash + 1) : first;
        for (int slot = first; slot <= last; slot++) {
            if (count == RANKS_MAX) {
                fail(play, "too many ranks");
            }
            if (dash) {
                snprintf(ranks[count++], 16, "%d", slot);
            } else {
                snprintf(ranks[count++], 16, "%s", part);
            }
        }
    }
    return count;
}

static int64_t time_parse(const scenario *play, const char *word)
{
    char *end;
    long long value = strtoll(word, &end, 10);
    if (strcmp(end, "ms") == 0) {
        return value * NS_PER_MS;
    }
    if (strcmp(end, "s") == 0) {
        return value * 1000 * NS_PER_MS;
    }
    fail(play, "'%s' is no time", word);
}

/* ---- the transcript ---- */

/* What the clients learn from it, as an agent would. */
static void learn(scenario *play, const muster_core_action *action)
{
    client *to = client_by_connection(play, action->connection);
    const muster_message *message = &action->message;
    if (!to || to->launcher) {
        return;
    }
    to->term = message->term;
    if (message->type == MUSTER_MESSAGE_AGREED ||
        (message->type == MUSTER_MESSAGE_WELCOME && message->slot >= 0)) {
        to->slot = message->slot;
        to->incarnation = message->incarnation;
        snprintf(to->name, sizeof to->name, "%d.%u", to->slot, to->incarnation);
    }
    if (message->type == MUSTER_MESSAGE_AGREED) {
        to->epoch = message->epoch;
        to->member_count = message->u.agreed.member_count;
        for (int32_t i = 0; i < to->member_count && i < RANKS_MAX; i++) {
            to->members[i] = message->u.agreed.members[i];
        }
    }
}

static void show(scenario *play, const muster_core_actions *actions)
{
    for (size_t i = 0; i < actions->count;) {
        const muster_core_action *action = &actions->items[i];
        char line[TRANSCRIPT_LINE_BYTES];
        if (play->muted) {
            learn(play, action);
            i++;
            continue;
        }
        transcript_action(line, sizeof line, action);
        fprintf(play->stream, "  %6lldms  ", (long long)(play->now_ns / NS_PER_MS));
        size_t same = i;
        if (action->kind == MUSTER_CORE_SEND) {
            /* The same message to several in a row is one line. */
            for (; same < actions->count && actions->items[same].kind == MUSTER_CORE_SEND; same++) {
                char other[TRANSCRIPT_LINE_BYTES];
                transcript_action(other, sizeof other, &actions->items[same]);
                if (strcmp(line, other) != 0) {
                    break;
                }
                learn(play, &actions->items[same]);
                client *to = client_by_connection(play, actions->items[same].connection);
                fprintf(play->stream, "%s%s", same == i ? "to " : ", ", to ? to->name : "nobody");
            }
            fprintf(play->stream, ": ");
        } else {
            same++;
        }
        fprintf(play->stream, "%s\n", line);
        i = same;
    }
}

static void step(scenario *play, const muster_core_event *event)
{
    if (!play->core) {
        fail(play, "begin with 'job'");
    }
    muster_core_actions actions;
    muster_core_actions_init(&actions);
    play->next_ns = muster_core_step(play->core, play->now_ns, event, &actions);
    show(play, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        if (actions.items[i].kind == MUSTER_CORE_PERSIST) {
            free(play->saved);
            if (muster_core_save(play->core, &play->saved, &play->saved_bytes) != MUSTER_OK) {
                fail(play, "save failed");
            }
        }
    }
    muster_core_actions_clean_up(&actions);
}

static void tick(scenario *play)
{
    step(play, &(muster_core_event){.kind = MUSTER_CORE_TICK});
}

static void say(scenario *play, const client *from, muster_message *message)
{
    message->job = JOB;
    message->term = from->term;
    if (message->type != MUSTER_MESSAGE_QUIET && message->type != MUSTER_MESSAGE_EXITED &&
        message->type != MUSTER_MESSAGE_STARTED) {
        message->epoch = from->epoch;
    }
    if (!from->launcher && message->type != MUSTER_MESSAGE_JOIN) {
        message->slot = from->slot;
        message->incarnation = from->incarnation;
    }
    step(play, &(muster_core_event){.kind = MUSTER_CORE_MESSAGE,
                                    .connection = from->connection,
                                    .message = message});
}

/* ---- commands ---- */

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
        if (strcmp(words[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static void command_job(scenario *play, char **words, int count)
{
    muster_policy *policy = &play->policy;
    memset(policy, 0, sizeof *policy);
    policy->on_loss = MUSTER_ON_LOSS_REPLACE;
    policy->slot_count = 4;
    policy->max_replacements = 100;
    policy->crash_loop_deaths = 3;
    muster_deadlines_defaults(&policy->deadlines);
    for (int i = 1; i < count; i++) {
        char *value = strchr(words[i], '=');
        if (!value) {
            fail(play, "expected KEY=VALUE, came '%s'", words[i]);
        }
        *value++ = '\0';
        muster_error error;
        muster_error_init(&error);
        if (strcmp(words[i], "slots") == 0) {
            policy->slot_count = atoi(value);
        } else if (strcmp(words[i], "on_loss") == 0) {
            policy->on_loss =
                strcmp(value, "shrink") == 0 ? MUSTER_ON_LOSS_SHRINK : MUSTER_ON_LOSS_REPLACE;
        } else if (strcmp(words[i], "min_ranks") == 0) {
            policy->min_ranks = atoi(value);
        } else if (strcmp(words[i], "max_replacements") == 0) {
            policy->max_replacements = atoi(value);
        } else if (strcmp(words[i], "crash_loop_deaths") == 0) {
            policy->crash_loop_deaths = atoi(value);
        } else if (muster_deadlines_set(&policy->deadlines, words[i],
                                        time_parse(play, value) / NS_PER_MS, &error)) {
            fail(play, "%s", error.message);
        }
    }
    play->core = muster_core_new(JOB, 1, policy);
    tick(play);
}

static void command_launcher(scenario *play, char **words, int count)
{
    client *launcher = NULL;
    for (int i = 0; i < play->client_count && !launcher; i++) {
        if (play->clients[i].launcher && strcmp(play->clients[i].name, words[1]) == 0) {
            launcher = &play->clients[i]; /* it comes back on a new connection */
            launcher->connection = ++play->last_connection;
        }
    }
    if (!launcher) {
        launcher = client_new(play, words[1]);
    }
    launcher->launcher = true;
    const char *slots = word_after(words, count, "slots");
    const char *spares = word_after(words, count, "spares");
    char ranks[RANKS_MAX][16];
    launcher->slot_count = slots ? ranks_parse(play, slots, ranks) : 0;
    launcher->first_slot = slots ? atoi(slots) : 0;
    launcher->spare_count = spares ? atoi(spares) : 0;
    muster_message message = {.type = MUSTER_MESSAGE_LAUNCHER_JOIN, .slot = MUSTER_SLOT_NONE};
    message.u.launcher_join.process_id = launcher->process_id;
    message.u.launcher_join.host = 1;
    message.u.launcher_join.first_slot = launcher->first_slot;
    message.u.launcher_join.slot_count = launcher->slot_count;
    message.u.launcher_join.spare_count = launcher->spare_count;
    message.u.launcher_join.policy = play->policy;
    say(play, launcher, &message);
}

static void join_fill(const scenario *play, const client *joiner, muster_message *message)
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

static void command_join(scenario *play, char **words, int count)
{
    muster_message message;
    if (strcmp(words[1], "spare") == 0) {
        client *spare = client_new(play, words[2]);
        spare->slot = MUSTER_SLOT_SPARE_WIRE;
        join_fill(play, spare, &message);
        say(play, spare, &message);
        return;
    }
    char ranks[RANKS_MAX][16];
    int rank_count = ranks_parse(play, words[1], ranks);
    const char *slots = word_after(words, count, "slots");
    const char *process = word_after(words, count, "process");
    const char *version = word_after(words, count, "version");
    for (int i = 0; i < rank_count; i++) {
        const char *dot = strchr(ranks[i], '.');
        char name[24];
        snprintf(name, sizeof name, "%.15s%s", ranks[i], dot ? "" : ".?");
        client *rank = client_new(play, name);
        rank->slot = atoi(ranks[i]);
        rank->incarnation = dot ? (uint32_t)atoi(dot + 1) : UINT32_MAX;
        if (process) {
            rank->process_id = atoi(process);
        }
        join_fill(play, rank, &message);
        if (slots) {
            message.u.join.slot_count = atoi(slots);
        }
        if (version) {
            message.u.join.library_version = (uint32_t)atoi(version);
        }
        say(play, rank, &message);
    }
}

static void command_rejoin(scenario *play, char **words, int count)
{
    char ranks[RANKS_MAX][16];
    int rank_count = ranks_parse(play, words[1], ranks);
    const char *epoch = word_after(words, count, "epoch");
    const char *of = word_after(words, count, "of");
    for (int i = 0; i < rank_count; i++) {
        client *rank = client_rank(play, ranks[i]);
        rank->connection = ++play->last_connection;
        if (epoch) {
            rank->epoch = strtoull(epoch, NULL, 10);
        }
        muster_message message;
        join_fill(play, rank, &message);
        message.u.join.rejoin = true;
        message.u.join.revoked = word_there(words, count, "revoked");
        message.u.join.member_count = rank->member_count;
        if (of) {
            char members[RANKS_MAX][16];
            message.u.join.member_count = rank->member_count = ranks_parse(play, of, members);
            for (int k = 0; k < rank->member_count; k++) {
                const client *member = client_rank(play, members[k]);
                rank->members[k] = (muster_member){.slot = member->slot,
                                                   .incarnation = member->incarnation,
                                                   .process_id = member->process_id,
                                                   .host = 1};
            }
        }
        message.u.join.members = rank->members;
        say(play, rank, &message);
    }
}

static void heartbeat(scenario *play, client *rank, char **words, int count)
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
    }
    activity->progress_mark = activity->waiting ? rank->mark : ++rank->mark;
    say(play, rank, &message);
}

static void holdings_add(scenario *play, muster_message *message, const client *rank,
                         char ring[][16], int ring_count, const char *step)
{
    unsigned long long epoch;
    unsigned long long number;
    char committed = ' ';
    if (sscanf(step, "%llu:%llu%c", &epoch, &number, &committed) < 2) {
        fail(play, "expected EPOCH:STEP, came '%s'", step);
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

static void command_quiet(scenario *play, char **words, int count)
{
    char ranks[RANKS_MAX][16];
    int rank_count = ranks_parse(play, words[1], ranks);
    const char *epoch = word_after(words, count, "epoch");
    for (int i = 0; i < rank_count; i++) {
        client *rank = client_rank(play, ranks[i]);
        muster_holding holdings[WORDS_MAX * 2];
        muster_message message = {.type = MUSTER_MESSAGE_QUIET};
        message.epoch = epoch ? strtoull(epoch, NULL, 10) : rank->epoch;
        message.u.quiet.released_ns = (uint64_t)play->now_ns;
        message.u.quiet.holdings = holdings;
        for (int k = 2; k < count; k++) {
            if (strcmp(words[k], "ring") != 0) {
                continue;
            }
            char ring[RANKS_MAX][16];
            int ring_count = ranks_parse(play, words[k + 1], ring);
            for (int s = k + 2; s < count && strchr(words[s], ':'); s++) {
                holdings_add(play, &message, rank, ring, ring_count, words[s]);
            }
        }
        say(play, rank, &message);
    }
}

static void command_process(scenario *play, char **words, int count)
{
    const client *launcher = NULL;
    bool exited = strcmp(words[0], "exited") == 0;
    const char *code = word_after(words, count, "code");
    const char *signal = word_after(words, count, "signal");
    char *dot = strchr(words[1], '.');
    int32_t slot = atoi(words[1]);
    for (int i = 0; i < play->client_count; i++) {
        const client *candidate = &play->clients[i];
        if (candidate->launcher && slot >= candidate->first_slot &&
            slot < candidate->first_slot + candidate->slot_count) {
            launcher = candidate;
        }
    }
    if (!launcher) {
        fail(play, "slot %d has no launcher", slot);
    }
    muster_message message = {.type = exited ? MUSTER_MESSAGE_EXITED : MUSTER_MESSAGE_STARTED,
                              .slot = slot};
    message.incarnation = dot ? (uint32_t)atoi(dot + 1) : client_rank(play, words[1])->incarnation;
    message.u.process.wait_status = code ? atoi(code) << 8 : signal ? atoi(signal) : 0;
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
    say(play, launcher, &message);
}

static void command_evidence(scenario *play, char **words, int count)
{
    if (count < 4) {
        fail(play, "expected RANK by RANK");
    }
    const client *accused = client_rank(play, words[1]);
    muster_message message = {.type = MUSTER_MESSAGE_EVIDENCE};
    message.u.evidence.evidence = strcmp(words[0], "dying") == 0 ? MUSTER_EVIDENCE_ROBUST_FUTEX
                                                                 : MUSTER_EVIDENCE_BATCH_DEADLINE;
    message.u.evidence.accused_slot = accused->slot;
    message.u.evidence.accused_incarnation = accused->incarnation;
    say(play, client_rank(play, words[3]), &message);
}

/* Messages that need nothing but a sender. */
static bool command_simple(scenario *play, char **words, int count)
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
        int rank_count = ranks_parse(play, words[1], ranks);
        for (int k = 0; k < rank_count; k++) {
            client *rank = client_rank(play, ranks[k]);
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
            say(play, rank, &message);
        }
        return true;
    }
    return false;
}

static void command_lost(scenario *play, char **words)
{
    if (strcmp(words[1], "launcher") == 0) {
        client *launcher = client_launcher(play, words[2]);
        if (strcmp(words[0], "gone") == 0) {
            muster_message message = {.type = MUSTER_MESSAGE_LAUNCHER_LEAVE,
                                      .slot = MUSTER_SLOT_NONE};
            say(play, launcher, &message);
            return;
        }
        step(play, &(muster_core_event){.kind = MUSTER_CORE_CONNECTION_LOST,
                                        .connection = launcher->connection});
        return;
    }
    char ranks[RANKS_MAX][16];
    int rank_count = ranks_parse(play, words[1], ranks);
    for (int i = 0; i < rank_count; i++) {
        client *rank = client_rank(play, ranks[i]);
        step(play, &(muster_core_event){.kind = MUSTER_CORE_CONNECTION_LOST,
                                        .connection = rank->connection});
    }
}

static void launchers_beat(scenario *play)
{
    for (int i = 0; i < play->client_count; i++) {
        if (play->clients[i].launcher) {
            muster_message message = {.type = MUSTER_MESSAGE_LAUNCHER_HEARTBEAT,
                                      .slot = MUSTER_SLOT_NONE};
            say(play, &play->clients[i], &message);
        }
    }
}

static void command_advance(scenario *play, char **words, int count)
{
    int64_t until = play->now_ns + time_parse(play, words[1]);
    const char *beating = word_after(words, count, "beating");
    char ranks[RANKS_MAX][16];
    int rank_count = beating ? ranks_parse(play, beating, ranks) : 0;
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
                heartbeat(play, client_rank(play, ranks[i]), words, count);
            }
            if (!silent_launchers) {
                launchers_beat(play);
            }
            beat += period;
        }
        tick(play);
    }
    play->now_ns = until;
}

static void command_restart(scenario *play, bool journal)
{
    uint64_t term = muster_core_term(play->core);
    muster_core_free(play->core);
    muster_error error;
    muster_error_init(&error);
    play->core = journal ? muster_core_restore(play->saved, play->saved_bytes, term + 1, &error)
                         : muster_core_new(JOB, 1, &play->policy);
    if (!play->core) {
        fail(play, "%s", error.message);
    }
    tick(play);
}

static void command(scenario *play, char *text)
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
        fail(play, "an empty command");
    }
    const char *verb = words[0];
    if (strcmp(verb, "job") == 0) {
        command_job(play, words, count);
    } else if (strcmp(verb, "restart") == 0) {
        command_restart(play, true);
    } else if (strcmp(verb, "forget") == 0) {
        command_restart(play, false);
    } else if (count < 2) {
        fail(play, "'%s' needs more words", verb);
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
    } else if (strcmp(verb, "dying") == 0 || strcmp(verb, "late") == 0) {
        command_evidence(play, words, count);
    } else if (strcmp(verb, "lost") == 0 || strcmp(verb, "gone") == 0) {
        command_lost(play, words);
    } else if (strcmp(verb, "advance") == 0) {
        command_advance(play, words, count);
    } else if (strcmp(verb, "term") == 0) {
        client_rank(play, words[1])->term = strtoull(words[count - 1], NULL, 10);
    } else if (strcmp(verb, "pause") == 0) {
        play->now_ns += time_parse(play, words[1]);
        tick(play);
    } else if (!command_simple(play, words, count)) {
        fail(play, "unknown command '%s'", verb);
    }
}

/* ---- files ---- */

static char *file_read(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(2);
    }
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    int character;
    while ((character = fgetc(file)) != EOF) {
        fputc(character, memory);
    }
    fclose(memory);
    fclose(file);
    return text;
}

static int compare(const char *path, const char *expected, const char *came)
{
    int line = 1;
    while (*expected || *came) {
        size_t expected_length = strcspn(expected, "\n");
        size_t came_length = strcspn(came, "\n");
        if (expected_length != came_length || strncmp(expected, came, came_length) != 0) {
            fprintf(stderr, "%s:%d:\n  expected: %.*s\n  came:     %.*s\n", path, line,
                    (int)expected_length, expected, (int)came_length, came);
            return 1;
        }
        expected += expected_length + (expected[expected_length] != '\0');
        came += came_length + (came[came_length] != '\0');
        line++;
    }
    return 0;
}

static int play_file(const char *path, bool write)
{
    char *text = file_read(path);
    scenario play = {.path = path, .next_ns = INT64_MAX};
    play.stream = open_memstream(&play.out, &play.out_bytes);
    const char *rest = text;
    while (*rest) {
        size_t length = strcspn(rest, "\n");
        char line[LINE_BYTES];
        play.line_number++;
        if (strncmp(rest, "  ", 2) != 0) { /* transcript lines are made anew */
            fprintf(play.stream, "%.*s\n", (int)length, rest);
        }
        if (strncmp(rest, "> ", 2) == 0) {
            play.muted = rest[2] == '(' && length > 4;
            if (play.muted) {
                snprintf(line, sizeof line, "%.*s", (int)length - 4, rest + 3);
            } else {
                snprintf(line, sizeof line, "%.*s", (int)length - 2, rest + 2);
            }
            command(&play, line);
            fprintf(play.stream, "  = %s, epoch %llu\n", muster_core_state_text(play.core),
                    (unsigned long long)muster_core_epoch(play.core));
        }
        rest += length + (rest[length] == '\n');
    }
    fclose(play.stream);
    int result = 0;
    if (write) {
        FILE *file = fopen(path, "w");
        if (!file || fputs(play.out, file) < 0 || fclose(file) != 0) {
            perror(path);
            result = 2;
        }
    } else {
        result = compare(path, text, play.out);
    }
    muster_core_free(play.core);
    free(play.saved);
    free(play.out);
    free(text);
    return result;
}

int main(int argc, char **argv)
{
    bool write = argc > 1 && strcmp(argv[1], "--write") == 0;
    int result = argc > 1 + write ? 0 : 2;
    for (int i = 1 + write; i < argc; i++) {
        int one = play_file(argv[i], write);
        result = one > result ? one : result;
    }
    return result;
}
