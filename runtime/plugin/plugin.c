/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Its address lies in the object that this code is linked into. */
static const char plugin_here;

static bool plugin_own_directory(char *directory, size_t capacity)
{
    Dl_info info;
    char path[PATH_MAX];
    /* A program found through PATH has no folder in its name: ask the kernel. */
    if (dladdr(&plugin_here, &info) == 0 || info.dli_fname == NULL ||
        strchr(info.dli_fname, '/') == NULL) {
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        if (length <= 0)
            return false;
        path[length] = '\0';
    } else if (snprintf(path, sizeof path, "%s", info.dli_fname) >= (int)sizeof path) {
        return false;
    }
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return snprintf(directory, capacity, "%s", path) < (int)capacity;
}

static void *plugin_try(const char *path, char *reason, bool *found)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL) {
        const char *text = dlerror();
        /* A file that is there and does not load is the reason worth telling. */
        if (!*found)
            snprintf(reason, MUSTER_PLUGIN_REASON_BYTES, "%s", text != NULL ? text : path);
        *found = *found || access(path, F_OK) == 0;
    }
    return library;
}

void *muster_plugin_load_file(const char *path, char reason[MUSTER_PLUGIN_REASON_BYTES])
{
    bool found = false;
    return plugin_try(path, reason, &found);
}

void *muster_plugin_load(const char *file, char reason[MUSTER_PLUGIN_REASON_BYTES])
{
    static const char *const folders[] = {".", MUSTER_PLUGIN_DIR, MUSTER_PLUGIN_DIR_INSTALLED};
    char directory[PATH_MAX];
    char path[PATH_MAX];
    bool found = false;
    if (plugin_own_directory(directory, sizeof directory)) {
        for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
            int length = snprintf(path, sizeof path, "%s/%s/%s", directory, folders[i], file);
            if (length >= (int)sizeof path || access(path, F_OK) != 0)
                continue;
            void *library = plugin_try(path, reason, &found);
            if (library != NULL)
                return library;
        }
    }
    return plugin_try(file, reason, &found);
}
