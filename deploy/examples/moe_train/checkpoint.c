/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const char CHECKPOINT_NAME[8] = "moe-ck1";

/* The file is this header and the image, in this machine's byte order. */
struct header {
    char name[8];
    uint64_t image_bytes;
    uint64_t image_hash;
    struct checkpoint_identity identity;
    struct progress progress; /* with the generation, the first part of who wrote it */
    uint64_t term;
    uint64_t epoch;
    uint64_t incarnation;
};

static uint64_t hash_of(const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ at[i]) * 0x100000001b3u;
    }
    return hash;
}

static bool complain(const char *path, const char *what, const char *why)
{
    fprintf(stderr, "moe_train: the checkpoint '%s' %s: %s\n", path, what, why);
    return false;
}

/* path and an ending; NULL without memory. */
static char *beside(const char *path, const char *ending)
{
    size_t bytes = strlen(path) + strlen(ending) + 1;
    char *name = malloc(bytes);
    if (name != NULL) {
        snprintf(name, bytes, "%s%s", path, ending);
    }
    return name;
}

/* < 0 when a wrote before b was given its place. */
static int compare_writers(const struct header *a, const struct header *b)
{
    const uint64_t of_a[] = {a->progress.generation, a->term, a->epoch, a->incarnation};
    const uint64_t of_b[] = {b->progress.generation, b->term, b->epoch, b->incarnation};
    for (int i = 0; i < 4; i++) {
        if (of_a[i] != of_b[i]) {
            return of_a[i] < of_b[i] ? -1 : 1;
        }
    }
    return 0;
}

static bool token_of(const muster_job *job, muster_fence_token *token)
{
    *token = (muster_fence_token){.struct_bytes = sizeof *token};
    return muster_job_fence_token(job, token) == MUSTER_OK;
}

/* Bounded: the holder may be a stopped process, and no checkpoint is worth waiting for that. */
static bool lock_for_a_second(int lock)
{
    for (int i = 0; i < 100; i++) {
        if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
            return true;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

static bool read_header(FILE *file, struct header *header)
{
    return fread(header, sizeof *header, 1, file) == 1 &&
           memcmp(header->name, CHECKPOINT_NAME, sizeof CHECKPOINT_NAME) == 0;
}

static bool write_whole(const char *path, const struct header *header, const struct image *image)
{
    FILE *file = fopen(path, "wbe");
    if (file == NULL) {
        return false;
    }
    bool good = fwrite(header, sizeof *header, 1, file) == 1 &&
                fwrite(image, sizeof *image, 1, file) == 1 && fflush(file) == 0 &&
                fsync(fileno(file)) == 0;
    return fclose(file) == 0 && good;
}

/* With the lock held. */
static bool replace_file(const char *path, const char *temporary, const muster_job *job,
                         const struct header *header, const struct image *image)
{
    struct header present;
    FILE *file = fopen(path, "rbe");
    bool refused =
        file != NULL && read_header(file, &present) && compare_writers(header, &present) < 0;
    if (file != NULL) {
        fclose(file);
    }
    if (refused) {
        return complain(path, "is left alone", "a later membership wrote it");
    }
    if (!write_whole(temporary, header, image)) {
        return complain(temporary, "cannot be written", strerror(errno));
    }
    muster_fence_token token;
    if (!token_of(job, &token) || token.epoch != header->epoch) {
        return complain(path, "is left alone", "this epoch is over");
    }
    if (rename(temporary, path) != 0) {
        return complain(path, "cannot be replaced", strerror(errno));
    }
    return true;
}

bool checkpoint_write(const char *path, const struct checkpoint_identity *identity,
                      const muster_job *job, const struct progress *progress,
                      const struct image *image)
{
    muster_fence_token token;
    if (!token_of(job, &token)) {
        return complain(path, "is left alone", "this epoch is over");
    }
    struct header header = {.image_bytes = sizeof *image,
                            .image_hash = hash_of(image, sizeof *image),
                            .identity = *identity,
                            .progress = *progress,
                            .term = token.term,
                            .epoch = token.epoch,
                            .incarnation = token.incarnation};
    memcpy(header.name, CHECKPOINT_NAME, sizeof CHECKPOINT_NAME);
    char *lock_name = beside(path, ".lock");
    char *temporary = beside(path, ".new");
    bool good = false;
    int lock = -1;
    if (lock_name == NULL || temporary == NULL) {
        complain(path, "cannot be written", strerror(ENOMEM));
    } else if ((lock = open(lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0) {
        complain(lock_name, "cannot be locked", strerror(errno));
    } else if (!lock_for_a_second(lock)) {
        complain(lock_name, "is not written this time", "another process holds its lock");
    } else {
        good = replace_file(path, temporary, job, &header, image);
    }
    if (lock >= 0) {
        close(lock);
    }
    free(temporary);
    free(lock_name);
    return good;
}

static bool read_image(FILE *file, const char *path, const struct checkpoint_identity *identity,
                       struct header *header, struct image *image)
{
    if (!read_header(file, header) || header->image_bytes != sizeof *image) {
        return complain(path, "is not used", "it is no checkpoint of this model");
    }
    if (memcmp(&header->identity, identity, sizeof *identity) != 0) {
        return complain(path, "is not used", "it was made with another --seed or --text");
    }
    if (fread(image, sizeof *image, 1, file) != 1 ||
        hash_of(image, sizeof *image) != header->image_hash) {
        return complain(path, "is not used", "it is damaged");
    }
    return true;
}

enum checkpoint_found checkpoint_read(const char *path, const struct checkpoint_identity *identity,
                                      struct progress *progress, struct image *image)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        if (errno == ENOENT) {
            return CHECKPOINT_ABSENT;
        }
        complain(path, "cannot be read", strerror(errno));
        return CHECKPOINT_UNUSABLE;
    }
    struct header header;
    bool good = read_image(file, path, identity, &header, image);
    fclose(file);
    if (!good) {
        return CHECKPOINT_UNUSABLE;
    }
    *progress = header.progress;
    progress->generation++;
    return CHECKPOINT_LOADED;
}
