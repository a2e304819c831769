/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/abandoned.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/nccl/clock.h"

enum { PASSES = 4, EMPTY_FOR_S = 60 };

/* nccl-XXXXXX, as mkstemp fills it in. */
static bool is_name(const char *name)
{
    static const char begin[] = "nccl-";
    const char *end = name + sizeof(begin) - 1;
    if (strncmp(name, begin, sizeof(begin) - 1) != 0 || strlen(end) != 6)
        return false;
    while (isalnum((unsigned char)*end))
        end++;
    return *end == '\0';
}

static bool is_before(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec < other->tv_sec ||
           (one->tv_sec == other->tv_sec && one->tv_nsec < other->tv_nsec);
}

/* The kernel grants this lease where no process has the file open for writing, or mapped, but through `file`. Who opens
 * it meanwhile waits until `file` is closed, and its holder gets a signal: one that is ignored by default, since the
 * usual one would end this process. */
static bool has_nobody(int file)
{
    return fcntl(file, F_SETSIG, SIGURG) == 0 && fcntl(file, F_SETLEASE, F_WRLCK) == 0;
}

static bool is_same(int file, const struct stat *named)
{
    struct stat opened;
    return fstat(file, &opened) == 0 && opened.st_ino == named->st_ino &&
           opened.st_dev == named->st_dev;
}

/* NCCL has its files open from their creation until they are removed; the kernel counts that from a moment after the name
 * is seen, but before NCCL gives the file its size. An empty one is therefore looked at only once it has been so for long. */
static bool is_candidate(const struct stat *named, const struct timespec *since)
{
    struct timespec long_ago;
    clock_gettime(CLOCK_REALTIME_COARSE, &long_ago);
    long_ago.tv_sec -= EMPTY_FOR_S;
    return S_ISREG(named->st_mode) && named->st_uid == geteuid() &&
           !is_before(&named->st_ctim, since) &&
           (named->st_size > 0 || is_before(&named->st_ctim, &long_ago));
}

/* False: in use, or looked at by another survivor right now. */
static bool remove_one(int folder, const char *name, const struct timespec *since)
{
    struct stat named;
    if (fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) != 0 || !is_candidate(&named, since))
        return true;
    const int file = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return false;
    const bool abandoned = has_nobody(file) && is_same(file, &named);
    if (abandoned)
        (void)unlinkat(folder, name, 0);
    close(file);
    return abandoned;
}

/* False: some are left. */
static bool remove_all(const char *path, const struct timespec *since)
{
    bool all = true;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return true;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (is_name(entry->d_name))
            all = remove_one(dirfd(folder), entry->d_name, since) && all;
    }
    closedir(folder);
    return all;
}

void muster_nccl_abandoned_remove(const char *folder, const struct timespec *since)
{
    /* Two survivors that look at the same moment each find the other one's descriptor: not in step again. */
    const int64_t nap_ns = MUSTER_NCCL_MILLISECOND_NS * (1 + getpid() % 8) / 2;
    for (int pass = 0; pass < PASSES && !remove_all(folder, since); pass++)
        muster_nccl_clock_nap(nap_ns);
}
