/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/handover.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"

#define ADDRESS_MAGIC 0x4d484f53u
#define REQUEST_MAGIC 0x4d485251u
#define REPLY_MAGIC 0x4d485250u
#define VERSION 1u
#define BACKLOG 256
#define NAP_NS MUSTER_HOST_MILLISECOND_NS

_Static_assert(sizeof(muster_host_address) <= MUSTER_TRANSPORT_BLOB_BYTES,
               "an address fits a transport blob");

/* Room for the descriptors of one message, aligned as the kernel wants it. */
typedef union fd_room {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(MUSTER_HOST_HANDOVER_FDS * sizeof(int))];
} fd_room;

static socklen_t socket_name(const muster_host_address *address, struct sockaddr_un *name)
{
    static const char prefix[] = "muster-";
    size_t at = 1; /* a leading zero byte: an abstract name, in no file system */

    memset(name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path + at, prefix, sizeof prefix - 1);
    at += sizeof prefix - 1;
    for (size_t i = 0; i < MUSTER_HOST_NAME_BYTES; i++, at += 2)
        snprintf(name->sun_path + at, 3, "%02x", address->name[i]);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + at);
}

void muster_host_handover_here(muster_host_address *address)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    struct stat namespace_file;

    memset(address, 0, sizeof *address);
    address->magic = ADDRESS_MAGIC;
    address->version = VERSION;
    if (file != NULL) {
        /* A short read leaves zeros: then every host looks alike, and connecting says the rest. */
        if (fread(address->boot_id, 1, sizeof address->boot_id, file) != sizeof address->boot_id)
            memset(address->boot_id, 0, sizeof address->boot_id);
        fclose(file);
    }
    if (stat("/proc/self/ns/net", &namespace_file) == 0)
        address->network_namespace = namespace_file.st_ino;
}

muster_status muster_host_handover_listen(muster_host_address *address, int *fd,
                                          muster_error *error)
{
    struct sockaddr_un name;
    socklen_t name_bytes;
    int code;

    muster_host_handover_here(address);
    if (getrandom(address->name, sizeof address->name, 0) != (ssize_t)sizeof address->name)
        return muster_error_set_errno(error, errno, "getrandom for the endpoint's name");
    name_bytes = socket_name(address, &name);
    *fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return muster_error_set_errno(error, errno, "socket for the endpoint");
    if (bind(*fd, (const struct sockaddr *)&name, name_bytes) == 0 && listen(*fd, BACKLOG) == 0)
        return MUSTER_OK;
    code = errno;
    close(*fd);
    *fd = -1;
    return muster_error_set_errno(error, code, "binding the endpoint's socket");
}

bool muster_host_handover_parse(const muster_transport_blob *blob, muster_host_address *address)
{
    if (blob->bytes != sizeof *address)
        return false;
    memcpy(address, blob->data, sizeof *address);
    return address->magic == ADDRESS_MAGIC && address->version == VERSION;
}

bool muster_host_handover_same_user(int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.uid == geteuid();
}

/* Until fd has one of events. MUSTER_OK or what patience says. */
static muster_status await(int fd, short events, const muster_host_patience *patience)
{
    for (;;) {
        struct pollfd entry = {.fd = fd, .events = events};
        int64_t slice_ns = muster_host_patience_slice_ns(patience, MUSTER_HOST_POLL_NS);
        /* Rounded up: a last slice of 0 ms would spin. */
        int slice_ms =
            (int)((slice_ns + MUSTER_HOST_MILLISECOND_NS - 1) / MUSTER_HOST_MILLISECOND_NS);
        muster_status status;

        if (poll(&entry, 1, slice_ms) > 0)
            return MUSTER_OK;
        status = muster_host_patience_check(patience);
        if (status != MUSTER_OK)
            return status;
    }
}

static muster_status connect_to(int fd, const muster_host_address *address,
                                const muster_host_patience *patience, int *native_code)
{
    struct sockaddr_un name;
    socklen_t name_bytes = socket_name(address, &name);

    while (connect(fd, (const struct sockaddr *)&name, name_bytes) != 0) {
        muster_status status;

        *native_code = errno;
        if (errno == ECONNREFUSED)
            return MUSTER_ERR_COMM_FAILED;
        /* EAGAIN: its queue of connections is full, a busy moment. */
        if (errno != EAGAIN && errno != EINTR)
            return MUSTER_ERR_SYSTEM;
        status = muster_host_patience_check(patience);
        if (status != MUSTER_OK)
            return status;
        muster_host_clock_nap(NAP_NS);
    }
    return muster_host_handover_same_user(fd) ? MUSTER_OK : MUSTER_ERR_FOREIGN;
}

