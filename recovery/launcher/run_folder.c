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
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define RUN_FOLDER_PREFIX "muster-run-"
#define RUN_FOLDER_LOCK "lock"
#define RUN_FOLDER_BASE "/tmp"
/* Between mkdir and its lock a folder looks abandoned: leave it that long. */
#define RUN_FOLDER_YOUNG_S 60

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

/* Whether its launcher is dead: the lock is there and nobody holds it. */
static bool run_folder_abandoned(int base_fd, const char *name)
{
    struct stat facts;
    if (fstatat(base_fd, name, &facts, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(facts.st_mode) ||
        facts.st_uid != geteuid())
        return false;
    int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    int lock_fd = openat(fd, RUN_FOLDER_LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    close(fd);
    if (lock_fd < 0)
        return time(NULL) - facts.st_mtime > RUN_FOLDER_YOUNG_S;
    bool abandoned = flock(lock_fd, LOCK_EX | LOCK_NB) == 0;
    close(lock_fd);
    return abandoned;
}

void muster_run_folder_sweep(const char *base)
{
    DIR *entries = opendir(base);
    if (entries == NULL)
        return;
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (strncmp(entry->d_name, RUN_FOLDER_PREFIX, strlen(RUN_FOLDER_PREFIX)) == 0 &&
            run_folder_abandoned(dirfd(entries), entry->d_name))
            run_folder_delete(dirfd(entries), entry->d_name);
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

muster_status muster_run_folder_make(muster_run_folder *folder, muster_error *error)
{
    const char *base = run_folder_base();
    char lock_path[MUSTER_RUN_FOLDER_BYTES + sizeof RUN_FOLDER_LOCK + 1];
    folder->lock_fd = -1;
    muster_run_folder_sweep(base);
    snprintf(folder->path, sizeof folder->path, "%s/%sXXXXXX", base, RUN_FOLDER_PREFIX);
    if (mkdtemp(folder->path) == NULL) {
        int reason = errno;
        folder->path[0] = '\0';
        return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, 0, 0,
                                "cannot make a folder for this run under %s: %s", base,
                                strerror(reason));
    }
    snprintf(lock_path, sizeof lock_path, "%s/%s", folder->path, RUN_FOLDER_LOCK);
    folder->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (folder->lock_fd < 0 || flock(folder->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        int reason = errno;
        muster_run_folder_remove(folder);
        return muster_error_set_errno(error, reason, "locking the folder of this run");
    }
    return muster_error_set_ok(error);
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
