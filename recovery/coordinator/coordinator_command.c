/* SPDX-License-Identifier: Apache-2.0 */
/* `muster coordinator`: options, signals, exit codes. */
#include "coordinator/coordinator.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "coordinator/descriptors.h"
#include "coordinator/peers.h"
#include "operator/endpoint.h"
#include "operator/policy_options.h"

#define COORDINATOR_EXIT_OK 0
#define COORDINATOR_EXIT_USAGE 2
#define COORDINATOR_EXIT_SYSTEM 5

typedef struct coordinator_command {
    muster_coordinator_options options;
    int ready_fd;
    bool parent_death;
    bool help;
} coordinator_command;

enum {
    COORDINATOR_OPTION_BIND = 1000,
    COORDINATOR_OPTION_JOURNAL,
    COORDINATOR_OPTION_NO_SYNC,
    COORDINATOR_OPTION_COPIED,
    COORDINATOR_OPTION_KEYS,
    COORDINATOR_OPTION_ALLOWED,
    COORDINATOR_OPTION_HTTP,
    COORDINATOR_OPTION_EVENTS,
    COORDINATOR_OPTION_READY_FD,
    COORDINATOR_OPTION_PARENT_DEATH,
    COORDINATOR_OPTION_TRACE,
    COORDINATOR_OPTION_HELP,
    COORDINATOR_OPTION_POLICY /* and those after it */
};

static const struct option coordinator_options[] = {
    {"bind", required_argument, NULL, COORDINATOR_OPTION_BIND},
    {"journal", required_argument, NULL, COORDINATOR_OPTION_JOURNAL},
    {"journal-no-sync", no_argument, NULL, COORDINATOR_OPTION_NO_SYNC},
    {"journal-copied", no_argument, NULL, COORDINATOR_OPTION_COPIED},
    {"keys", required_argument, NULL, COORDINATOR_OPTION_KEYS},
    {"allowed", required_argument, NULL, COORDINATOR_OPTION_ALLOWED},
    {"http", required_argument, NULL, COORDINATOR_OPTION_HTTP},
    {"events", required_argument, NULL, COORDINATOR_OPTION_EVENTS},
    {"ready-fd", required_argument, NULL, COORDINATOR_OPTION_READY_FD},
    {"parent-death", no_argument, NULL, COORDINATOR_OPTION_PARENT_DEATH},
    {"trace", no_argument, NULL, COORDINATOR_OPTION_TRACE},
    {"help", no_argument, NULL, COORDINATOR_OPTION_HELP},
};
#define COORDINATOR_OPTION_COUNT (sizeof coordinator_options / sizeof coordinator_options[0])

static void coordinator_print_help(void)
{
    printf(
        "usage: muster coordinator --bind ENDPOINT [options]\n"
        "Keeps the membership of jobs: hears their ranks, gives verdicts, forms epochs.\n\n"
        "  --bind ENDPOINT              tcp://HOST:PORT, tcp://*:*, or ipc://PATH\n"
        "  --journal FILE               what must survive a restart; made where missing\n"
        "  --journal-no-sync            it need not outlive the machine: wait for no disk\n"
        "  --keys FILE                  its secret key (see `muster keys`): others need one, too\n"
        "  --allowed FILE               the public keys that it serves; read again on a change\n"
        "  --http [ADDRESS:]PORT        show its status there (page, JSON, metrics): read only, "
        "and\n"
        "                               on this machine unless ADDRESS says otherwise; also\n"
        "                               unix:PATH; may be given more than once\n"
        "  --events FILE                append what happens, as JSON lines\n"
        "  --trace                      record what happens with LTTng\n"
        "  --ready-fd N                 write the bound endpoint and a newline to descriptor N\n"
        "  --parent-death               end when the process that started it ends\n\n"
        "Rules of jobs that no launcher brings:\n");
    muster_policy_options_print(stdout);
    printf("\nExit codes: 0 ended by SIGTERM or SIGINT; 2 wrong options, an endpoint that is\n"
           "malformed or taken, a journal that is damaged or held; 5 trouble with the system.\n");
}

