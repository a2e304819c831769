/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/run_options.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <muster/job.h>

#include "base/error.h"
#include "operator/endpoint.h"
#include "operator/http_address.h"
#include "operator/policy_options.h"

#define NS_PER_MS ((int64_t)1000000)
#define RUN_MS_MAX ((int64_t)86400000)
#define RUN_GRACE_MS 10000
#define RUN_CONTACT_MS 10000
#define RUN_SPARES_MAX 1024

/* X(NAME, option, argument or NULL, sentence) */
#define RUN_OPTION_LIST(X) \
    X(RANKS, "ranks", "N", "as -n N: how many ranks the job has") \
    X(SLOTS, "slots", "A-B", "start only slots A to B here; other launchers start the rest") \
    X(SPARES, "spares", "N", "keep N processes waiting to take a lost slot") \
    X(DEVICE, "device", "nccl", "ranks have a device plane; slot A + i of this host has device i") \
    X(DEVICES, "devices", "N", "with --device: ranks share N devices, slot A + i has i modulo N") \
    X(JOB, "job", "NAME", "the job's name at the coordinator (job)") \
    X(COORDINATOR, "coordinator", "ENDPOINT", "use this one (else one is started for the job)") \
    X(HOST_ADDRESS, "host-address", "ADDRESS", \
      "where other hosts reach this one (the local address of the route to the coordinator)") \
    X(COORDINATOR_KEY, "coordinator-key", "FILE", "its public key, where it asks for keys") \
    X(KEY_FILE, "key-file", "FILE", "the secret key of this launcher and its ranks, then") \
    X(CONTACT, "contact-ms", "10000", "how long that one may take to answer") \
    X(TRACE, "trace", "DIR", "flight recorder of every rank, job.json and events.jsonl into DIR") \
    X(REPORT, "report", "FILE", "how long each recovery took, as JSON") \
    X(EVENTS, "events", "FILE", "append what happens, as JSON lines") \
    X(HTTP, "http", "[ADDRESS:]PORT", \
      "show the job's status there: page, JSON, metrics; read only") \
    X(GRACE, "grace-ms", "10000", "from a signal that ends the job to SIGKILL") \
    X(DRILL, "drill", "slot=S,step=N,signal=KILL|STOP[,again=M]", \
      "lose slot S on purpose once step N is committed (and again at step M)") \
    X(NO_PREFIX, "no-prefix", NULL, "do not put [slot.incarnation] before lines of output") \
    X(NO_NAMESPACE, "no-pid-namespace", NULL, "give ranks no PID namespace of their own") \
    X(HELP, "help", NULL, "this text")

enum {
    RUN_OPTION_FIRST = 1000,
#define RUN_OPTION_ENUM(name, option, argument, sentence) RUN_OPTION_##name,
    RUN_OPTION_LIST(RUN_OPTION_ENUM)
#undef RUN_OPTION_ENUM
        RUN_OPTION_POLICY /* and those after it */
};

#define RUN_OPTION_COUNT ((size_t)(RUN_OPTION_POLICY - RUN_OPTION_FIRST - 1))

#define RUN_REFUSE(error, ...) \
    muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0, __VA_ARGS__)

static muster_status run_set_ms(int64_t *field_ns, const char *name, const char *value,
                                muster_error *error)
{
    int64_t ms = 0;
    if (!muster_option_number(value, 0, RUN_MS_MAX, &ms))
        return RUN_REFUSE(error, "--%s: expected 0 to %lld milliseconds, came '%.60s'", name,
                          (long long)RUN_MS_MAX, value);
    *field_ns = ms * NS_PER_MS;
    return muster_error_set_ok(error);
}

static muster_status run_set_count(int32_t *field, const char *name, int64_t low, int64_t high,
                                   const char *value, muster_error *error)
{
    int64_t number = 0;
    if (!muster_option_number(value, low, high, &number))
        return RUN_REFUSE(error, "%s: expected a number from %lld to %lld, came '%.60s'", name,
                          (long long)low, (long long)high, value);
    *field = (int32_t)number;
    return muster_error_set_ok(error);
}

