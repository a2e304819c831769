/* SPDX-License-Identifier: Apache-2.0 */
/* Plays a scenario: a text of commands and the transcript that they must give.
 *
 *   scenario FILE...          compares; says the first line that differs; exit code 1
 *   scenario --expect-difference FILE...  exit code 0 where each of them differs: a rule was taken out of the core
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
 *   heartbeat RANKS behind C S CALL         from one that computes, and has completed that call
 *   heartbeat RANKS hung                    from one whose progress mark stands still
 *   started|exited RANK [code N|signal N] [member]   by the launcher of its slot, which knows of an epoch with it
 *   dying RANK by RANK             robust futex
 *   late RANK by RANK [in C S CALL]  batch deadline, of that call
 *   quiet RANKS [epoch E] [ring RANKS E:S[c] ...]    holds own and left neighbour's state of a step
 *   connected RANKS | resumed RANKS | leave RANKS | committed RANKS step S
 *   lost RANKS | lost launcher A | gone launcher A   connection lost; launcher leaves
 *   advance TIME [beating RANKS] [waiting C S CALL]  time passes, deadlines fire
 *   pause TIME                     the coordinator itself sleeps
 *   term RANK N                    the rank has seen this term elsewhere
 *   restart | forget               a new term with the journal, or without it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

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
    scenario_play play = {.path = path, .next_ns = INT64_MAX};
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
            commands_do(&play, line);
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
    bool differs = argc > 1 && strcmp(argv[1], "--expect-difference") == 0;
    int first = write || differs ? 2 : 1;
    int result = argc > first ? 0 : 2;
    for (int i = first; i < argc; i++) {
        int one = play_file(argv[i], write);
        if (differs && one < 2) {
            one = 1 - one;
        }
        result = one > result ? one : result;
    }
    return result;
}
