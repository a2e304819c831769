/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/host_id.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"

#define HOST_ID_BYTES_MAX 256

uint64_t muster_host_id(const char *said)
{
    char text[HOST_ID_BYTES_MAX] = {0};
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t bytes = read(fd, text, sizeof text - 1);
        close(fd);
        text[bytes > 0 ? bytes : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
    }
    if (text[0] == '\0' && gethostname(text, sizeof text - 1) != 0) {
        /* Not even a name: every such host looks alike, and connecting says what is wrong. */
        text[0] = '\0';
    }
    uint64_t id = muster_hash_text(text);
    return said && said[0] != '\0' ? muster_hash_bytes(said, strlen(said), id) : id;
}
