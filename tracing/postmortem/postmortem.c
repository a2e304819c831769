/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/postmortem.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "tracing/postmortem/analysis.h"
#include "tracing/postmortem/note_reader.h"
#include "tracing/postmortem/print.h"
#include "tracing/postmortem/trace_reader.h"

#define EXIT_FOUND 0
#define EXIT_NOTHING 1
#define EXIT_USAGE 2 /* as everywhere in the command */

static void postmortem_usage(FILE *file)
{
    fprintf(file,
            "usage: muster postmortem [--json] DIR...\n"
            "Says what the traces in DIR (of `muster run --trace DIR`) tell: who was lost, in\n"
            "which batch the others stood, how long each step of the recovery took, and what\n"
            "was not recorded. Of a job over several hosts, give the DIR of each launcher:\n"
            "times of other hosts are laid on the coordinator's clock, with what is uncertain.\n"
            "Exit code: 0 findings were printed, 1 DIR is missing, empty or damaged, 2 usage.\n");
}

static muster_status postmortem_read_one(const char *directory, muster_records *records,
                                         muster_error *error)
{
    struct stat about;
    if (stat(directory, &about) != 0)
        return muster_error_set_errno(error, errno, directory);
    if (!S_ISDIR(about.st_mode))
        return muster_error_set_errno(error, ENOTDIR, directory);
    muster_status status = muster_note_reader_read(directory, records, error);
    if (status == MUSTER_OK)
        status = muster_trace_reader_read(directory, records, error);
    return status;
}

static muster_status postmortem_read(char *const *directories, int count, muster_records *records,
                                     muster_error *error)
{
    const char *directory = directories[0];
    for (int i = 0; i < count; i++) {
        muster_status status = postmortem_read_one(directories[i], records, error);
        if (status != MUSTER_OK)
            return status;
    }
    if (count > 1 && !muster_records_merge_notes(records))
        return muster_error_set_errno(error, ENOMEM, "the notes of several launchers");
    if (records->note_count > 0 || records->event_count > 0)
        return MUSTER_OK;
    if (records->damaged_lines > 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0,
                                records->damaged_lines,
                                "%s/events.jsonl is damaged: none of its %lld lines can be read, "
                                "and there are no traces",
                                directory, (long long)records->damaged_lines);
    if (records->snapshot_count > 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "%s: none of its %zu snapshots has an event of Muster: %s",
                                directory, records->snapshot_count,
                                records->snapshots[0].damage[0] != '\0'
                                    ? records->snapshots[0].damage
                                    : "they are empty");
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                            "%s holds neither events.jsonl with an event nor traces: name the "
                            "directory given to `muster run --trace`",
                            directory);
}

static int postmortem_report(char *const *directories, int count, bool json)
{
    muster_records records;
    muster_findings findings;
    muster_error error;
    muster_error_init(&error);
    muster_records_init(&records);
    memset(&findings, 0, sizeof findings);
    muster_status status = postmortem_read(directories, count, &records, &error);
    if (status == MUSTER_OK) {
        muster_records_sort(&records);
        status = muster_analysis_run(&records, &findings, &error);
    }
    if (status == MUSTER_OK && json)
        status = muster_print_json(stdout, directories[0], &records, &findings, &error);
    else if (status == MUSTER_OK)
        muster_print_text(stdout, directories[0], &records, &findings);
    if (status != MUSTER_OK)
        fprintf(stderr, "muster postmortem: %s\n", error.message);
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
    return status == MUSTER_OK ? EXIT_FOUND : EXIT_NOTHING;
}

int muster_postmortem_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool json = false;
    optind = 1;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            postmortem_usage(stdout);
            return EXIT_FOUND;
        }
        if (option != 'j') {
            postmortem_usage(stderr);
            return EXIT_USAGE;
        }
        json = true;
    }
    if (optind == argc) {
        postmortem_usage(stderr);
        return EXIT_USAGE;
    }
    return postmortem_report(argv + optind, argc - optind, json);
}
