/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/porter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "transport/host/thread.h"
#include "transport/tcp/guest.h"
#include "transport/tcp/mesh.h"

/* Those who have not shown the cookie, and those who have and wait for their epoch to begin here. */
#define GUESTS_MAX ((size_t)1024)
#define GUEST_PATIENCE_NS (5000 * MUSTER_HOST_MILLISECOND_NS)
#define PARKED_PATIENCE_NS (60000 * MUSTER_HOST_MILLISECOND_NS)
#define ACCEPT_NAP_NS (10 * MUSTER_HOST_MILLISECOND_NS)
#define EVENTS 64

/* What an event is about: one of these, or the place and generation of a watched connection. */
#define ABOUT_LISTENER UINT64_MAX
#define ABOUT_STOP (UINT64_MAX - 1)
#define ABOUT_GUESTS (UINT64_MAX - 2)

void muster_tcp_porter_init(muster_tcp_porter *porter, uint64_t job,
                            const muster_tcp_address *address, int listen_fd)
{
    pthread_condattr_t monotonic;

    memset(porter, 0, sizeof *porter);
    porter->job = job;
    porter->address = *address;
    porter->listen_fd = listen_fd;
    porter->epoll_fd = -1;
    porter->stop_fd = -1;
    pthread_mutex_init(&porter->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&porter->admitted, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* ---- connections ---- */

static muster_tcp_watched *free_place(muster_tcp_porter *porter)
{
    size_t before = porter->watched_capacity;
    size_t capacity = before == 0 ? 16 : before * 2;
    muster_tcp_watched *watched;

    for (size_t i = 0; i < before; i++)
        if (porter->watched[i].mesh == NULL)
            return &porter->watched[i];
    watched = realloc(porter->watched, capacity * sizeof *watched);
    if (watched == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memset(watched + before, 0, (capacity - before) * sizeof *watched);
    porter->watched = watched;
    porter->watched_capacity = capacity;
    return &watched[before];
}

/* Events of fd are the connection's from now on. False with errno. */
static bool watch(muster_tcp_porter *porter, muster_tcp_mesh *mesh,
                  muster_tcp_connection *connection, int fd, int operation)
{
    muster_tcp_watched *place = free_place(porter);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};

    if (place == NULL)
        return false;
    event.data.u64 = (uint64_t)place->generation << 32 | (uint64_t)(place - porter->watched);
    if (epoll_ctl(porter->epoll_fd, operation, fd, &event) != 0)
        return false;
    *place = (muster_tcp_watched){
        .mesh = mesh, .connection = connection, .generation = place->generation};
    muster_tcp_connection_begin(connection, fd);
    return true;
}

/* The generation keeps an event that is under way from being taken for one of the next connection. */
static void unwatch(muster_tcp_watched *place)
{
    place->mesh = NULL;
    place->connection = NULL;
    place->generation = (place->generation + 1) & INT32_MAX;
}

static void unwatch_connection(muster_tcp_porter *porter, const muster_tcp_connection *connection)
{
    for (size_t i = 0; i < porter->watched_capacity; i++)
        if (porter->watched[i].connection == connection)
            unwatch(&porter->watched[i]);
}

static void notice(muster_tcp_porter *porter, uint64_t about, uint32_t events)
{
    size_t index = (uint32_t)about;
    muster_tcp_watched *place;
    uint32_t ready = 0;

    if (index >= porter->watched_capacity)
        return;
    place = &porter->watched[index];
    if (place->mesh == NULL || place->generation != about >> 32)
        return;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        ready |= MUSTER_TCP_READABLE;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        ready |= MUSTER_TCP_WRITABLE;
    atomic_fetch_or(&place->connection->ready, ready);
    if (place->mesh->wake != NULL)
        place->mesh->wake(place->mesh->wake_context);
}

/* ---- guests ---- */

static void drop_guest(muster_tcp_porter *porter, size_t index, bool close_fd)
{
    if (close_fd)
        close(porter->guests[index].fd);
    porter->guests[index] = porter->guests[--porter->guest_count];
}

static void refuse(muster_tcp_porter *porter, size_t index, muster_tcp_refusal refusal)
{
    muster_tcp_guest_refuse(&porter->guests[index], refusal);
    porter->refused_count++;
    drop_guest(porter, index, true);
}

static muster_tcp_mesh *find_mesh(const muster_tcp_porter *porter, const muster_tcp_header *header)
{
    for (muster_tcp_mesh *mesh = porter->meshes; mesh != NULL; mesh = mesh->next)
        if (mesh->options.epoch == header->epoch &&
            mesh->options.communicator == header->communicator)
            return mesh;
    return NULL;
}

/* A member of this mesh: its connection. One that it had before, and has given up while all still connect, goes. */
static void let_in(muster_tcp_porter *porter, size_t index, muster_tcp_mesh *mesh)
{
    muster_tcp_guest *guest = &porter->guests[index];
    muster_tcp_connection *connection = &mesh->peers[guest->hello.from.rank].connection;
    const muster_tcp_member *own = &mesh->members[mesh->options.own_rank];
    const muster_tcp_member *peer = &mesh->members[guest->hello.from.rank];
    bool ok;

    if (connection->fd >= 0) {
        unwatch_connection(porter, connection);
        close(connection->fd);
        muster_tcp_connection_init(connection, mesh->options.epoch, mesh->options.communicator);
        muster_tcp_mesh_lay_out(mesh, guest->hello.from.rank);
    }
    ok = muster_tcp_connection_set_up(guest->fd, mesh->options.silence_ns) &&
         muster_tcp_guest_welcome(guest, own->slot, own->incarnation, peer->address.cookie) &&
         watch(porter, mesh, connection, guest->fd, EPOLL_CTL_MOD);
    drop_guest(porter, index, !ok);
    pthread_cond_broadcast(&porter->admitted);
}

/* One whose hello is whole. True where it is still a guest afterwards. */
static bool judge_guest(muster_tcp_porter *porter, size_t index)
{
    muster_tcp_guest *guest = &porter->guests[index];
    muster_tcp_mesh *mesh = find_mesh(porter, &guest->header);

    if (guest->hello.job != porter->job ||
        !muster_tcp_cookie_equal(guest->hello.cookie, porter->address.cookie)) {
        refuse(porter, index, MUSTER_TCP_REFUSAL_COOKIE);
        return false;
    }
    if (mesh == NULL && guest->header.epoch >= porter->newest_epoch) {
        if (!guest->parked)
            guest->deadline_ns = muster_host_clock_now_ns() + PARKED_PATIENCE_NS;
        guest->parked = true;
        return true;
    }
    if (mesh == NULL || !mesh->connecting)
        refuse(porter, index, MUSTER_TCP_REFUSAL_LATE);
    else if (!muster_tcp_mesh_knows(mesh, &guest->hello))
        refuse(porter, index, MUSTER_TCP_REFUSAL_MEMBER);
    else
        let_in(porter, index, mesh);
    return false;
}

static void serve_guests(muster_tcp_porter *porter)
{
    int64_t now_ns = muster_host_clock_now_ns();

    for (size_t i = 0; i < porter->guest_count;) {
        muster_tcp_guest *guest = &porter->guests[i];

        switch (muster_tcp_guest_listen(guest)) {
        case MUSTER_TCP_GUEST_WAITS:
            if (now_ns < guest->deadline_ns) {
                i++;
                break;
            }
            porter->refused_count++;
            drop_guest(porter, i, true);
            break;
        case MUSTER_TCP_GUEST_HELLO:
            if (judge_guest(porter, i))
                i++;
            break;
        case MUSTER_TCP_GUEST_VERSION:
            refuse(porter, i, MUSTER_TCP_REFUSAL_VERSION);
            break;
        case MUSTER_TCP_GUEST_GONE:
            porter->refused_count += guest->parked ? 0 : 1;
            drop_guest(porter, i, true);
            break;
        }
    }
}

/* A new mesh: who waited for it comes in. */
static void serve_parked(muster_tcp_porter *porter)
{
    for (size_t i = 0; porter->guests != NULL && i < porter->guest_count;)
        if (!porter->guests[i].parked || judge_guest(porter, i))
            i++;
}

/* Room for one more, at the cost of whoever has not shown the cookie for longest. */
static bool make_room(muster_tcp_porter *porter)
{
    size_t oldest = GUESTS_MAX;

    if (porter->guest_count < GUESTS_MAX)
        return true;
    for (size_t i = 0; i < porter->guest_count; i++)
        if (!porter->guests[i].parked &&
            (oldest == GUESTS_MAX ||
             porter->guests[i].deadline_ns < porter->guests[oldest].deadline_ns))
            oldest = i;
    if (oldest == GUESTS_MAX)
        return false;
    porter->refused_count++;
    drop_guest(porter, oldest, true);
    return true;
}

static void accept_guests(muster_tcp_porter *porter)
{
    for (;;) {
        int fd = accept4(porter->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = ABOUT_GUESTS};

        if (fd < 0) {
            /* Out of descriptors: the queue stays readable, so waiting at once would spin. */
            if (muster_host_want_is(errno)) {
                muster_host_want_failed(&porter->want, errno, muster_host_clock_now_ns());
                muster_host_clock_nap(ACCEPT_NAP_NS);
            }
            return;
        }
        muster_host_want_ended(&porter->want);
        if (!make_room(porter) || epoll_ctl(porter->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
            porter->refused_count++;
            close(fd);
            continue;
        }
        memset(&porter->guests[porter->guest_count], 0, sizeof *porter->guests);
        porter->guests[porter->guest_count].fd = fd;
        porter->guests[porter->guest_count].deadline_ns =
            muster_host_clock_now_ns() + GUEST_PATIENCE_NS;
        porter->guest_count++;
    }
}

/* ---- the thread ---- */

static int wait_ms(const muster_tcp_porter *porter)
{
    int64_t earliest_ns = INT64_MAX;
    int64_t left_ns;

    for (size_t i = 0; i < porter->guest_count; i++)
        if (porter->guests[i].deadline_ns < earliest_ns)
            earliest_ns = porter->guests[i].deadline_ns;
    if (earliest_ns == INT64_MAX)
        return -1;
    left_ns = earliest_ns - muster_host_clock_now_ns();
    return left_ns <= 0 ? 0 : (int)(left_ns / MUSTER_HOST_MILLISECOND_NS) + 1;
}

/* False: stop. */
static bool take_event(muster_tcp_porter *porter, const struct epoll_event *event)
{
    switch (event->data.u64) {
    case ABOUT_STOP:
        return false;
    case ABOUT_LISTENER:
        accept_guests(porter);
        return true;
    case ABOUT_GUESTS:
        return true; /* all of them are looked at below */
    default:
        notice(porter, event->data.u64, event->events);
        return true;
    }
}

static void *run(void *argument)
{
    muster_tcp_porter *porter = argument;
    struct epoll_event events[EVENTS];
    int timeout_ms = -1;
    bool go_on = true;

    while (go_on) {
        int count = epoll_wait(porter->epoll_fd, events, EVENTS, timeout_ms);

        pthread_mutex_lock(&porter->mutex);
        for (int i = 0; i < count && go_on; i++)
            go_on = take_event(porter, &events[i]);
        if (porter->guest_count > 0)
            serve_guests(porter);
        timeout_ms = wait_ms(porter);
        pthread_mutex_unlock(&porter->mutex);
    }
    return NULL;
}

static bool add_event(const muster_tcp_porter *porter, int fd, uint64_t about)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = about};

    return fd >= 0 && epoll_ctl(porter->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void close_own(muster_tcp_porter *porter)
{
    if (porter->epoll_fd >= 0)
        close(porter->epoll_fd);
    if (porter->stop_fd >= 0)
        close(porter->stop_fd);
    porter->epoll_fd = -1;
    porter->stop_fd = -1;
    free(porter->guests);
    porter->guests = NULL;
}

static muster_status start(muster_tcp_porter *porter, muster_error *error)
{
    int code;

    porter->guests = calloc(GUESTS_MAX, sizeof *porter->guests);
    if (porter->guests == NULL)
        return muster_error_set_errno(error, ENOMEM, "letting in ranks of other hosts");
    porter->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    porter->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (porter->epoll_fd >= 0 && add_event(porter, porter->stop_fd, ABOUT_STOP) &&
        add_event(porter, porter->listen_fd, ABOUT_LISTENER)) {
        code = muster_host_thread_start(&porter->thread, "muster-porter", run, porter);
        porter->running = code == 0;
    } else {
        code = errno;
    }
    if (porter->running)
        return MUSTER_OK;
    close_own(porter);
    return muster_error_set_errno(error, code, "starting the thread for ranks of other hosts");
}

void muster_tcp_porter_clean_up(muster_tcp_porter *porter)
{
    uint64_t one = 1;

    MUSTER_ASSERT(porter->meshes == NULL);
    if (porter->running) {
        while (write(porter->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
        pthread_join(porter->thread, NULL);
        while (porter->guest_count > 0)
            drop_guest(porter, 0, true);
    }
    close_own(porter);
    if (porter->listen_fd >= 0)
        close(porter->listen_fd);
    free(porter->watched);
    pthread_cond_destroy(&porter->admitted);
    pthread_mutex_destroy(&porter->mutex);
}

muster_status muster_tcp_porter_add(muster_tcp_porter *porter, muster_tcp_mesh *mesh,
                                    muster_error *error)
{
    muster_status status = MUSTER_OK;

    pthread_mutex_lock(&porter->mutex);
    if (!porter->running)
        status = start(porter, error);
    if (status == MUSTER_OK) {
        mesh->next = porter->meshes;
        porter->meshes = mesh;
        mesh->connecting = true;
        if (mesh->options.epoch > porter->newest_epoch)
            porter->newest_epoch = mesh->options.epoch;
        serve_parked(porter);
    }
    pthread_mutex_unlock(&porter->mutex);
    return status;
}

void muster_tcp_porter_remove(muster_tcp_porter *porter, muster_tcp_mesh *mesh)
{
    muster_tcp_mesh **link = &porter->meshes;

    pthread_mutex_lock(&porter->mutex);
    while (*link != NULL && *link != mesh)
        link = &(*link)->next;
    if (*link != NULL)
        *link = mesh->next;
    for (size_t i = 0; i < porter->watched_capacity; i++)
        if (porter->watched[i].mesh == mesh)
            unwatch(&porter->watched[i]);
    pthread_mutex_unlock(&porter->mutex);
}

bool muster_tcp_porter_attach(muster_tcp_porter *porter, muster_tcp_mesh *mesh,
                              muster_tcp_connection *connection, int fd)
{
    bool ok;

    pthread_mutex_lock(&porter->mutex);
    ok = watch(porter, mesh, connection, fd, EPOLL_CTL_ADD);
    pthread_mutex_unlock(&porter->mutex);
    return ok;
}
