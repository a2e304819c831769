/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `muster run`. Pure: arguments go in, options or a sentence come out. */
#ifndef MUSTER_LAUNCHER_RUN_OPTIONS_H
#define MUSTER_LAUNCHER_RUN_OPTIONS_H

#include <stdio.h>

#include "core/message.h"

/* The exit codes of `muster run`. X(name, code, sentence). 128 + N: ended by signal N. */
#define MUSTER_RUN_EXIT_LIST(X) \
    X(OK, 0, "all ranks ended well") \
    X(RANK_FAILED, 1, "a rank failed for good; its own exit code is printed") \
    X(USAGE, 2, "wrong options, or a command that cannot be started") \
    X(GAVE_UP, 3, "the job was given up: too few ranks, or a slot that dies again and again") \
    X(COORDINATOR, 4, "the coordinator does not answer, refuses, or cannot be started") \
    X(SYSTEM, 5, "trouble with the system: memory, processes, descriptors")

typedef enum muster_run_exit {
#define MUSTER_RUN_EXIT_ENUM(name, code, sentence) MUSTER_RUN_EXIT_##name = (code),
    MUSTER_RUN_EXIT_LIST(MUSTER_RUN_EXIT_ENUM)
#undef MUSTER_RUN_EXIT_ENUM
} muster_run_exit;

/* A loss on purpose: the launcher sends signal_number to a slot's rank once a step is committed. */
typedef struct muster_drill {
    bool wanted;
    int32_t slot;
    uint64_t step;
    int signal_number; /* SIGKILL or SIGSTOP */
    bool again;        /* once more, at again_step */
    uint64_t again_step;
} muster_drill;

typedef struct muster_run_options {
    muster_policy policy; /* its slot_count is -n */
    int32_t first_slot;   /* of those that this launcher starts */
    int32_t slot_count;
    int32_t spare_count;
    const char *device_plane; /* "nccl", or NULL: nothing is said of devices */
    int32_t device_count;     /* that the ranks of this host share; 0: each has one of its own */
    const char *job_name;
    const char *coordinator;     /* NULL: one of our own */
    const char *coordinator_key; /* file of its public key, or NULL */
    const char *key_file;        /* of our own and the ranks' secret key, or NULL */
    const char *host_address;    /* of the ranks, for those of other hosts; NULL: found out */
    const char *trace;           /* directory, or NULL */
    const char *report;          /* file, or NULL */
    const char *events;
    const char *http; /* where the job's own coordinator shows its status, or NULL */
    int64_t grace_ns;
    int64_t contact_ns; /* how long a named coordinator may take to answer */
    muster_drill drill;
    bool prefix;
    bool process_namespace; /* where the machine allows it */
    bool help;
    char **command; /* NULL-terminated, in argv */
} muster_run_options;

/* argv[0] is "run". The strings stay argv's. MUSTER_ERR_INVALID_ARGUMENT with a sentence. Permutes
 * nothing: options end at "--" or at the first argument that is none. */
muster_status muster_run_options_parse(muster_run_options *options, int argc, char **argv,
                                       muster_error *error);

/* The device of a rank in `slot`, or of the spare with that number where slot is negative. Ranks have the
 * devices from 0 on in the order of this launcher's slots, spares those behind them. */
int32_t muster_run_options_device(const muster_run_options *options, int32_t slot, uint32_t number);

/* "slot=S,step=N,signal=KILL|STOP[,again=M]". */
muster_status muster_drill_parse(muster_drill *drill, const char *text, muster_error *error);

void muster_run_options_print_help(FILE *out);

#endif
