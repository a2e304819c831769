/* SPDX-License-Identifier: Apache-2.0 */
#include "play.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/difference.h"
#include "transcript.h"

void play_fail(const scenario_play *play, const char *format, ...)
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

static play_client *play_client_by_connection(scenario_play *play, muster_connection connection)
{
    for (int i = 0; i < play->client_count; i++) {
        if (play->clients[i].connection == connection) {
            return &play->clients[i];
        }
    }
    return NULL;
}

play_client *play_client_new(scenario_play *play, const char *name)
{
    if (play->client_count == CLIENTS_MAX) {
        play_fail(play, "too many processes");
    }
    play_client *added = &play->clients[play->client_count++];
    memset(added, 0, sizeof *added);
    snprintf(added->name, sizeof added->name, "%s", name);
    added->connection = ++play->last_connection;
    added->process_id = 1000 + play->client_count;
    return added;
}

play_client *play_client_launcher(scenario_play *play, const char *name)
{
    for (int i = 0; i < play->client_count; i++) {
        if (play->clients[i].launcher && strcmp(play->clients[i].name, name) == 0) {
            return &play->clients[i];
        }
    }
    play_fail(play, "no launcher %s", name);
}

/* "2", "2.1" or "spare NAME" in one word ("sNAME"). The latest process that joined there. */
play_client *play_client_rank(scenario_play *play, const char *word)
{
    char *end;
    long slot = strtol(word, &end, 10);
    bool named = end == word;
    bool exact = !named && *end == '.';
    unsigned long incarnation = exact ? strtoul(end + 1, NULL, 10) : 0;
    play_client *found = NULL;
    for (int i = 0; i < play->client_count; i++) {
        play_client *candidate = &play->clients[i];
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
        play_fail(play, "no process '%s' has joined", word);
    }
    return found;
}

int play_ranks_parse(const scenario_play *play, const char *word, char ranks[][16])
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
                play_fail(play, "too many ranks");
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

int64_t play_time_parse(const scenario_play *play, const char *word)
{
    char *end;
    long long value = strtoll(word, &end, 10);
    if (strcmp(end, "ms") == 0) {
        return value * NS_PER_MS;
    }
    if (strcmp(end, "s") == 0) {
        return value * 1000 * NS_PER_MS;
    }
    play_fail(play, "'%s' is no time", word);
}

/* ---- the transcript ---- */

/* What the clients learn from it, as an agent would. */
/* As an agent does. */
static void play_learn_members(play_client *to, const muster_message *message)
{
    const muster_difference difference = {
        .changed_count = message->u.agreed.member_count,
        .changed = message->u.agreed.members,
        .without_count = message->u.agreed.without_count,
        .without = message->u.agreed.without,
        .members_hash = message->u.agreed.members_hash,
    };
    const muster_member *members = message->u.agreed.members;
    int32_t member_count = message->u.agreed.member_count;
    muster_member *whole = NULL;
    if (message->u.agreed.base_epoch != 0) {
        MUSTER_ASSERT(to->epoch == message->u.agreed.base_epoch);
        muster_status status = muster_difference_apply(to->members, to->member_count, &difference,
                                                       &whole, &member_count);
        MUSTER_ASSERT(status == MUSTER_OK);
        members = whole;
    }
    MUSTER_ASSERT(member_count <= RANKS_MAX);
    to->epoch = message->epoch;
    to->epoch_term = message->term;
    to->member_count = member_count;
    for (int32_t i = 0; i < member_count; i++) {
        to->members[i] = members[i];
    }
    free(whole);
}

static void play_learn(scenario_play *play, const muster_core_action *action)
{
    play_client *to = play_client_by_connection(play, action->connection);
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
        play_learn_members(to, message);
    }
}

static void play_show(scenario_play *play, const muster_core_actions *actions)
{
    for (size_t i = 0; i < actions->count;) {
        const muster_core_action *action = &actions->items[i];
        char line[TRANSCRIPT_LINE_BYTES];
        if (play->muted) {
            play_learn(play, action);
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
                play_learn(play, &actions->items[same]);
                play_client *to = play_client_by_connection(play, actions->items[same].connection);
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

void play_step(scenario_play *play, const muster_core_event *event)
{
    if (!play->core) {
        play_fail(play, "begin with 'job'");
    }
    muster_core_actions actions;
    muster_core_actions_init(&actions);
    play->next_ns = muster_core_step(play->core, play->now_ns, event, &actions);
    play_show(play, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        if (actions.items[i].kind == MUSTER_CORE_PERSIST) {
            free(play->saved);
            if (muster_core_save(play->core, &play->saved, &play->saved_bytes) != MUSTER_OK) {
                play_fail(play, "save failed");
            }
        }
    }
    muster_core_actions_clean_up(&actions);
}

void play_tick(scenario_play *play)
{
    play_step(play, &(muster_core_event){.kind = MUSTER_CORE_TICK});
}

void play_say(scenario_play *play, const play_client *from, muster_message *message)
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
    play_step(play, &(muster_core_event){.kind = MUSTER_CORE_MESSAGE,
                                         .connection = from->connection,
                                         .message = message});
}
