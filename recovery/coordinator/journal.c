/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"

#define JOURNAL_FILE_BYTES_MAX ((off_t)1 << 32)
/* A holder replaces the file at every write; whoever wants the lock may meet the old one. */
#define JOURNAL_LOCK_TRIES 100

static muster_status journal_failed(const muster_journal *journal, const char *what,
                                    muster_error *error)
{
    int reason = errno;
    muster_status status = muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_OPTION, 0, 0,
                                            "the journal '%.100s' cannot be %s: %s", journal->path,
                                            what, strerror(reason));
    if (error != NULL)
        error->native_code = reason;
    return status;
}

static muster_status journal_no_memory(muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                            "no memory for the journal");
}

static bool journal_write_all(int fd, const void *bytes, size_t byte_count)
{
    const char *at = bytes;
    while (byte_count > 0) {
        ssize_t written = write(fd, at, byte_count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        byte_count -= (size_t)written;
    }
    return true;
}

static bool journal_sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    /* Some file systems cannot flush a folder and say so with EINVAL; their renames are ordered. */
    bool synced = fsync(fd) == 0 || errno == EINVAL;
    close(fd);
    return synced;
}

/* Records that count no more may take this much, and as much as this many times those that count. */
#define JOURNAL_SLACK_BYTES ((uint64_t)256 << 10)
#define JOURNAL_SLACK_TIMES 4

static uint64_t journal_random(void)
{
    uint64_t random = 0;
    /* Never fails for so few bytes once the machine has started. */
    while (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
    }
    return random;
}

/* Everything into fd, a file that has no name yet. */
static bool journal_fill(muster_journal *journal, int fd, muster_journal_position *position)
{
    struct stat facts;
    void *bytes = NULL;
    size_t byte_count = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &facts) != 0)
        return false;
    *position = (muster_journal_position){.identity = journal_random(), .inode = facts.st_ino};
    if (muster_journal_encode_whole(&journal->content, position, &bytes, &byte_count) !=
        MUSTER_OK) {
        errno = ENOMEM;
        return false;
    }
    bool filled = journal_write_all(fd, bytes, byte_count) && (journal->no_sync || fsync(fd) == 0);
    free(bytes);
    return filled;
}

/* A whole file in the place of the last. The new one is locked before it gets the name: at no moment is
 * the journal unlocked. */
static muster_status journal_replace(muster_journal *journal, muster_error *error)
{
    muster_journal_position position;
    MUSTER_ASSERT(journal->temporary_path != NULL);
    unlink(journal->temporary_path); /* of one that was killed: ours, since we hold the lock */
    int fd = open(journal->temporary_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  S_IRUSR | S_IWUSR);
    if (fd < 0 || !journal_fill(journal, fd, &position) ||
        rename(journal->temporary_path, journal->path) != 0) {
        muster_status status = journal_failed(journal, "written", error);
        if (fd >= 0) {
            close(fd);
            unlink(journal->temporary_path);
        }
        return status;
    }
    close(journal->fd);
    journal->fd = fd;
    journal->position = position;
    journal->replaced++;
    /* Or the machine might come back with the file of before, and a lower term. */
    if (!journal->no_sync && !journal_sync_folder(journal->folder))
        return journal_failed(journal, "made durable", error);
    return muster_error_set_ok(error);
}

/* Takes bytes over. Durable when it returns; the file has grown, so its length is flushed with it. */
static muster_status journal_append(muster_journal *journal, muster_status encoded, void *bytes,
                                    size_t byte_count, muster_error *error)
{
    if (encoded != MUSTER_OK)
        return journal_no_memory(error);
    bool written = journal_write_all(journal->fd, bytes, byte_count) &&
                   (journal->no_sync || fdatasync(journal->fd) == 0);
    free(bytes);
    if (!written)
        return journal_failed(journal, "written", error);
    uint64_t appended = journal->position.byte_count - journal->position.whole_bytes;
    uint64_t counts = journal->position.whole_bytes;
    if (appended > JOURNAL_SLACK_BYTES && appended > JOURNAL_SLACK_TIMES * counts)
        return journal_replace(journal, error);
    return muster_error_set_ok(error);
}

/* Opens and locks the file that bears the name when the lock is held. */
static muster_status journal_lock(muster_journal *journal, muster_error *error)
{
    for (int i = 0; i < JOURNAL_LOCK_TRIES; i++) {
        struct stat locked;
        struct stat named;
        journal->fd = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
        if (journal->fd < 0)
            return journal_failed(journal, "opened", error);
        if (flock(journal->fd, LOCK_EX | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK)
                break;
            return journal_failed(journal, "locked", error);
        }
        if (fstat(journal->fd, &locked) == 0 && stat(journal->path, &named) == 0 &&
            locked.st_ino == named.st_ino && locked.st_dev == named.st_dev)
            return muster_error_set_ok(error);
        close(journal->fd);
        journal->fd = -1;
    }
    return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0,
                            "the journal '%.100s' is held by another coordinator: stop that one, "
                            "or give this one another --journal",
                            journal->path);
}

