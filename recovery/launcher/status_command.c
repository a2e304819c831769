/* SPDX-License-Identifier: Apache-2.0 */
/* `muster status`: asks coordinators over their HTTP side. Where none is named, those that `muster run`
 * has started for its jobs on this host; it finds their sockets in the folders of its runs. */
#include "launcher/status_command.h"

#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/http_get.h"
#include "launcher/run_folder.h"
#include "operator/http_address.h"
#include "operator/policy_options.h"

#define STATUS_EXIT_OK 0
#define STATUS_EXIT_USAGE 2
#define STATUS_EXIT_COORDINATOR 4
#define STATUS_RUNS_MAX 64
#define STATUS_TIMEOUT_NS ((int64_t)5000000000)
#define STATUS_WATCH_MS 1000

typedef struct status_command {
    const char *http; /* ADDRESS:PORT or unix:PATH; NULL: the runs of this host */
    bool json;
    bool help;
    bool watch;
    int64_t watch_ms;
} status_command;

static void status_print_help(void)
{
    printf(
        "usage: muster status [--http ADDRESS:PORT] [--json] [--watch[=MS]]\n"
        "Shows the jobs of a coordinator: slots, incarnations, epochs, what each rank does, who\n"
        "waits for whom, verdicts and recoveries.\n\n"
        "  --http [ADDRESS:]PORT of `muster coordinator --http` or `muster run --http`, also\n"
        "                        unix:PATH; else all of this user's `muster run` on this host\n"
        "  --json                as JSON, one line a coordinator\n"
        "  --watch[=MS]          again and again, every second or as given\n\n"
        "Exit codes: 0; 2 wrong options; 4 no coordinator answers, or no run is under way.\n");
}

static int status_usage(const char *sentence)
{
    fprintf(stderr, "muster status: %s\nmuster status: see `muster status --help`\n", sentence);
    return STATUS_EXIT_USAGE;
}

static int status_unknown(const char *argument)
{
    fprintf(stderr,
            "muster status: '%s': unknown, or it lacks its value or takes none\n"
            "muster status: see `muster status --help`\n",
            argument);
    return STATUS_EXIT_USAGE;
}

static int status_parse(status_command *command, int argc, char **argv)
{
    static const struct option options[] = {{"http", required_argument, NULL, 'a'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"watch", optional_argument, NULL, 'w'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option = 0;
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'a':
            command->http = optarg;
            break;
        case 'j':
            command->json = true;
            break;
        case 'w':
            command->watch = true;
            command->watch_ms = STATUS_WATCH_MS;
            if (optarg != NULL && !muster_option_number(optarg, 50, 3600000, &command->watch_ms))
                return status_usage("--watch: expected 50 to 3600000 milliseconds");
            break;
        case 'h':
            command->help = true;
            break;
        default:
            return status_unknown(argv[optind - 1]);
        }
    }
    return optind < argc ? status_usage("it takes options only") : STATUS_EXIT_OK;
}

/* False: it was not shown, for the reason in error. */
static bool status_show(const status_command *command, const char *where, muster_error *error)
{
    muster_http_address address;
    char *body = NULL;
    if (muster_http_address_parse(where, &address, error) != MUSTER_OK ||
        muster_http_get(&address, command->json ? "/status" : "/status.txt", STATUS_TIMEOUT_NS,
                        &body, error) != MUSTER_OK)
        return false;
    printf("%s%s", body, command->json ? "\n" : "");
    free(body);
    return true;
}

static int status_show_runs(const status_command *command)
{
    static char paths[STATUS_RUNS_MAX][MUSTER_RUN_FOLDER_BYTES];
    size_t count = muster_run_folder_list(paths, STATUS_RUNS_MAX);
    size_t shown = 0;
    muster_error error;
    muster_error_init(&error);
    for (size_t i = 0; i < count; i++) {
        char where[MUSTER_RUN_FOLDER_BYTES + 32];
        snprintf(where, sizeof where, "unix:%.*s/" MUSTER_RUN_FOLDER_STATUS,
                 MUSTER_RUN_FOLDER_BYTES, paths[i]);
        if (shown > 0 && !command->json)
            printf("\n");
        /* A run that ends just now, or whose coordinator is somebody else's, is no mistake. */
        shown += status_show(command, where, &error);
    }
    if (shown > 0)
        return STATUS_EXIT_OK;
    if (error.status != MUSTER_OK)
        fprintf(stderr, "muster status: %s\n", error.message);
    else
        fprintf(stderr,
                "muster status: no `muster run` of this user is under way here; name another "
                "coordinator with --http ADDRESS:PORT\n");
    return STATUS_EXIT_COORDINATOR;
}

static int status_once(const status_command *command)
{
    muster_error error;
    muster_error_init(&error);
    if (command->http == NULL)
        return status_show_runs(command);
    if (status_show(command, command->http, &error))
        return STATUS_EXIT_OK;
    fprintf(stderr, "muster status: %s\n", error.message);
    return error.status == MUSTER_ERR_INVALID_ARGUMENT ? STATUS_EXIT_USAGE
                                                       : STATUS_EXIT_COORDINATOR;
}

int muster_status_main(int argc, char **argv)
{
    status_command command = {0};
    int code = status_parse(&command, argc, argv);
    if (code != STATUS_EXIT_OK)
        return code;
    if (command.help) {
        status_print_help();
        return STATUS_EXIT_OK;
    }
    if (!command.watch)
        return status_once(&command);
    /* Until it is interrupted, or nobody reads; a coordinator that is away may come back. */
    bool screen = isatty(STDOUT_FILENO) && !command.json;
    while (fflush(stdout) == 0 && ferror(stdout) == 0) {
        if (screen)
            printf("\033[H\033[2J\033[3J");
        code = status_once(&command);
        if (code == STATUS_EXIT_USAGE)
            return code;
        fflush(stdout);
        poll(NULL, 0, (int)command.watch_ms);
    }
    return STATUS_EXIT_OK;
}
