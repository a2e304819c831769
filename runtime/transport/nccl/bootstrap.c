/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/bootstrap.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/nccl/device.h"

/* In NCCL's id, behind a number of eight bytes, lies the address at which its thread listens. Should a version
 * put something else there, then no socket of this process has that address, and all stays as it was. */
enum { ADDRESS_OFFSET = 8 };

static bool same_address(const struct sockaddr_storage *one, const struct sockaddr_storage *other)
{
    if (one->ss_family != other->ss_family)
        return false;
    if (one->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)one, *b = (const void *)other;
        return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *a = (const void *)one, *b = (const void *)other;
    return a->sin6_port == b->sin6_port &&
           memcmp(&a->sin6_addr, &b->sin6_addr, sizeof(a->sin6_addr)) == 0;
}

static bool has_address(int descriptor, const struct sockaddr_storage *address)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof(own);
    memset(&own, 0, sizeof(own));
    return getsockname(descriptor, (struct sockaddr *)(void *)&own, &length) == 0 &&
           same_address(&own, address);
}

/* The duplicate holds on to the socket that was looked at: the thread may close its own descriptor meanwhile, and
 * the number become another file's. */
static void shut_down(int descriptor, const struct sockaddr_storage *address)
{
    const int held = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (held < 0)
        return;
    if (has_address(held, address))
        (void)shutdown(held, SHUT_RDWR);
    close(held);
}

/* Those with that local address are the listening one and what it has accepted. NCCL's thread finds them
 * shut down, closes them and ends. */
static void end(const muster_device_id *id)
{
    struct sockaddr_storage address;
    memset(&address, 0, sizeof(address));
    memcpy(&address, id->data + ADDRESS_OFFSET, sizeof(struct sockaddr_in6));
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6)
        return;
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char *rest = NULL;
        const long descriptor = strtol(entry->d_name, &rest, 10);
        if (rest != entry->d_name && *rest == '\0' && has_address((int)descriptor, &address))
            shut_down((int)descriptor, &address);
    }
    closedir(folder);
}

bool muster_nccl_bootstrap_note(muster_device *device, const muster_device_id *id)
{
    muster_nccl_bootstrap *bootstrap = calloc(1, sizeof(*bootstrap));
    if (bootstrap == NULL) {
        end(id);
        return false;
    }
    bootstrap->id = *id;
    pthread_mutex_lock(&device->lock);
    bootstrap->next = device->bootstraps;
    device->bootstraps = bootstrap;
    pthread_mutex_unlock(&device->lock);
    return true;
}

static muster_nccl_bootstrap *take(muster_device *device, const muster_device_id *id)
{
    pthread_mutex_lock(&device->lock);
    muster_nccl_bootstrap **place = &device->bootstraps;
    while (*place != NULL && memcmp((*place)->id.data, id->data, sizeof(id->data)) != 0)
        place = &(*place)->next;
    muster_nccl_bootstrap *found = *place;
    if (found != NULL)
        *place = found->next;
    pthread_mutex_unlock(&device->lock);
    return found;
}

void muster_nccl_bootstrap_settle(muster_device *device, const muster_device_id *ids, int32_t count,
                                  bool connected)
{
    for (int32_t i = 0; i < count; i++) {
        muster_nccl_bootstrap *bootstrap = take(device, &ids[i]);
        if (bootstrap != NULL && !connected)
            end(&bootstrap->id);
        free(bootstrap);
    }
}

void muster_nccl_bootstrap_end_all(muster_device *device)
{
    pthread_mutex_lock(&device->lock);
    muster_nccl_bootstrap *bootstrap = device->bootstraps;
    device->bootstraps = NULL;
    pthread_mutex_unlock(&device->lock);
    while (bootstrap != NULL) {
        muster_nccl_bootstrap *next = bootstrap->next;
        end(&bootstrap->id);
        free(bootstrap);
        bootstrap = next;
    }
}
