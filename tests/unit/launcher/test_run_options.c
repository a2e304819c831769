/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "launcher/run_options.h"

/* The arguments of a command line, split at blanks. */
typedef struct line {
    char text[512];
    char *words[64];
    int count;
} line;

static muster_status parse(line *from, muster_run_options *options, const char *text,
                           muster_error *error)
{
    char *rest = from->text;
    from->count = 0;
    snprintf(from->text, sizeof from->text, "run %s", text);
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        if (word[0] != '\0')
            from->words[from->count++] = word;
    }
    from->words[from->count] = NULL;
    muster_error_init(error);
    return muster_run_options_parse(options, from->count, from->words, error);
}

static void a_full_line_is_understood(void **state)
{
    (void)state;
    line from;
    muster_run_options options;
    muster_error error;
    assert_int_equal(
        parse(&from, &options,
              "-n 8 --slots 2-5 --coordinator tcp://host:7400 --job train --on-loss shrink "
              "--min-ranks 3 --max-replacements 2 --spares 1 --trace T --report R --events E "
              "--grace-ms 1500 --silence-ms 4000 --drill slot=2,step=30,signal=STOP,again=60 "
              "--no-prefix --no-pid-namespace -- prog -n 3 --help",
              &error),
        MUSTER_OK);
    assert_int_equal(options.policy.slot_count, 8);
    assert_int_equal(options.first_slot, 2);
    assert_int_equal(options.slot_count, 4);
    assert_int_equal(options.spare_count, 1);
    assert_string_equal(options.coordinator, "tcp://host:7400");
    assert_string_equal(options.job_name, "train");
    assert_int_equal(options.policy.on_loss, MUSTER_ON_LOSS_SHRINK);
    assert_int_equal(options.policy.min_ranks, 3);
    assert_int_equal(options.policy.max_replacements, 2);
    assert_int_equal(options.policy.deadlines.silence_ns, 4000000000);
    assert_int_equal(options.grace_ns, 1500000000);
    assert_string_equal(options.trace, "T");
    assert_string_equal(options.report, "R");
    assert_string_equal(options.events, "E");
    assert_true(options.drill.wanted);
    assert_int_equal(options.drill.slot, 2);
    assert_int_equal(options.drill.step, 30);
    assert_int_equal(options.drill.signal_number, SIGSTOP);
    assert_true(options.drill.again);
    assert_int_equal(options.drill.again_step, 60);
    assert_false(options.prefix);
    assert_false(options.process_namespace);
    assert_false(options.help);
    assert_string_equal(options.command[0], "prog");
    assert_string_equal(options.command[3], "--help");
    assert_null(options.command[4]);
}

static void defaults_are_for_one_launcher(void **state)
{
    (void)state;
    line from;
    muster_run_options options;
    muster_error error;
    assert_int_equal(parse(&from, &options, "-n 3 prog", &error), MUSTER_OK);
    assert_int_equal(options.first_slot, 0);
    assert_int_equal(options.slot_count, 3);
    assert_string_equal(options.job_name, "job");
    assert_null(options.coordinator);
    assert_true(options.prefix);
    assert_int_equal(options.policy.on_loss, MUSTER_ON_LOSS_REPLACE);
    assert_int_equal(options.grace_ns, 10000000000);
    assert_string_equal(options.command[0], "prog");
}

static void help_needs_nothing_else(void **state)
{
    (void)state;
    line from;
    muster_run_options options;
    muster_error error;
    assert_int_equal(parse(&from, &options, "--help", &error), MUSTER_OK);
    assert_true(options.help);
    assert_int_equal(parse(&from, &options, "-h", &error), MUSTER_OK);
    assert_true(options.help);
}

