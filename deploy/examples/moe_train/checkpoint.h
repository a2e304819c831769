/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoint on disk: for when a slot dies together with its mirror, and for the next job. A file
 * is replaced as a whole (written beside, flushed, renamed), so that a death while writing leaves the
 * one before.
 *
 * A root that was stopped, declared dead and replaced may wake in the middle of writing. So a file
 * carries who wrote it - generation, then the fence token's term, epoch and incarnation - and a
 * writer with a smaller one is refused; a lock beside the file (FILE.lock) keeps anybody from coming
 * between that look and the rename. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/muster.h>

#include "image.h"
#include "progress.h"

/* What a checkpoint must agree in with the job that loads it. */
struct checkpoint_identity {
    uint64_t seed;
    uint64_t text_hash;
};

/* Writes one. Says on stderr why where it cannot; the training may go on without. */
bool checkpoint_write(const char *path, const struct checkpoint_identity *identity,
                      const muster_job *job, const struct progress *progress,
                      const struct image *image);

enum checkpoint_found {
    CHECKPOINT_LOADED,
    CHECKPOINT_ABSENT,  /* no such file */
    CHECKPOINT_UNUSABLE /* said on stderr why */
};

/* On CHECKPOINT_LOADED, progress->generation is one more than the file's: the loader takes it over. */
enum checkpoint_found checkpoint_read(const char *path, const struct checkpoint_identity *identity,
                                      struct progress *progress, struct image *image);

#endif
