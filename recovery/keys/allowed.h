/* SPDX-License-Identifier: Apache-2.0 */
/* The list of public keys that a coordinator serves: one a line, as public files have it.
 *
 *     KEY [NAME] [jobs=JOB,JOB...]
 *
 * With jobs= the key may take part in those only. So `cat *.public > allowed` is a list. */
#ifndef MUSTER_KEYS_ALLOWED_H
#define MUSTER_KEYS_ALLOWED_H

#include <stddef.h>
#include <stdint.h>

#include "keys/key.h"

#define MUSTER_ALLOWED_KEYS_MAX 65536

typedef struct muster_allowed_key {
    muster_key key;
    char name[MUSTER_KEY_NAME_BYTES]; /* empty: it has none */
    uint64_t *jobs;                   /* hashes of names; owned. NULL: all */
    size_t job_count;
} muster_allowed_key;

typedef struct muster_allowed {
    muster_allowed_key *items; /* ascending by key */
    size_t count;
    size_t capacity;
} muster_allowed;

/* *allowed is to be ended with muster_allowed_clean_up on MUSTER_OK, and empty otherwise.
 * MUSTER_ERR_ENVIRONMENT names the path and the line; MUSTER_ERR_NO_MEMORY. */
muster_status muster_allowed_read(const char *path, muster_allowed *allowed, muster_error *error);
void muster_allowed_clean_up(muster_allowed *allowed);

/* NULL: it is not in the list. */
const muster_allowed_key *muster_allowed_find(const muster_allowed *allowed, const muster_key *key);
bool muster_allowed_job(const muster_allowed_key *key, uint64_t job);

#endif
