/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of one run: the coordinator's socket and journal. It is locked as long as its launcher
 * lives, so that the next start can tell the folder of a launcher that was killed, and removes it. */
#ifndef MUSTER_LAUNCHER_RUN_FOLDER_H
#define MUSTER_LAUNCHER_RUN_FOLDER_H

#include <stddef.h>

#include <muster/status.h>

#define MUSTER_RUN_FOLDER_BYTES 88 /* with a name after it, still a socket's path */

typedef struct muster_run_folder {
    char path[MUSTER_RUN_FOLDER_BYTES]; /* empty: none */
    int lock_fd;
} muster_run_folder;

/* Makes one, mode 0700, under $XDG_RUNTIME_DIR where that is usable, else under /tmp. Removes what
 * dead launchers of this user left there. MUSTER_ERR_SYSTEM names the place. */
muster_status muster_run_folder_make(muster_run_folder *folder, muster_error *error);
void muster_run_folder_remove(muster_run_folder *folder);

/* The coordinator's socket for `muster status`. */
#define MUSTER_RUN_FOLDER_STATUS "status"

/* Of the runs of this user that are under way: at most capacity; returns how many. */
size_t muster_run_folder_list(char (*paths)[MUSTER_RUN_FOLDER_BYTES], size_t capacity);

/* Removes the folders under base whose launcher is dead. For tests; part of make. */
void muster_run_folder_sweep(const char *base);

#endif