static void wrong_lines_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"", "-n is missing"},
        {"-- prog", "-n is missing"},
        {"-n 2", "command is missing"},
        {"-n 2 --", "command is missing"},
        {"-n 0 prog", "-n: expected a number from 1"},
        {"-n -1 prog", "-n: expected"},
        {"-n two prog", "'two'"},
        {"-n 2x prog", "'2x'"},
        {"-n 999999999 prog", "-n: expected"},
        {"-n", "-n lacks its value"},
        {"-n 2 --trace", "--trace lacks its value"},
        {"-n 2 --frobnicate prog", "--frobnicate"},
        {"-n 2 -x prog", "-x"},
        {"-n 2 --no-prefix=yes prog", "--no-prefix=yes"},
        {"-n 2 --on-loss panic prog", "'panic'"},
        {"-n 2 --min-ranks 3 prog", "--min-ranks 3"},
        {"-n 2 --coordinator host:1 prog", "host:1"},
        {"-n 2 --coordinator tcp://host prog", "no port"},
        {"-n 4 --slots 0-1 prog", "--coordinator"},
        {"-n 4 --coordinator tcp://h:1 --slots 2-4 prog", "slot 3"},
        {"-n 4 --coordinator tcp://h:1 --slots 3-2 prog", "A-B"},
        {"-n 4 --coordinator tcp://h:1 --slots x prog", "A-B"},
        {"-n 2 --spares -1 prog", "--spares"},
        {"-n 2 --device cuda prog", "'cuda'"},
        {"-n 2 --device nccl --devices 0 prog", "--devices"},
        {"-n 2 --devices 2 prog", "--devices needs --device"},
        {"-n 2 --grace-ms soon prog", "'soon'"},
        {"-n 2 --silence-ms 0 prog", "--silence-ms"},
        {"-n 2 --silence-ms 100 prog", "silence"},
        {"-n 2 --drill slot=1 prog", "expected slot=S"},
        {"-n 2 --drill slot=1,step=3,signal=TERM prog", "KILL or STOP"},
        {"-n 2 --drill slot=1,step=x,signal=KILL prog", "'x'"},
        {"-n 2 --drill slot=1,step=3,signal=KILL,when=4 prog", "'when'"},
        {"-n 2 --drill slot=1,step=3,signal=KILL,again=3 prog", "not after"},
        {"-n 2 --drill slot=2,step=3,signal=KILL prog", "slot 2"},
        {"-n 2 --drill nonsense prog", "NAME=VALUE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        line from;
        muster_run_options options;
        muster_error error;
        if (parse(&from, &options, cases[i].text, &error) != MUSTER_ERR_INVALID_ARGUMENT)
            fail_msg("'%s' was accepted", cases[i].text);
        if (strstr(error.message, cases[i].said) == NULL)
            fail_msg("'%s': '%s' lacks '%s'", cases[i].text, error.message, cases[i].said);
    }
}

static void devices_follow_the_slots_of_this_host(void **state)
{
    (void)state;
    line from;
    muster_run_options options;
    muster_error error;
    assert_int_equal(parse(&from, &options, "-n 2 prog", &error), MUSTER_OK);
    assert_null(options.device_plane);
    assert_int_equal(parse(&from, &options,
                           "-n 8 --coordinator tcp://h:1 --slots 4-7 --device nccl prog", &error),
                     MUSTER_OK);
    assert_string_equal(options.device_plane, "nccl");
    assert_int_equal(muster_run_options_device(&options, 4, 0), 0);
    assert_int_equal(muster_run_options_device(&options, 7, 9), 3);
    assert_int_equal(muster_run_options_device(&options, -1, 0), 4);
    assert_int_equal(muster_run_options_device(&options, -1, 2), 6);
    assert_int_equal(parse(&from, &options, "-n 8 --device nccl --devices 3 prog", &error),
                     MUSTER_OK);
    assert_int_equal(muster_run_options_device(&options, 7, 0), 1);
    assert_int_equal(muster_run_options_device(&options, -1, 1), 0);
}

static void a_job_needs_a_name(void **state)
{
    (void)state;
    char *words[] = {"run", "-n", "2", "--job", "", "prog", NULL};
    muster_run_options options;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_run_options_parse(&options, 6, words, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "--job"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_line_is_understood),
        cmocka_unit_test(defaults_are_for_one_launcher),
        cmocka_unit_test(help_needs_nothing_else),
        cmocka_unit_test(wrong_lines_are_explained),
        cmocka_unit_test(devices_follow_the_slots_of_this_host),
        cmocka_unit_test(a_job_needs_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
