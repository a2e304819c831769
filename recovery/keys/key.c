/* SPDX-License-Identifier: Apache-2.0 */
#include "keys/key.h"

#include <stdint.h>
#include <string.h>

/* Z85: five characters are four bytes, the first character the most significant. */
static const char key_alphabet[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

#define KEY_GROUP_LENGTH 5

static bool key_group_usable(const char *group)
{
    uint64_t value = 0;
    for (int i = 0; i < KEY_GROUP_LENGTH; i++) {
        const char *at = strchr(key_alphabet, group[i]);
        if (at == NULL)
            return false;
        value = value * (sizeof key_alphabet - 1) + (uint64_t)(at - key_alphabet);
    }
    return value <= UINT32_MAX;
}

bool muster_key_parse(const char *text, muster_key *key)
{
    memset(key, 0, sizeof *key);
    if (strcspn(text, " \t\r\n") != MUSTER_KEY_TEXT_LENGTH)
        return false;
    for (int i = 0; i < MUSTER_KEY_TEXT_LENGTH; i += KEY_GROUP_LENGTH) {
        if (!key_group_usable(text + i))
            return false;
    }
    memcpy(key->text, text, MUSTER_KEY_TEXT_LENGTH);
    return true;
}

bool muster_key_same(const muster_key *one, const muster_key *other)
{
    return strcmp(one->text, other->text) == 0;
}

bool muster_key_name_usable(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < MUSTER_KEY_NAME_BYTES && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               length;
}

void muster_key_pair_wipe(muster_key_pair *pair)
{
    explicit_bzero(pair, sizeof *pair);
}

void muster_client_keys_wipe(muster_client_keys *keys)
{
    explicit_bzero(keys, sizeof *keys);
}
