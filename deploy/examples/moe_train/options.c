/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit_codes.h"

#define DEFAULT_TEXT "/usr/share/common-licenses/GPL-3"

void options_print_help(void)
{
    printf(
        "usage: muster run -n RANKS [...] -- moe_train [options]\n"
        "Trains a small mixture-of-experts language model on the bytes of a text.\n"
        "  --steps N             committed steps to train for (60)\n"
        "  --text FILE           what to learn (" DEFAULT_TEXT ")\n"
        "  --seed S              of parameters and batches (1)\n"
        "  --checkpoint FILE     written now and then; an existing one is gone on from\n"
        "  --checkpoint-every N  steps between checkpoints (20)\n"
        "  --losses FILE         append a line 'step loss' a step, loss in hexadecimal; the last\n"
        "                        line of a step is the one that counts\n"
        "  --step-delay-ms N     the root waits before each step, to watch it (0)\n"
        "  --gradient-norm       print the size of gradients; on devices a call of the job's own "
        "to NCCL\n"
        "  --help                this text\n"
        "Exit codes:\n");
#define EXIT_CODE_PRINT(name, value, text) printf("  %d  %s\n", value, text);
    EXIT_CODE_LIST(EXIT_CODE_PRINT)
#undef EXIT_CODE_PRINT
}

static bool read_number(const char *option, const char *value, uint64_t least, uint64_t most,
                        uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long read = isdigit((unsigned char)value[0]) ? strtoull(value, &end, 10) : 0;
    if (end == NULL || *end != '\0' || errno != 0 || read < least || read > most) {
        fprintf(stderr,
                "moe_train: %s wants a whole number from %llu to %llu, and '%s' is none; see "
                "--help\n",
                option, (unsigned long long)least, (unsigned long long)most, value);
        return false;
    }
    *number = read;
    return true;
}

static bool read_option(const char *option, const char *value, struct options *options)
{
    uint64_t number = 0;
    if (strcmp(option, "--steps") == 0) {
        return read_number(option, value, 1, 1000000000, &options->steps);
    }
    if (strcmp(option, "--seed") == 0) {
        return read_number(option, value, 0, UINT64_MAX, &options->seed);
    }
    if (strcmp(option, "--checkpoint-every") == 0) {
        return read_number(option, value, 1, 1000000000, &options->checkpoint_every);
    }
    if (strcmp(option, "--step-delay-ms") == 0) {
        bool good = read_number(option, value, 0, 3600000, &number);
        options->step_delay_ms = (int64_t)number;
        return good;
    }
    const char **path = strcmp(option, "--text") == 0         ? &options->text_path
                        : strcmp(option, "--checkpoint") == 0 ? &options->checkpoint_path
                                                              : &options->losses_path;
    if (value[0] == '\0') {
        fprintf(stderr,
                "moe_train: %s wants the name of a file, and an empty one came; see --help\n",
                option);
        return false;
    }
    *path = value;
    return true;
}

bool options_read(int argc, char **argv, struct options *options)
{
    static const char *const with_value[] = {"--steps",      "--seed",   "--checkpoint-every",
                                             "--text",       "--losses", "--step-delay-ms",
                                             "--checkpoint", NULL};
    *options =
        (struct options){.steps = 60, .seed = 1, .checkpoint_every = 20, .text_path = DEFAULT_TEXT};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            options->help = true;
            return true;
        }
        if (strcmp(argv[i], "--gradient-norm") == 0) {
            options->gradient_norm = true;
            continue;
        }
        bool known = false;
        for (int j = 0; with_value[j] != NULL; j++) {
            known = known || strcmp(argv[i], with_value[j]) == 0;
        }
        if (!known) {
            fprintf(stderr, "moe_train: unknown option '%s'; --help lists those there are\n",
                    argv[i]);
            return false;
        }
        if (i + 1 == argc) {
            fprintf(stderr, "moe_train: %s wants a value and nothing follows it; see --help\n",
                    argv[i]);
            return false;
        }
        if (!read_option(argv[i], argv[i + 1], options)) {
            return false;
        }
        i++;
    }
    return true;
}
