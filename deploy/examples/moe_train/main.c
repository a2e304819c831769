/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <muster/muster.h>

#include "exit_codes.h"
#include "options.h"
#include "trainer.h"

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

/* Where the device is stuck, freeing anything, or CUDA's own end of the process, could wait for ever. */
static void end_now(int exit_code)
{
    fflush(stdout);
    fflush(stderr);
    _exit(exit_code);
}

static int train(struct trainer *trainer)
{
    muster_error error;
    muster_error_init(&error);
    muster_status status = muster_job_join(NULL, &trainer->job, &error);
    if (status != MUSTER_OK) {
        fprintf(stderr, "moe_train: cannot join the job: %s: %s\n", muster_status_name(status),
                error.message);
        return status == MUSTER_ERR_FENCED ? EXIT_FENCED : EXIT_NOT_JOINED;
    }
    int exit_code = EXIT_FAILED;
    status = trainer_make(trainer);
    if (status == MUSTER_OK) {
        exit_code = trainer_run(trainer);
    } else {
        fprintf(stderr, "moe_train: %s: %s\n", muster_status_name(status), trainer->error.message);
    }
    if (exit_code == EXIT_DEVICE_STUCK) {
        end_now(exit_code);
    }
    trainer_free(trainer);
    /* At worst the coordinator finds out by itself. */
    if (muster_job_leave(trainer->job, NULL) == MUSTER_ERR_DEVICE_STUCK) {
        end_now(exit_code);
    }
    device_close(&trainer->device);
    return exit_code;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* a line at a time, into a pipe too */
    struct options options;
    if (!options_read(argc, argv, &options)) {
        return EXIT_BAD_INPUT;
    }
    if (options.help) {
        options_print_help();
        return EXIT_DONE;
    }
    struct trainer trainer = {.options = &options, .stop_asked = &stop_asked};
    if (!text_read(options.text_path, MODEL_CONTEXT + 1, &trainer.text)) {
        return EXIT_BAD_INPUT;
    }
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = ask_to_stop;
    sigaction(SIGTERM, &action, NULL);
    int exit_code = train(&trainer);
    text_free(&trainer.text);
    return exit_code;
}