static muster_status send_request(int fd, const muster_host_request *request,
                                  const muster_host_patience *patience, int *native_code)
{
    while (send(fd, request, sizeof *request, MSG_NOSIGNAL) != (ssize_t)sizeof *request) {
        muster_status status;

        *native_code = errno;
        if (errno == EPIPE || errno == ECONNRESET)
            return MUSTER_ERR_COMM_FAILED;
        if (errno != EAGAIN && errno != EINTR)
            return MUSTER_ERR_SYSTEM;
        status = await(fd, POLLOUT, patience);
        if (status != MUSTER_OK)
            return status;
    }
    return MUSTER_OK;
}

/* Takes all descriptors of a message, so that a reply that is refused leaks none. */
static uint32_t take_fds(struct msghdr *message, int *fds)
{
    uint32_t count = 0;

    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        size_t part_count;

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        part_count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < part_count && count < MUSTER_HOST_HANDOVER_FDS; i++, count++)
            memcpy(&fds[count], CMSG_DATA(part) + i * sizeof(int), sizeof(int));
    }
    return count;
}

static muster_status receive_reply(int fd, muster_host_reply *reply, int *fds,
                                   const muster_host_patience *patience, int *native_code)
{
    fd_room room;
    struct iovec data = {.iov_base = reply, .iov_len = sizeof *reply};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof room.bytes};
    uint32_t fd_count;
    ssize_t got;

    for (;;) {
        muster_status status;

        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        if (got >= 0)
            break;
        *native_code = errno;
        if (errno == ECONNRESET)
            return MUSTER_ERR_COMM_FAILED;
        if (errno != EAGAIN && errno != EINTR)
            return MUSTER_ERR_SYSTEM;
        status = await(fd, POLLIN, patience);
        if (status != MUSTER_OK)
            return status;
    }
    if (got == 0)
        return MUSTER_ERR_COMM_FAILED; /* closed without an answer: it is leaving */
    fd_count = take_fds(&message, fds);
    if (got == (ssize_t)sizeof *reply && reply->magic == REPLY_MAGIC && reply->version == VERSION &&
        reply->fd_count == fd_count && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return MUSTER_OK;
    for (uint32_t i = 0; i < fd_count; i++)
        close(fds[i]);
    /* Descriptors were cut off: this process has no free ones left. */
    *native_code = (message.msg_flags & MSG_CTRUNC) != 0 ? EMFILE : EPROTO;
    return *native_code == EMFILE ? MUSTER_ERR_SYSTEM : MUSTER_ERR_VERSION;
}

muster_status muster_host_handover_ask(const muster_host_address *address,
                                       muster_host_request *request, muster_host_reply *reply,
                                       int *fds, const muster_host_patience *patience,
                                       int *native_code)
{
    muster_status status;
    int fd;

    *native_code = 0;
    request->magic = REQUEST_MAGIC;
    request->version = VERSION;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        *native_code = errno;
        return MUSTER_ERR_SYSTEM;
    }
    status = connect_to(fd, address, patience, native_code);
    if (status == MUSTER_OK)
        status = send_request(fd, request, patience, native_code);
    if (status == MUSTER_OK)
        status = receive_reply(fd, reply, fds, patience, native_code);
    close(fd);
    return status;
}

int muster_host_handover_receive_request(int fd, muster_host_request *request)
{
    ssize_t got = recv(fd, request, sizeof *request, MSG_TRUNC);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (got != (ssize_t)sizeof *request || request->magic != REQUEST_MAGIC)
        return -1;
    /* Of another version: answered, so that the asking side can say so. */
    if (request->version != VERSION)
        request->kind = 0;
    return 1;
}

void muster_host_handover_send_reply(int fd, muster_host_reply *reply, const int *fds)
{
    fd_room room;
    struct iovec data = {.iov_base = reply, .iov_len = sizeof *reply};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

    reply->magic = REPLY_MAGIC;
    reply->version = VERSION;
    if (reply->fd_count > 0) {
        size_t fd_bytes = reply->fd_count * sizeof(int);

        memset(&room, 0, sizeof room);
        message.msg_control = room.bytes;
        message.msg_controllen = CMSG_SPACE(fd_bytes);
        room.header.cmsg_level = SOL_SOCKET;
        room.header.cmsg_type = SCM_RIGHTS;
        room.header.cmsg_len = CMSG_LEN(fd_bytes);
        memcpy(CMSG_DATA(&room.header), fds, fd_bytes);
    }
    /* The first message of a connection always fits; a peer that is gone is no news here. */
    while (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR)
        ;
}
