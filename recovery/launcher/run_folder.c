/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define RUN_FOLDER_PREFIX "muster-run-"
#define RUN_FOLDER_BASE "/tmp"
#define RUN_FOLDER_TRIES 5

/* Its files, then itself: it has no folders. */
static void run_folder_delete(int base_fd, const char *name)
{
    int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (entries == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(entries), entry->d_name, 0);
    }
    closedir(entries);
    unlinkat(base_fd, name, AT_REMOVEDIR);
}

/* A locked descriptor of the folder; -1: it is no folder of ours, or its launcher lives. */
static int run_folder_lock(int base_fd, const char *name)
{
    struct stat facts;
    int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &facts) == 0 && facts.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    close(fd);
    return -1;
}

void muster_run_folder_sweep(const char *base)
{
    DIR *entries = opendir(base);
    if (entries == NULL)
        return;
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (strncmp(entry->d_name, RUN_FOLDER_PREFIX, strlen(RUN_FOLDER_PREFIX)) != 0)
            continue;
        int lock_fd = run_folder_lock(dirfd(entries), entry->d_name);
        if (lock_fd < 0)
            continue;
        run_folder_delete(dirfd(entries), entry->d_name);
        close(lock_fd);
    }
    closedir(entries);
}

static const char *run_folder_base(void)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    struct stat facts;
    bool usable = base != NULL && base[0] == '/' &&
                  strlen(base) + strlen("/" RUN_FOLDER_PREFIX "XXXXXX") < MUSTER_RUN_FOLDER_BYTES &&
                  stat(base, &facts) == 0 && S_ISDIR(facts.st_mode) && access(base, W_OK) == 0;
    return usable ? base : RUN_FOLDER_BASE;
}

/* Of this user, and locked: its launcher lives. */
static bool run_folder_lives(int base_fd, const char *name)
{
    struct stat facts;
    int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool lives = fstat(fd, &facts) == 0 && facts.st_uid == geteuid() &&
                 flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return lives;
}

size_t muster_run_folder_list(char (*paths)[MUSTER_RUN_FOLDER_BYTES], size_t capacity)
{
    const char *base = run_folder_base();
    DIR *entries = opendir(base);
    size_t count = 0;
    if (entries == NULL)
        return 0;
    for (struct dirent *entry = readdir(entries); entry != NULL && count < capacity;
         entry = readdir(entries)) {
        if (strncmp(entry->d_name, RUN_FOLDER_PREFIX, strlen(RUN_FOLDER_PREFIX)) != 0 ||
            !run_folder_lives(dirfd(entries), entry->d_name))
            continue;
        int length = snprintf(paths[count], MUSTER_RUN_FOLDER_BYTES, "%s/%s", base, entry->d_name);
        count += length > 0 && length < MUSTER_RUN_FOLDER_BYTES;
    }
    closedir(entries);
    return count;
}

/* Between its making and its locking a folder looks abandoned: another launcher's sweep may lock or
 * remove it, and then the next try has another name. */
static bool run_folder_try(muster_run_folder *folder, const char *base)
{
    snprintf(folder->path, sizeof folder->path, "%s/%sXXXXXX", base, RUN_FOLDER_PREFIX);
    if (mkdtemp(folder->path) == NULL) {
        folder->path[0] = '\0';
        return false;
    }
    struct stat facts;
    folder->lock_fd = run_folder_lock(AT_FDCWD, folder->path);
    if (folder->lock_fd >= 0 && stat(folder->path, &facts) == 0)
        return true;
    muster_run_folder_remove(folder);
    errno = EAGAIN;
    return false;
}

muster_status muster_run_folder_make(muster_run_folder *folder, muster_error *error)
{
    const char *base = run_folder_base();
    folder->lock_fd = -1;
    muster_run_folder_sweep(base);
    for (int i = 0; i < RUN_FOLDER_TRIES; i++) {
        if (run_folder_try(folder, base))
            return muster_error_set_ok(error);
    }
    return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, 0, 0,
                            "cannot make a folder for this run under %s: %s", base,
                            strerror(errno));
}

void muster_run_folder_remove(muster_run_folder *folder)
{
    if (folder->path[0] != '\0')
        run_folder_delete(AT_FDCWD, folder->path);
    if (folder->lock_fd >= 0)
        close(folder->lock_fd);
    folder->lock_fd = -1;
    folder->path[0] = '\0';
}
