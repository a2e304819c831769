/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting a mesh: this rank goes to every lower one, and waits for every higher one. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "transport/tcp/greeting.h"
#include "transport/tcp/mesh.h"

/* How late an admitted rank may be noticed. */
#define SLICE_NS (2 * MUSTER_HOST_MILLISECOND_NS)
/* Before this a peer that cannot be reached is no news: it may just be starting. */
#define UNREACHED_NS (500 * MUSTER_HOST_MILLISECOND_NS)

typedef struct mesh_meeting {
    muster_tcp_mesh *mesh;
    muster_tcp_greeting *greetings; /* by rank; those to lower remote ranks are used */
    struct pollfd *entries;
} mesh_meeting;

static void prepare(mesh_meeting *meeting, int32_t rank)
{
    muster_tcp_mesh *mesh = meeting->mesh;
    const muster_tcp_mesh_options *options = &mesh->options;
    const muster_tcp_member *own = &mesh->members[options->own_rank];
    const muster_tcp_member *peer = &mesh->members[rank];
    muster_tcp_greeting *greeting = &meeting->greetings[rank];

    greeting->address = peer->address;
    memcpy(greeting->own_cookie, mesh->porter->address.cookie, sizeof greeting->own_cookie);
    greeting->header = (muster_tcp_header){.kind = MUSTER_TCP_HELLO,
                                           .epoch = options->epoch,
                                           .communicator = options->communicator,
                                           .bytes = MUSTER_TCP_HELLO_BYTES};
    greeting->hello = (muster_tcp_hello){
        .job = mesh->porter->job,
        .from = {options->own_rank, own->slot, own->incarnation},
        .to = {rank, peer->slot, peer->incarnation},
        .member_count = options->member_count,
    };
    memcpy(greeting->hello.cookie, peer->address.cookie, sizeof greeting->hello.cookie);
    greeting->silence_ns = options->silence_ns;
    muster_tcp_greeting_init(greeting);
}

static muster_status refused(const muster_tcp_mesh *mesh, int32_t rank, muster_status status,
                             muster_error *error)
{
    muster_error_set(error, status, MUSTER_FIELD_NONE, 0, 0,
                     status == MUSTER_ERR_VERSION
                         ? "rank %d (slot %d) speaks another version of Muster; run the same on "
                           "all hosts"
                         : "rank %d (slot %d) says that this rank is no member of its epoch",
                     rank, mesh->members[rank].slot);
    if (error != NULL)
        error->rank = rank;
    return status;
}

static muster_status step(mesh_meeting *meeting, int32_t rank, int64_t now_ns, muster_error *error)
{
    muster_tcp_mesh *mesh = meeting->mesh;
    muster_tcp_greeting *greeting = &meeting->greetings[rank];
    muster_status status;

    if (greeting->state == MUSTER_TCP_GREETING_DONE)
        return MUSTER_OK;
    status = muster_tcp_greeting_step(greeting, now_ns);
    if (status != MUSTER_OK)
        return refused(mesh, rank, status, error);
    if (greeting->unreached_since_ns != 0 && now_ns - greeting->unreached_since_ns >= UNREACHED_NS)
        (void)muster_tcp_mesh_report_rank(mesh, rank, now_ns);
    if (greeting->state != MUSTER_TCP_GREETING_DONE)
        return MUSTER_OK;
    if (!muster_tcp_porter_attach(mesh->porter, mesh, &mesh->peers[rank].connection, greeting->fd))
        return muster_error_set_errno(error, errno, "watching a connection with another host");
    greeting->fd = -1;
    return MUSTER_OK;
}

/* The lowest remote rank that is not connected, or -1. */
static int32_t first_absent(muster_tcp_mesh *mesh)
{
    int32_t absent = -1;

    pthread_mutex_lock(&mesh->porter->mutex);
    for (int32_t i = 0; i < mesh->remote_count && absent < 0; i++)
        if (mesh->peers[mesh->remotes[i]].connection.fd < 0)
            absent = mesh->remotes[i];
    pthread_mutex_unlock(&mesh->porter->mutex);
    return absent;
}

static void wait_for_news(mesh_meeting *meeting, const muster_host_patience *patience)
{
    const muster_tcp_mesh *mesh = meeting->mesh;
    int64_t slice_ns = muster_host_patience_slice_ns(patience, SLICE_NS);
    struct timespec slice = {.tv_nsec = (long)slice_ns};
    nfds_t count = 0;

    for (int32_t i = 0; i < mesh->remote_count; i++) {
        int32_t rank = mesh->remotes[i];

        if (rank < mesh->options.own_rank &&
            muster_tcp_greeting_events(&meeting->greetings[rank]) != 0)
            meeting->entries[count++] =
                (struct pollfd){.fd = meeting->greetings[rank].fd,
                                .events = muster_tcp_greeting_events(&meeting->greetings[rank])};
    }
    (void)ppoll(meeting->entries, count, &slice, NULL);
}

