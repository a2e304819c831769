/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a job as options of a command line: the same names for `muster run` and for
 * `muster coordinator`. Pure: names and values go in, a policy comes out. */
#ifndef MUSTER_OPERATOR_POLICY_OPTIONS_H
#define MUSTER_OPERATOR_POLICY_OPTIONS_H

#include <stdio.h>

#include "core/message.h"

/* X(option, argument, sentence). The deadlines of core/deadlines.h come after them. */
#define MUSTER_POLICY_OPTION_LIST(X) \
    X("on-loss", "replace|shrink", \
      "what follows a loss: a new process (the default), or fewer ranks") \
    X("min-ranks", "N", "give up when fewer can go on (default: all ranks; 1 where it shrinks)") \
    X("max-replacements", "100", "at most this many replacements in the whole job") \
    X("grow", "no|step", \
      "slots that were shrunk away are filled again by spares and late ranks, at a committed " \
      "step") \
    X("crash-loop-deaths", "3", "give up when a slot dies this often without a new committed step")

/* Replace, up to 100 replacements, give up after 3 deaths of a slot at the same step. */
void muster_policy_defaults(muster_policy *policy);

#define MUSTER_POLICY_OPTION_NAME_BYTES 40
#define MUSTER_POLICY_OPTION_ONE(...) 1,
/* How many options there are, deadlines included. */
#define MUSTER_POLICY_OPTION_COUNT \
    ((int)sizeof((const char[]){MUSTER_POLICY_OPTION_LIST(MUSTER_POLICY_OPTION_ONE) \
                                    MUSTER_DEADLINE_LIST(MUSTER_POLICY_OPTION_ONE)}))

typedef struct muster_policy_option_names {
    char names[MUSTER_POLICY_OPTION_COUNT][MUSTER_POLICY_OPTION_NAME_BYTES];
} muster_policy_option_names;

/* All option names without their dashes, as getopt_long wants them. */
void muster_policy_option_names_fill(muster_policy_option_names *names);

/* Sets one by its name. MUSTER_ERR_INVALID_ARGUMENT: the sentence says what was expected. */
muster_status muster_policy_option_set(muster_policy *policy, const char *name, const char *value,
                                       muster_error *error);

/* Rules that contradict each other are refused with their names. */
muster_status muster_policy_check(const muster_policy *policy, muster_error *error);

/* Their part of a --help. */
void muster_policy_options_print(FILE *out);

/* A decimal number in low .. high and nothing after it. False: it is not one. */
bool muster_option_number(const char *text, int64_t low, int64_t high, int64_t *number);

#endif