static muster_status run_set_slots(muster_run_options *options, const char *value,
                                   muster_error *error)
{
    char text[64];
    int64_t first = 0;
    int64_t last = 0;
    snprintf(text, sizeof text, "%s", value);
    char *dash = strchr(text, '-');
    if (dash != NULL)
        *dash = '\0';
    const char *second = dash != NULL ? dash + 1 : text;
    if (strlen(value) >= sizeof text ||
        !muster_option_number(text, 0, MUSTER_SLOTS_MAX - 1, &first) ||
        !muster_option_number(second, first, MUSTER_SLOTS_MAX - 1, &last))
        return RUN_REFUSE(error, "--slots: expected A-B such as 0-3, came '%.60s'", value);
    options->first_slot = (int32_t)first;
    options->slot_count = (int32_t)(last - first + 1);
    return muster_error_set_ok(error);
}

static muster_status drill_set(muster_drill *drill, const char *name, const char *value,
                               muster_error *error)
{
    int64_t number = 0;
    if (strcmp(name, "signal") == 0) {
        if (strcmp(value, "KILL") != 0 && strcmp(value, "STOP") != 0)
            return RUN_REFUSE(error, "--drill: signal is KILL or STOP, came '%.40s'", value);
        drill->signal_number = strcmp(value, "KILL") == 0 ? SIGKILL : SIGSTOP;
        return muster_error_set_ok(error);
    }
    bool is_slot = strcmp(name, "slot") == 0;
    bool is_step = strcmp(name, "step") == 0;
    bool is_again = strcmp(name, "again") == 0;
    if (!is_slot && !is_step && !is_again)
        return RUN_REFUSE(error, "--drill: there is slot, step, signal and again; came '%.40s'",
                          name);
    if (!muster_option_number(value, 0, is_slot ? MUSTER_SLOTS_MAX - 1 : INT64_MAX, &number))
        return RUN_REFUSE(error, "--drill: %s is a number, came '%.40s'", name, value);
    if (is_slot)
        drill->slot = (int32_t)number;
    if (is_step)
        drill->step = (uint64_t)number;
    if (is_again) {
        drill->again = true;
        drill->again_step = (uint64_t)number;
    }
    return muster_error_set_ok(error);
}

muster_status muster_drill_parse(muster_drill *drill, const char *text, muster_error *error)
{
    char copy[160];
    char *rest = copy;
    bool has_step = false;
    *drill = (muster_drill){.wanted = true, .slot = -1};
    snprintf(copy, sizeof copy, "%s", text);
    if (strlen(text) >= sizeof copy)
        return RUN_REFUSE(error, "--drill: its text is too long");
    for (char *part = strsep(&rest, ","); part != NULL; part = strsep(&rest, ",")) {
        char *equals = strchr(part, '=');
        if (equals == NULL)
            return RUN_REFUSE(error, "--drill: expected NAME=VALUE, came '%.40s'", part);
        *equals = '\0';
        has_step = has_step || strcmp(part, "step") == 0;
        muster_status status = drill_set(drill, part, equals + 1, error);
        if (status != MUSTER_OK)
            return status;
    }
    if (drill->slot < 0 || !has_step || drill->signal_number == 0)
        return RUN_REFUSE(error,
                          "--drill: expected slot=S,step=N,signal=KILL|STOP[,again=M], "
                          "came '%.60s'",
                          text);
    if (drill->again && drill->again_step <= drill->step)
        return RUN_REFUSE(error, "--drill: again=%llu is not after step=%llu",
                          (unsigned long long)drill->again_step, (unsigned long long)drill->step);
    return muster_error_set_ok(error);
}

static muster_status run_set_job(muster_run_options *options, const char *value,
                                 muster_error *error)
{
    if (value[0] == '\0' || strlen(value) >= MUSTER_NAME_BYTES)
        return RUN_REFUSE(error, "--job: expected a name of 1 to %d bytes, came %zu",
                          MUSTER_NAME_BYTES - 1, strlen(value));
    options->job_name = value;
    return muster_error_set_ok(error);
}

static muster_status run_set_host_address(muster_run_options *options, const char *value,
                                          muster_error *error)
{
    if (value[0] == '\0' || strlen(value) >= MUSTER_NAME_BYTES)
        return RUN_REFUSE(error,
                          "--host-address: expected an address or a name of this host, of 1 to %d "
                          "bytes, came %zu",
                          MUSTER_NAME_BYTES - 1, strlen(value));
    options->host_address = value;
    return muster_error_set_ok(error);
}

static muster_status run_set_coordinator(muster_run_options *options, const char *value,
                                         muster_error *error)
{
    options->coordinator = value;
    return muster_endpoint_check(value, false, error);
}

static muster_status run_set_http(muster_run_options *options, const char *value,
                                  muster_error *error)
{
    muster_http_address address;
    options->http = value;
    return muster_http_address_parse(value, &address, error);
}