static muster_status not_connected(const mesh_meeting *meeting, int32_t rank, muster_status status,
                                   muster_error *error)
{
    const muster_tcp_mesh *mesh = meeting->mesh;
    const muster_tcp_greeting *greeting = &meeting->greetings[rank];
    char address[MUSTER_TCP_ADDRESS_TEXT_BYTES];
    bool goes = rank < mesh->options.own_rank;

    muster_tcp_address_text(&mesh->members[rank].address, address, sizeof address);
    muster_error_set(
        error, status, MUSTER_FIELD_NONE, 0, 0,
        "rank %d (slot %d, %s) %s %s%s%s; see what became of it, and whether its port is open "
        "between the hosts",
        rank, mesh->members[rank].slot, address, goes ? "did not answer" : "did not connect",
        status == MUSTER_ERR_TIMEOUT ? "before the deadline" : "before the epoch was revoked",
        greeting->native_code != 0 ? ": " : "",
        greeting->native_code != 0 ? strerrordesc_np(greeting->native_code) : "");
    if (error != NULL)
        error->rank = rank;
    return status;
}

/* This process is at fault, and not the peer: its rank ends, and its slot is filled anew. */
static muster_status in_want(const mesh_meeting *meeting, int32_t rank, int native_code,
                             muster_error *error)
{
    muster_status status = native_code == ENOMEM ? MUSTER_ERR_NO_MEMORY : MUSTER_ERR_SYSTEM;

    muster_error_set(error, status, MUSTER_FIELD_NONE, 0, 0,
                     "no socket can be had for rank %d (slot %d): %s; see how many files this "
                     "process has open, and `ulimit -n`",
                     rank, meeting->mesh->members[rank].slot, strerrordesc_np(native_code));
    if (error != NULL) {
        error->rank = meeting->mesh->options.own_rank;
        error->native_code = native_code;
    }
    return status;
}

/* The lowest rank that this process has no socket for, and has not had for a while, with the reason; or -1. */
static int32_t first_wanting(const mesh_meeting *meeting, int64_t now_ns, int *native_code)
{
    muster_tcp_mesh *mesh = meeting->mesh;
    int32_t wanting = -1;

    pthread_mutex_lock(&mesh->porter->mutex);
    for (int32_t i = 0; i < mesh->remote_count && wanting < 0; i++) {
        int32_t rank = mesh->remotes[i];
        const muster_host_want *want =
            rank < mesh->options.own_rank ? &meeting->greetings[rank].want : &mesh->porter->want;

        if (mesh->peers[rank].connection.fd < 0 && muster_host_want_lasts(want, now_ns)) {
            *native_code = want->native_code;
            wanting = rank;
        }
    }
    pthread_mutex_unlock(&mesh->porter->mutex);
    return wanting;
}

static muster_status meet(mesh_meeting *meeting, const muster_host_patience *patience,
                          muster_error *error)
{
    muster_tcp_mesh *mesh = meeting->mesh;

    for (;;) {
        int64_t now_ns = muster_host_clock_now_ns();
        muster_status status = MUSTER_OK;
        int32_t absent;
        int32_t wanting;
        int native_code = 0;

        for (int32_t i = 0; i < mesh->remote_count && status == MUSTER_OK; i++)
            if (mesh->remotes[i] < mesh->options.own_rank)
                status = step(meeting, mesh->remotes[i], now_ns, error);
        if (status != MUSTER_OK)
            return status;
        absent = first_absent(mesh);
        if (absent < 0)
            return MUSTER_OK;
        status = muster_host_patience_check(patience);
        if (status != MUSTER_OK)
            return not_connected(meeting, absent, status, error);
        wanting = first_wanting(meeting, now_ns, &native_code);
        if (wanting >= 0)
            return in_want(meeting, wanting, native_code, error);
        wait_for_news(meeting, patience);
    }
}

muster_status muster_tcp_mesh_connect(muster_tcp_mesh *mesh, const muster_host_patience *patience,
                                      muster_error *error)
{
    size_t count = (size_t)mesh->options.member_count;
    mesh_meeting meeting = {.mesh = mesh,
                            .greetings = calloc(count, sizeof *meeting.greetings),
                            .entries = calloc(count, sizeof *meeting.entries)};
    muster_status status;

    if (meeting.greetings == NULL || meeting.entries == NULL) {
        status = muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                  "no memory to connect %d ranks", mesh->options.member_count);
    } else {
        for (int32_t i = 0; i < mesh->remote_count; i++)
            prepare(&meeting, mesh->remotes[i]);
        status = meet(&meeting, patience, error);
        for (int32_t i = 0; i < mesh->remote_count; i++)
            muster_tcp_greeting_clean_up(&meeting.greetings[mesh->remotes[i]]);
    }
    free(meeting.greetings);
    free(meeting.entries);
    return status;
}