static int coordinator_usage(const char *sentence)
{
    fprintf(stderr, "muster coordinator: %s\n", sentence);
    fprintf(stderr, "muster coordinator: see `muster coordinator --help`\n");
    return COORDINATOR_EXIT_USAGE;
}

static int coordinator_unknown(const char *written)
{
    char sentence[160];
    snprintf(sentence, sizeof sentence,
             "option %.60s is unknown, ambiguous, lacks its value or takes none", written);
    return coordinator_usage(sentence);
}

/* One option that is no rule of a job. False: its value is unusable. */
static bool coordinator_take_option(coordinator_command *command, int option, const char *value)
{
    int64_t number = 0;
    switch (option) {
    case COORDINATOR_OPTION_BIND:
        command->options.endpoint = value;
        return true;
    case COORDINATOR_OPTION_JOURNAL:
        command->options.journal = value;
        return true;
    case COORDINATOR_OPTION_NO_SYNC:
        command->options.journal_no_sync = true;
        return true;
    case COORDINATOR_OPTION_COPIED:
        command->options.journal_copied = true;
        return true;
    case COORDINATOR_OPTION_KEYS:
        command->options.keys = value;
        return true;
    case COORDINATOR_OPTION_ALLOWED:
        command->options.allowed = value;
        return true;
    case COORDINATOR_OPTION_HTTP:
        if (command->options.http_count == MUSTER_COORDINATOR_HTTP_MAX)
            return false;
        command->options.http[command->options.http_count++] = value;
        return true;
    case COORDINATOR_OPTION_EVENTS:
        command->options.events = value;
        return true;
    case COORDINATOR_OPTION_READY_FD:
        if (!muster_option_number(value, 0, INT32_MAX, &number))
            return false;
        command->ready_fd = (int)number;
        return true;
    case COORDINATOR_OPTION_PARENT_DEATH:
        command->parent_death = true;
        return true;
    case COORDINATOR_OPTION_TRACE:
        command->options.trace = true;
        return true;
    default:
        command->help = true;
        return true;
    }
}

static int coordinator_parse(coordinator_command *command, int argc, char **argv)
{
    muster_policy_option_names names;
    struct option options[COORDINATOR_OPTION_COUNT + MUSTER_POLICY_OPTION_COUNT + 1];
    muster_error error;
    memset(options, 0, sizeof options);
    memcpy(options, coordinator_options, sizeof coordinator_options);
    muster_policy_option_names_fill(&names);
    for (int i = 0; i < MUSTER_POLICY_OPTION_COUNT; i++) {
        options[COORDINATOR_OPTION_COUNT + (size_t)i] =
            (struct option){names.names[i], required_argument, NULL, COORDINATOR_OPTION_POLICY + i};
    }
    muster_error_init(&error);
    optind = 1;
    opterr = 0; /* it would say "coordinator:" and no more */
    for (;;) {
        int option = getopt_long(argc, argv, "h", options, NULL);
        if (option == -1)
            break;
        if (option == '?')
            return coordinator_unknown(argv[optind - 1]);
        if (option >= COORDINATOR_OPTION_POLICY) {
            const char *name = names.names[option - COORDINATOR_OPTION_POLICY];
            if (muster_policy_option_set(&command->options.policy, name, optarg, &error) !=
                MUSTER_OK)
                return coordinator_usage(error.message);
        } else if (!coordinator_take_option(command, option, optarg)) {
            return coordinator_usage(option == COORDINATOR_OPTION_HTTP
                                         ? "--http: at most 4 addresses"
                                         : "--ready-fd: expected the number of an open "
                                           "descriptor");
        }
    }
    if (optind < argc)
        return coordinator_usage("it takes options only");
    if (command->options.endpoint == NULL && !command->help)
        return coordinator_usage("--bind is missing: say where to listen, such as "
                                 "--bind tcp://*:7400");
    return COORDINATOR_EXIT_OK;
}

