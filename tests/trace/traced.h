/* SPDX-License-Identifier: Apache-2.0 */
/* Starting traced processes as a launcher does, and reading back what they traced. */
#ifndef MUSTER_TESTS_TRACE_TRACED_H
#define MUSTER_TESTS_TRACE_TRACED_H

#include <stdio.h>
#include <sys/types.h>

#include "tracing/postmortem/records.h"
#include "tracing/session/session.h"

typedef struct traced_process {
    pid_t process_id;
    int input;    /* closing it ends the process */
    FILE *output; /* its lines */
    int32_t slot;
    uint32_t incarnation;
} traced_process;

/* Forks, makes the session, lets the child go. set NULL: untraced by any session of ours. Fails the
 * test where that does not work. */
traced_process traced_start(muster_session_set *set, int32_t slot, uint32_t incarnation,
                            const char *batches);
/* Its next line, into line; asserts that there is one. */
void traced_line(traced_process *process, char line[256]);
/* Reads on until the line "done N" and returns N. */
uint64_t traced_done(traced_process *process);
/* Ends its input, reads "done N" where wanted, reaps it; returns its wait status. */
int traced_end(traced_process *process, uint64_t *done);
/* SIGKILL, and reaps. */
void traced_kill(traced_process *process);

/* A new directory below /tmp, and its removal with all that is in it. */
void traced_directory_make(char path[64]);
void traced_directory_remove(const char *path);

/* Everything below directory/traces, sorted; asserts that it can be read. */
void traced_read(const char *directory, muster_records *records);
/* How many events of that kind a slot's incarnation has. */
size_t traced_count(const muster_records *records, int32_t slot, uint32_t incarnation,
                    muster_record_kind kind);
/* The last one of that kind, NULL for none. */
const muster_event_record *traced_last(const muster_records *records, int32_t slot,
                                       uint32_t incarnation, muster_record_kind kind);

/* For a test program that is run by root: becomes another user with a daemon folder of its own, so
 * that it neither disturbs nor is disturbed by the machine's daemon. A user keeps being that user,
 * with a folder of its own. False (with a line that says why): this machine cannot. home gets the
 * folder, to be removed. */
bool traced_become_isolated_user(char home[64]);

#endif
