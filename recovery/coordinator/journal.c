/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* The new file is locked before it gets the name: at no moment is the journal unlocked. */
static muster_status journal_write(muster_journal *journal, muster_error *error)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    if (journal->path == NULL)
        return muster_error_set_ok(error);
    if (muster_journal_encode(&journal->content, &bytes, &byte_count) != MUSTER_OK)
        return journal_no_memory(error);
    int fd = open(journal->temporary_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  S_IRUSR | S_IWUSR);
    bool written =
        fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && journal_write_all(fd, bytes, byte_count) &&
        (journal->no_sync || fsync(fd) == 0) && rename(journal->temporary_path, journal->path) == 0;
    free(bytes);
    if (!written) {
        muster_status status = journal_failed(journal, "written", error);
        if (fd >= 0) {
            close(fd);
            unlink(journal->temporary_path);
        }
        return status;
    }
    close(journal->fd);
    journal->fd = fd;
    if (!journal->no_sync && !journal_sync_folder(journal->folder))
        return journal_failed(journal, "made durable", error);
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

static muster_status journal_read(muster_journal *journal, muster_error *error)
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
    muster_status status = muster_journal_decode(bytes, got, &journal->content, &detail);
    free(bytes);
    if (status == MUSTER_OK)
        return muster_error_set_ok(error);
    return muster_error_set(error, status, detail.field, detail.expected, detail.came,
                            "the journal '%.80s' is damaged %.90s; restore it from a copy, or move "
                            "it away: the ranks are then asked",
                            journal->path, detail.message);
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

muster_status muster_journal_open(muster_journal *journal, const char *path, bool no_sync,
                                  uint64_t term_floor, muster_error *error)
{
    memset(journal, 0, sizeof *journal);
    journal->no_sync = no_sync;
    journal->fd = -1;
    journal->content.term = term_floor;
    if (path == NULL)
        return muster_error_set_ok(error);
    muster_status status =
        journal_paths(journal, path) ? journal_lock(journal, error) : journal_no_memory(error);
    if (status == MUSTER_OK)
        status = journal_read(journal, error);
    if (status == MUSTER_OK) {
        uint64_t next = journal->content.term + 1;
        journal->content.term = next > term_floor ? next : term_floor;
        status = journal_write(journal, error);
    }
    if (status != MUSTER_OK)
        muster_journal_close(journal);
    return status;
}

muster_status muster_journal_raise_term(muster_journal *journal, muster_error *error)
{
    journal->content.term++;
    return journal_write(journal, error);
}

muster_status muster_journal_put(muster_journal *journal, uint64_t job, const char *name,
                                 void *state, size_t state_bytes, muster_error *error)
{
    muster_status status =
        muster_journal_content_put(&journal->content, job, name, state, state_bytes, error);
    return status == MUSTER_OK ? journal_write(journal, error) : status;
}

muster_status muster_journal_remove(muster_journal *journal, uint64_t job, muster_error *error)
{
    if (muster_journal_content_find(&journal->content, job) == NULL)
        return muster_error_set_ok(error);
    muster_journal_content_remove(&journal->content, job);
    return journal_write(journal, error);
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