static muster_status run_take_option(muster_run_options *options, int option, const char *value,
                                     muster_error *error)
{
    switch (option) {
    case 'n':
    case RUN_OPTION_RANKS:
        return run_set_count(&options->policy.slot_count, "-n", 1, MUSTER_SLOTS_MAX, value, error);
    case RUN_OPTION_SLOTS:
        return run_set_slots(options, value, error);
    case RUN_OPTION_SPARES:
        return run_set_count(&options->spare_count, "--spares", 0, RUN_SPARES_MAX, value, error);
    case RUN_OPTION_DEVICE:
        if (strcmp(value, "nccl") != 0)
            return RUN_REFUSE(error, "--device: expected nccl, came '%.60s'", value);
        options->device_plane = value;
        break;
    case RUN_OPTION_DEVICES:
        return run_set_count(&options->device_count, "--devices", 1, MUSTER_SLOTS_MAX, value,
                             error);
    case RUN_OPTION_JOB:
        return run_set_job(options, value, error);
    case RUN_OPTION_COORDINATOR:
        return run_set_coordinator(options, value, error);
    case RUN_OPTION_HOST_ADDRESS:
        return run_set_host_address(options, value, error);
    case RUN_OPTION_COORDINATOR_KEY:
        options->coordinator_key = value;
        break;
    case RUN_OPTION_KEY_FILE:
        options->key_file = value;
        break;
    case RUN_OPTION_CONTACT:
        return run_set_ms(&options->contact_ns, "contact-ms", value, error);
    case RUN_OPTION_GRACE:
        return run_set_ms(&options->grace_ns, "grace-ms", value, error);
    case RUN_OPTION_DRILL:
        return muster_drill_parse(&options->drill, value, error);
    case RUN_OPTION_TRACE:
        options->trace = value;
        break;
    case RUN_OPTION_REPORT:
        options->report = value;
        break;
    case RUN_OPTION_EVENTS:
        options->events = value;
        break;
    case RUN_OPTION_HTTP:
        return run_set_http(options, value, error);
    case RUN_OPTION_NO_PREFIX:
        options->prefix = false;
        break;
    case RUN_OPTION_NO_NAMESPACE:
        options->process_namespace = false;
        break;
    default:
        options->help = true;
        break;
    }
    return muster_error_set_ok(error);
}

static muster_status run_check(muster_run_options *options, int argc, char **argv, int command_at,
                               muster_error *error)
{
    int32_t rank_count = options->policy.slot_count;
    if (rank_count == 0)
        return RUN_REFUSE(error, "-n is missing: say how many ranks, such as -n 4");
    if (options->slot_count == 0)
        options->slot_count = rank_count;
    if (options->first_slot + options->slot_count > rank_count)
        return RUN_REFUSE(error, "--slots %d-%d goes beyond slot %d, the last of -n %d",
                          options->first_slot, options->first_slot + options->slot_count - 1,
                          rank_count - 1, rank_count);
    if (options->slot_count < rank_count && options->coordinator == NULL)
        return RUN_REFUSE(error, "--slots needs --coordinator: the other launchers must reach the "
                                 "same one");
    if ((options->coordinator_key == NULL) != (options->key_file == NULL))
        return RUN_REFUSE(error, "--coordinator-key and --key-file belong together: %s is missing",
                          options->key_file == NULL ? "--key-file" : "--coordinator-key");
    if (options->key_file != NULL && options->coordinator == NULL)
        return RUN_REFUSE(error,
                          "--key-file is for a coordinator that is named with --coordinator; "
                          "one of the job's own needs none");
    if (options->device_count > 0 && options->device_plane == NULL)
        return RUN_REFUSE(error, "--devices needs --device nccl");
    if (options->http != NULL && options->coordinator != NULL)
        return RUN_REFUSE(error, "--http is for a coordinator of the job's own: the one of "
                                 "--coordinator shows its status where its own --http says");
    if (options->drill.wanted && (options->drill.slot < options->first_slot ||
                                  options->drill.slot >= options->first_slot + options->slot_count))
        return RUN_REFUSE(error, "--drill: slot %d is not started here", options->drill.slot);
    if (command_at >= argc)
        return RUN_REFUSE(error, "the command is missing: muster run -n %d -- COMMAND ARGUMENTS",
                          rank_count);
    options->command = argv + command_at;
    return muster_policy_check(&options->policy, error);
}

