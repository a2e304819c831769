/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/session/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define OWN_LOCK_PREFIX "set-"
#define USERS_LOCK "users"
#define DAEMON_LOCK "daemon.lock"
#define DAEMON_FILE "daemon"

static bool place_name(muster_place *place)
{
    size_t path_bytes = sizeof place->path;
    if (geteuid() == 0) {
        /* A daemon of root uses the system's run directory whatever LTTNG_HOME says. */
        place->home[0] = '\0';
        return snprintf(place->path, path_bytes, "/run/muster-lttng") < (int)path_bytes;
    }
    const char *home = getenv("LTTNG_HOME");
    if (home != NULL && home[0] == '/') {
        if (snprintf(place->home, sizeof place->home, "%s", home) >= (int)sizeof place->home)
            return false;
    } else {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        if (runtime == NULL || runtime[0] != '/' || access(runtime, W_OK) != 0)
            runtime = "/tmp";
        if (snprintf(place->home, sizeof place->home, "%s/muster-lttng-%u", runtime,
                     (unsigned)geteuid()) >= (int)sizeof place->home)
            return false;
    }
    /* Socket names below it must fit into 108 bytes. */
    return strlen(place->home) < 64 &&
           snprintf(place->path, path_bytes, "%s/muster", place->home) < (int)path_bytes;
}

/* Makes the folder, or takes the one that is there if it is ours alone: another user who made it first
 * must not be able to hand us sockets. */
static muster_status place_folder(const char *path, muster_error *error)
{
    struct stat about;
    if (mkdir(path, S_IRWXU) != 0 && errno != EEXIST)
        return muster_error_set_errno(error, errno, path);
    if (lstat(path, &about) != 0)
        return muster_error_set_errno(error, errno, path);
    if (!S_ISDIR(about.st_mode) || about.st_uid != geteuid() || (about.st_mode & S_IWOTH) != 0)
        return muster_error_set(
            error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, geteuid(), about.st_uid,
            "%s is not a folder of this user alone: remove it, or set LTTNG_HOME "
            "to one",
            path);
    return MUSTER_OK;
}

static int place_lock(int directory, const char *name, int operation)
{
    int lock = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (lock >= 0 && flock(lock, operation | LOCK_NB) != 0) {
        close(lock);
        return -1;
    }
    return lock;
}

static void place_own_lock_name(char name[32], const char *token)
{
    snprintf(name, 32, OWN_LOCK_PREFIX "%.16s", token);
}

muster_status muster_place_open(muster_place *place, muster_error *error)
{
    *place = (muster_place){.directory = -1, .own_lock = -1, .users_lock = -1};
    if (!place_name(place))
        return muster_error_set(
            error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, 63, 0,
            "LTTNG_HOME or XDG_RUNTIME_DIR is too long for the sockets of a "
            "session daemon (at most 63 bytes): set LTTNG_HOME to a shorter one");
    muster_status status = MUSTER_OK;
    if (place->home[0] != '\0')
        status = place_folder(place->home, error);
    if (status == MUSTER_OK)
        status = place_folder(place->path, error);
    if (status != MUSTER_OK)
        return status;
    place->directory = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->directory < 0)
        return muster_error_set_errno(error, errno, place->path);
    if (place->home[0] != '\0')
        setenv("LTTNG_HOME", place->home, 1);
    return muster_error_set_ok(error);
}

muster_status muster_place_join(muster_place *place, muster_error *error)
{
    uint64_t random;
    char name[32];
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return muster_error_set_errno(error, errno, "random bytes");
    snprintf(place->token, sizeof place->token, "%016" PRIx64, random);
    place_own_lock_name(name, place->token);
    place->own_lock = place_lock(place->directory, name, LOCK_EX);
    if (place->own_lock >= 0)
        place->users_lock = place_lock(place->directory, USERS_LOCK, LOCK_SH);
    if (place->own_lock < 0 || place->users_lock < 0)
        return muster_error_set_errno(error, errno, place->path);
    return muster_error_set_ok(error);
}

void muster_place_close(muster_place *place)
{
    char name[32];
    if (place->own_lock >= 0) {
        place_own_lock_name(name, place->token);
        unlinkat(place->directory, name, 0);
        close(place->own_lock);
    }
    if (place->users_lock >= 0)
        close(place->users_lock);
    if (place->directory >= 0)
        close(place->directory);
    place->directory = place->own_lock = place->users_lock = -1;
}

static int64_t place_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int muster_place_lock_daemon(const muster_place *place, int64_t deadline_ns)
{
    for (;;) {
        int lock = place_lock(place->directory, DAEMON_LOCK, LOCK_EX);
        if (lock >= 0 || place_now_ns() >= deadline_ns)
            return lock;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

bool muster_place_leave_users(muster_place *place)
{
    bool last = place->users_lock >= 0 && flock(place->users_lock, LOCK_EX | LOCK_NB) == 0;
    if (place->users_lock >= 0)
        close(place->users_lock);
    place->users_lock = -1;
    return last;
}

bool muster_place_next_orphan(const muster_place *place, long *cursor,
                              char token[MUSTER_PLACE_TOKEN_BYTES])
{
    int copy = openat(place->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy >= 0 ? fdopendir(copy) : NULL;
    if (folder == NULL) {
        if (copy >= 0)
            close(copy);
        return false;
    }
    bool found = false;
    long position = 0;
    const struct dirent *entry;
    while (!found && (entry = readdir(folder)) != NULL) {
        const char *name = entry->d_name;
        if (strncmp(name, OWN_LOCK_PREFIX, strlen(OWN_LOCK_PREFIX)) != 0 ||
            strlen(name) != strlen(OWN_LOCK_PREFIX) + MUSTER_PLACE_TOKEN_BYTES - 1 ||
            position++ < *cursor)
            continue;
        (*cursor)++;
        int lock = place_lock(place->directory, name, LOCK_EX);
        if (lock < 0)
            continue; /* its owner lives */
        close(lock);
        snprintf(token, MUSTER_PLACE_TOKEN_BYTES, "%s", name + strlen(OWN_LOCK_PREFIX));
        found = true;
    }
    closedir(folder);
    return found;
}

void muster_place_forget(const muster_place *place, const char *token)
{
    char name[32];
    place_own_lock_name(name, token);
    unlinkat(place->directory, name, 0);
}

bool muster_place_read_daemon(const muster_place *place, int *process_id, uint64_t *start_ticks)
{
    char text[64];
    int file = openat(place->directory, DAEMON_FILE, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return false;
    text[length] = '\0';
    char *end;
    long number = strtol(text, &end, 10);
    *process_id = (int)number;
    *start_ticks = strtoull(end, NULL, 10);
    return number > 0 && *start_ticks > 0;
}

void muster_place_write_daemon(const muster_place *place, int process_id, uint64_t start_ticks)
{
    int file = openat(place->directory, DAEMON_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                      S_IRUSR | S_IWUSR);
    if (file < 0)
        return; /* the daemon then stays when we leave: nobody can say that we started it */
    dprintf(file, "%d %" PRIu64 "\n", process_id, start_ticks);
    close(file);
}

void muster_place_remove_daemon(const muster_place *place)
{
    unlinkat(place->directory, DAEMON_FILE, 0);
}
