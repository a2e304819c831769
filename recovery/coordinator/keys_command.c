/* SPDX-License-Identifier: Apache-2.0 */
/* `muster keys`: makes key pairs for coordinators, launchers and ranks. Here, because only ZeroMQ knows
 * how. */
#include "coordinator/keys_command.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "base/error.h"
#include "keys/key_file.h"

#define KEYS_EXIT_OK 0
#define KEYS_EXIT_USAGE 2
#define KEYS_EXIT_SYSTEM 5

typedef struct keys_command {
    const char *folder;
    const char *show; /* a secret file whose public key is asked for */
    bool overwrite;
    bool help;
} keys_command;

static const struct option keys_options[] = {
    {"out", required_argument, NULL, 'o'},
    {"public", required_argument, NULL, 'p'},
    {"overwrite", no_argument, NULL, 'w'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void keys_print_help(void)
{
    printf("usage: muster keys [--out DIR] [--overwrite] NAME...\n"
           "       muster keys --public FILE.secret\n"
           "Makes a key pair for each NAME: DIR/NAME.secret (mode 0600) and DIR/NAME.public.\n\n"
           "  --out DIR        where to (.)\n"
           "  --overwrite      replace what is there; else it is refused\n"
           "  --public FILE    print the public key of a secret file, as a line of a list\n\n"
           "One pair is the coordinator's; each user, launcher or rank has one of its own, or a\n"
           "job's ranks share one:\n\n"
           "  muster keys coordinator train\n"
           "  cat train.public > allowed          # a line may end with jobs=NAME,NAME\n"
           "  muster coordinator --bind tcp://*:7400 --journal journal \\\n"
           "      --keys coordinator.secret --allowed allowed\n"
           "  muster run --coordinator tcp://HOST:7400 --coordinator-key coordinator.public \\\n"
           "      --key-file train.secret -n 4 -- ./train\n\n"
           "Ranks that `muster run` does not start find theirs by MUSTER_COORDINATOR_KEY and\n"
           "MUSTER_KEY_FILE, which name the two files.\n");
}

static int keys_usage(const char *format, const char *detail)
{
    fprintf(stderr, "muster keys: ");
    fprintf(stderr, format, detail);
    fprintf(stderr, "\nmuster keys: see `muster keys --help`\n");
    return KEYS_EXIT_USAGE;
}

static int keys_fail(const muster_error *error)
{
    fprintf(stderr, "muster keys: %s\n", error->message);
    return error->status == MUSTER_ERR_SYSTEM || error->status == MUSTER_ERR_NO_MEMORY
               ? KEYS_EXIT_SYSTEM
               : KEYS_EXIT_USAGE;
}

static int keys_show(const char *path)
{
    muster_key_pair pair;
    muster_error error;
    char derived[MUSTER_KEY_TEXT_LENGTH + 1];
    muster_error_init(&error);
    if (muster_key_pair_read(path, &pair, &error) != MUSTER_OK)
        return keys_fail(&error);
    bool derives = zmq_curve_public(derived, pair.secret_key.text) == 0;
    muster_key_pair_wipe(&pair);
    if (!derives)
        return keys_usage("the secret key in '%s' is none", path);
    printf("%s\n", derived);
    return KEYS_EXIT_OK;
}

static int keys_make(const keys_command *command, const char *name)
{
    muster_key_pair pair;
    muster_error error;
    muster_error_init(&error);
    memset(&pair, 0, sizeof pair);
    if (!muster_key_name_usable(name))
        return keys_usage("'%s' cannot be a key's name: letters, digits, '.', '_' and '-'", name);
    if (zmq_curve_keypair(pair.public_key.text, pair.secret_key.text) != 0)
        return keys_usage("this machine's ZeroMQ cannot make keys: %s", zmq_strerror(zmq_errno()));
    muster_status status =
        muster_key_pair_write(command->folder, name, &pair, command->overwrite, &error);
    muster_key_pair_wipe(&pair);
    if (status != MUSTER_OK)
        return keys_fail(&error);
    printf("%s/%s.secret\n%s/%s.public\n", command->folder, name, command->folder, name);
    return KEYS_EXIT_OK;
}

int muster_keys_main(int argc, char **argv)
{
    keys_command command = {.folder = "."};
    optind = 1;
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, "o:h", keys_options, NULL);
        if (option == -1)
            break;
        if (option == 'o')
            command.folder = optarg;
        else if (option == 'p')
            command.show = optarg;
        else if (option == 'w')
            command.overwrite = true;
        else if (option == 'h')
            command.help = true;
        else
            return keys_usage("option %s is unknown, or lacks its value", argv[optind - 1]);
    }
    if (command.help) {
        keys_print_help();
        return KEYS_EXIT_OK;
    }
    if (command.show != NULL)
        return keys_show(command.show);
    if (optind >= argc)
        return keys_usage("%s", "say for whom: muster keys NAME...");
    int code = KEYS_EXIT_OK;
    for (int i = optind; i < argc && code == KEYS_EXIT_OK; i++)
        code = keys_make(&command, argv[i]);
    return code;
}
