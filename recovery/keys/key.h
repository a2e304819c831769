/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of the control plane as people see them: 40 characters of Z85, as ZeroMQ's CURVE prints them.
 * What they do is ZeroMQ's matter; here they are text. */
#ifndef MUSTER_KEYS_KEY_H
#define MUSTER_KEYS_KEY_H

#include <stdbool.h>

#include <muster/status.h>

#define MUSTER_KEY_TEXT_LENGTH 40
/* Names of keys, for people: letters, digits, '.', '_' and '-'. */
#define MUSTER_KEY_NAME_BYTES 64

typedef struct muster_key {
    char text[MUSTER_KEY_TEXT_LENGTH + 1]; /* empty: none */
} muster_key;

typedef struct muster_key_pair {
    muster_key public_key;
    muster_key secret_key;
} muster_key_pair;

/* What a rank or a launcher needs: whom it means to speak with, and who it is. */
typedef struct muster_client_keys {
    muster_key coordinator; /* public */
    muster_key_pair own;
} muster_client_keys;

/* text up to its end or the first blank. False: that is no key. */
bool muster_key_parse(const char *text, muster_key *key);
bool muster_key_same(const muster_key *one, const muster_key *other);
bool muster_key_name_usable(const char *name);

/* So that a secret does not stay in memory that is given back. */
void muster_key_pair_wipe(muster_key_pair *pair);
void muster_client_keys_wipe(muster_client_keys *keys);

#endif