int32_t muster_run_options_device(const muster_run_options *options, int32_t slot, uint32_t number)
{
    int32_t index = slot >= 0 ? slot - options->first_slot : options->slot_count + (int32_t)number;
    return options->device_count > 0 ? index % options->device_count : index;
}

static void run_fill_getopt(struct option *options, const muster_policy_option_names *names)
{
    size_t at = 0;
#define RUN_GETOPT(name, word, argument, sentence) \
    options[at++] = (struct option){word, (argument) != NULL ? required_argument : no_argument, \
                                    NULL, RUN_OPTION_##name};
    RUN_OPTION_LIST(RUN_GETOPT)
#undef RUN_GETOPT
    for (int i = 0; i < MUSTER_POLICY_OPTION_COUNT; i++)
        options[at++] =
            (struct option){names->names[i], required_argument, NULL, RUN_OPTION_POLICY + i};
    options[at] = (struct option){NULL, 0, NULL, 0};
}

muster_status muster_run_options_parse(muster_run_options *options, int argc, char **argv,
                                       muster_error *error)
{
    muster_policy_option_names names;
    struct option table[RUN_OPTION_COUNT + MUSTER_POLICY_OPTION_COUNT + 1];
    memset(options, 0, sizeof *options);
    muster_policy_defaults(&options->policy);
    options->job_name = "job";
    options->grace_ns = RUN_GRACE_MS * NS_PER_MS;
    options->contact_ns = RUN_CONTACT_MS * NS_PER_MS;
    options->prefix = true;
    options->process_namespace = true;
    muster_policy_option_names_fill(&names);
    run_fill_getopt(table, &names);
    optind = 0; /* glibc: start anew, also after another parse in this process */
    opterr = 0;
    for (;;) {
        int at = optind > 0 ? optind : 1;
        int option = getopt_long(argc, argv, "+:n:h", table, NULL);
        if (option == -1)
            break;
        const char *written = at < argc ? argv[at] : "";
        if (option == ':')
            return RUN_REFUSE(error, "option %.60s lacks its value", written);
        if (option == '?')
            return RUN_REFUSE(error, "option %.60s is unknown, ambiguous, or takes no value",
                              written);
        muster_status status =
            option >= RUN_OPTION_POLICY
                ? muster_policy_option_set(&options->policy,
                                           names.names[option - RUN_OPTION_POLICY], optarg, error)
                : run_take_option(options, option, optarg, error);
        if (status != MUSTER_OK)
            return status;
    }
    if (options->help)
        return muster_error_set_ok(error);
    return run_check(options, argc, argv, optind, error);
}

static void run_print_line(FILE *out, const char *name, const char *argument, const char *sentence)
{
    char left[80];
    snprintf(left, sizeof left, "--%s %s", name, argument != NULL ? argument : "");
    fprintf(out, "  %-28s %s\n", left, sentence);
}

void muster_run_options_print_help(FILE *out)
{
    fprintf(
        out,
        "usage: muster run -n N [options] -- COMMAND ARGUMENTS\n"
        "Starts N ranks of COMMAND, replaces those that die, and leaves nothing behind.\n\n"
        "Each rank finds in its environment MUSTER_COORDINATOR, MUSTER_JOB, MUSTER_SLOT (a\n"
        "number, or 'spare'), MUSTER_SLOT_COUNT, MUSTER_INCARNATION, and MUSTER_TRACE=1 with\n"
        "--trace; with --device MUSTER_DEVICE_PLANE, MUSTER_DEVICE, and for spares\n"
        "MUSTER_DEVICE_SLOTS, since a spare takes the device of the slot that it is given, or, if\n"
        "that is another launcher's, one behind those of this host's slots.\n"
        "muster_job_join(NULL, ...) reads them. Its stdin is empty.\n\n");
#define RUN_LINE(name, option, argument, sentence) run_print_line(out, option, argument, sentence);
    RUN_OPTION_LIST(RUN_LINE)
#undef RUN_LINE
    fprintf(out, "\nRules:\n");
    muster_policy_options_print(out);
    fprintf(out, "\nSIGTERM, SIGINT and SIGHUP are passed on to the ranks; those that have not\n"
                 "ended after the grace are killed. A second SIGINT kills them at once.\n"
                 "\nExit codes:\n");
#define RUN_EXIT_LINE(name, code, sentence) fprintf(out, "  %-5d %s\n", code, sentence);
    MUSTER_RUN_EXIT_LIST(RUN_EXIT_LINE)
#undef RUN_EXIT_LINE
    fprintf(out, "  128+N ended by signal N\n");
}
