/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a file of keys: refused in a sentence, or keys. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "keys/allowed.h"
#include "keys/key_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    char path[64];
    muster_key_pair pair;
    muster_key key;
    muster_allowed allowed;
    muster_error error = {.struct_bytes = sizeof error};
    int fd = memfd_create("keys", MFD_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0600) != 0 || write(fd, bytes, byte_count) != (ssize_t)byte_count)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (muster_key_pair_read(path, &pair, &error) == MUSTER_OK)
        MUSTER_ASSERT(strlen(pair.public_key.text) == MUSTER_KEY_TEXT_LENGTH &&
                      strlen(pair.secret_key.text) == MUSTER_KEY_TEXT_LENGTH);
    if (muster_public_key_read(path, &key, &error) == MUSTER_OK)
        MUSTER_ASSERT(strlen(key.text) == MUSTER_KEY_TEXT_LENGTH);
    if (muster_allowed_read(path, &allowed, &error) == MUSTER_OK) {
        for (size_t i = 0; i < allowed.count; i++)
            MUSTER_ASSERT(muster_allowed_find(&allowed, &allowed.items[i].key) ==
                          &allowed.items[i]);
        muster_allowed_clean_up(&allowed);
    }
    close(fd);
    return 0;
}
