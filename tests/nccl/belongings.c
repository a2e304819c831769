/* SPDX-License-Identifier: Apache-2.0 */
#include "belongings.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEXT_BYTES = 112, NAME_BYTES = TEXT_BYTES + 16, THINGS_MAX = 4096 };

struct belongings {
    size_t count;
    char names[THINGS_MAX][NAME_BYTES]; /* sorted */
};

static void add(belongings *to, const char *kind, const char *name)
{
    if (to->count < THINGS_MAX)
        snprintf(to->names[to->count++], NAME_BYTES, "%s: %s", kind, name);
}

static void add_threads(belongings *to)
{
    DIR *folder = opendir("/proc/self/task");
    for (const struct dirent *entry = folder != NULL ? readdir(folder) : NULL; entry != NULL;
         entry = readdir(folder)) {
        char path[64], name[32] = "of a moment ago";
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        if (fgets(name, sizeof(name), file) != NULL)
            name[strcspn(name, "\n")] = '\0';
        fclose(file);
        add(to, "thread", name);
    }
    if (folder != NULL)
        closedir(folder);
}

static void add_descriptor(belongings *to, int descriptor)
{
    char path[64], target[TEXT_BYTES];
    int listening = 0;
    socklen_t length = sizeof(listening);
    if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0) {
        add(to, "descriptor", listening != 0 ? "listening socket" : "socket");
        return;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    const ssize_t bytes = readlink(path, target, sizeof(target) - 1);
    if (bytes < 0)
        return;
    target[bytes] = '\0';
    if (target[0] != '/')
        target[strcspn(target, "[")] = '\0'; /* pipe:[12345] */
    add(to, "descriptor", target);
}

static void add_descriptors(belongings *to)
{
    DIR *folder = opendir("/proc/self/fd");
    for (const struct dirent *entry = folder != NULL ? readdir(folder) : NULL; entry != NULL;
         entry = readdir(folder)) {
        const int descriptor = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] != '.' && descriptor != dirfd(folder))
            add_descriptor(to, descriptor);
    }
    if (folder != NULL)
        closedir(folder);
}

static void add_mappings(belongings *to)
{
    char line[512];
    FILE *file = fopen("/proc/self/maps", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char name[TEXT_BYTES] = "";
        (void)sscanf(line, "%*s %*s %*s %*s %*s %111[^\n]", name);
        add(to, "mapping", name[0] != '\0' ? name : "anonymous");
    }
    if (file != NULL)
        fclose(file);
}

static int compare(const void *one, const void *other)
{
    return strcmp(one, other);
}

belongings *belongings_count(void)
{
    belongings *found = calloc(1, sizeof(*found));
    if (found == NULL)
        return NULL;
    add_threads(found);
    add_descriptors(found);
    add_mappings(found);
    qsort(found->names, found->count, NAME_BYTES, compare);
    return found;
}

void belongings_free(belongings *of)
{
    free(of);
}

static size_t count_of(const belongings *of, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < of->count; i++)
        count += strcmp(of->names[i], name) == 0;
    return count;
}

size_t belongings_left(const belongings *before, const belongings *after,
                       void (*tell)(void *context, const char *name, size_t more), void *context)
{
    size_t left = 0;
    for (size_t i = 0; i < after->count; i++) {
        const char *name = after->names[i];
        if (i > 0 && strcmp(name, after->names[i - 1]) == 0)
            continue;
        const size_t then = count_of(before, name), now = count_of(after, name);
        if (now <= then)
            continue;
        left += now - then;
        if (tell != NULL)
            tell(context, name, now - then);
    }
    return left;
}
