/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    uint64_t steps;
    uint64_t seed;
    uint64_t checkpoint_every; /* steps */
    int64_t step_delay_ms;
    const char *text_path;
    const char *checkpoint_path; /* NULL: none */
    const char *losses_path;     /* NULL: none */
    bool gradient_norm;          /* print it */
    bool help;                   /* only print how to use it */
};

/* Reads the command line; on a mistake says so on stderr, one sentence, and returns false. The
 * strings are argv's. */
bool options_read(int argc, char **argv, struct options *options);

void options_print_help(void);

#endif