static muster_status journal_read(muster_journal *journal, bool copied, muster_error *error)
{
    struct stat facts;
    if (fstat(journal->fd, &facts) != 0)
        return journal_failed(journal, "read", error);
    if (!S_ISREG(facts.st_mode) || facts.st_size > JOURNAL_FILE_BYTES_MAX)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0,
                                (int64_t)facts.st_size, "'%.100s' cannot be a journal of Muster",
                                journal->path);
    size_t byte_count = (size_t)facts.st_size;
    if (byte_count == 0)
        return muster_error_set_ok(error);
    char *bytes = malloc(byte_count);
    if (bytes == NULL)
        return journal_no_memory(error);
    size_t got = 0;
    while (got < byte_count) {
        ssize_t part = pread(journal->fd, bytes + got, byte_count - got, (off_t)got);
        if (part < 0 && errno == EINTR)
            continue;
        if (part <= 0)
            break;
        got += (size_t)part;
    }
    muster_error detail;
    muster_error_init(&detail);
    muster_status status =
        muster_journal_decode(bytes, got, &journal->content, &journal->position, &detail);
    free(bytes);
    if (status != MUSTER_OK)
        return muster_error_set(error, status, detail.field, detail.expected, detail.came,
                                "the journal '%.80s' is damaged %.110s; restore it from a copy, or "
                                "move it away: the ranks are then asked",
                                journal->path, detail.message);
    if (journal->position.inode != facts.st_ino && !copied)
        return muster_error_set(
            error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, (int64_t)journal->position.inode,
            (int64_t)facts.st_ino,
            "the journal '%.100s' is a copy: see that no coordinator of the original "
            "lives, and say --journal-copied",
            journal->path);
    journal->cut_bytes = journal->position.torn_bytes;
    return muster_error_set_ok(error);
}

static bool journal_paths(muster_journal *journal, const char *path)
{
    char *copy = strdup(path);
    journal->path = strdup(path);
    if (copy != NULL)
        journal->folder = strdup(dirname(copy));
    free(copy);
    if (asprintf(&journal->temporary_path, "%s.new", path) < 0)
        journal->temporary_path = NULL;
    return journal->path != NULL && journal->folder != NULL && journal->temporary_path != NULL;
}

muster_status muster_journal_open(muster_journal *journal, const muster_journal_options *options,
                                  muster_error *error)
{
    memset(journal, 0, sizeof *journal);
    journal->no_sync = options->no_sync;
    journal->fd = -1;
    journal->content.term = options->term_floor;
    if (options->path == NULL)
        return muster_error_set_ok(error);
    journal->content.term = 0;
    muster_status status = journal_paths(journal, options->path) ? journal_lock(journal, error)
                                                                 : journal_no_memory(error);
    if (status == MUSTER_OK)
        status = journal_read(journal, options->copied, error);
    if (status == MUSTER_OK) {
        uint64_t next = journal->content.term + 1;
        journal->content.term = next > options->term_floor ? next : options->term_floor;
        status = journal_replace(journal, error);
    }
    if (status != MUSTER_OK)
        muster_journal_close(journal);
    return status;
}

muster_status muster_journal_raise_term(muster_journal *journal, muster_error *error)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    journal->content.term++;
    if (journal->path == NULL)
        return muster_error_set_ok(error);
    muster_status encoded =
        muster_journal_encode_term(journal->content.term, &journal->position, &bytes, &byte_count);
    return journal_append(journal, encoded, bytes, byte_count, error);
}

muster_status muster_journal_put(muster_journal *journal, uint64_t job, const char *name,
                                 muster_journal_state *state, muster_error *error)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    muster_status status = muster_journal_content_put(&journal->content, job, name, state, error);
    if (status != MUSTER_OK || journal->path == NULL)
        return status;
    muster_status encoded =
        muster_journal_encode_job(muster_journal_content_find(&journal->content, job),
                                  &journal->position, &bytes, &byte_count);
    return journal_append(journal, encoded, bytes, byte_count, error);
}

muster_status muster_journal_remove(muster_journal *journal, uint64_t job, muster_error *error)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    if (muster_journal_content_find(&journal->content, job) == NULL)
        return muster_error_set_ok(error);
    muster_journal_content_remove(&journal->content, job);
    if (journal->path == NULL)
        return muster_error_set_ok(error);
    muster_status encoded = muster_journal_encode_end(job, &journal->position, &bytes, &byte_count);
    return journal_append(journal, encoded, bytes, byte_count, error);
}

void muster_journal_close(muster_journal *journal)
{
    muster_journal_content_clean_up(&journal->content);
    if (journal->fd >= 0)
        close(journal->fd);
    free(journal->path);
    free(journal->temporary_path);
    free(journal->folder);
    memset(journal, 0, sizeof *journal);
    journal->fd = -1;
}