static void coordinator_say_ready(int fd, const char *endpoint)
{
    char line[512];
    int length = snprintf(line, sizeof line, "%s\n", endpoint);
    if (write(fd, line, (size_t)length) != length)
        fprintf(stderr, "muster coordinator: --ready-fd %d: %s\n", fd, strerror(errno));
    close(fd);
}

static void coordinator_say_refused(const muster_coordinator *coordinator)
{
    char text[2048];
    const muster_refusals refusals = muster_coordinator_refusals(coordinator);
    muster_refusals_text(&refusals, text, sizeof text);
    if (text[0] != '\0')
        fprintf(stderr, "muster coordinator: refused: %s\n", text);
}

/* Sockets of this machine's own need no line: `muster status` finds them. */
static void coordinator_say_shown(const muster_coordinator *coordinator)
{
    const char *at = NULL;
    for (size_t i = 0; (at = muster_coordinator_http(coordinator, i)) != NULL; i++) {
        if (strncmp(at, "http:", strlen("http:")) == 0)
            fprintf(stderr, "muster coordinator: its status is at %s\n", at);
    }
}

static int coordinator_exit_code(muster_status status)
{
    if (status == MUSTER_OK)
        return COORDINATOR_EXIT_OK;
    bool usage = status == MUSTER_ERR_INVALID_ARGUMENT || status == MUSTER_ERR_ENVIRONMENT;
    return usage ? COORDINATOR_EXIT_USAGE : COORDINATOR_EXIT_SYSTEM;
}

static int coordinator_run(coordinator_command *command)
{
    muster_coordinator *coordinator = NULL;
    muster_error error;
    sigset_t signals;
    muster_error_init(&error);
    /* Blocked before ZeroMQ starts its threads, so that only the signalfd hears them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    command->options.stop_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (command->options.stop_fd < 0) {
        fprintf(stderr, "muster coordinator: signalfd: %s\n", strerror(errno));
        return COORDINATOR_EXIT_SYSTEM;
    }
    signal(SIGPIPE, SIG_IGN);
    muster_descriptors_raise(MUSTER_PEERS_MAX + MUSTER_DESCRIPTORS_OWN);
    muster_status status = muster_coordinator_open(&command->options, &coordinator, &error);
    if (status == MUSTER_OK) {
        coordinator_say_shown(coordinator);
        if (command->ready_fd >= 0)
            coordinator_say_ready(command->ready_fd, muster_coordinator_endpoint(coordinator));
        else
            fprintf(stderr, "muster coordinator: ranks find it at %s\n",
                    muster_coordinator_endpoint(coordinator));
        if (command->options.keys == NULL &&
            !muster_endpoint_stays_here(muster_coordinator_endpoint(coordinator)))
            fprintf(stderr, "muster coordinator: no --keys: whoever reaches this endpoint can take "
                            "part in every job, and end it (see `muster keys --help`)\n");
        status = muster_coordinator_serve(coordinator, &error);
        coordinator_say_refused(coordinator);
    }
    if (status != MUSTER_OK)
        fprintf(stderr, "muster coordinator: %s\n", error.message);
    muster_coordinator_stop(coordinator);
    close(command->options.stop_fd);
    return coordinator_exit_code(status);
}

int muster_coordinator_main(int argc, char **argv)
{
    coordinator_command command = {.ready_fd = -1};
    muster_coordinator_options_init(&command.options);
    int code = coordinator_parse(&command, argc, argv);
    if (code != COORDINATOR_EXIT_OK)
        return code;
    if (command.help) {
        coordinator_print_help();
        return COORDINATOR_EXIT_OK;
    }
    if (command.parent_death)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return coordinator_run(&command);
}
