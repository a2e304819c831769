/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/listener.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "transport/host/clock.h"
#include "transport/host/thread.h"

#define CLIENTS_MAX 64
/* A peer that connects and then says nothing (stopped, or gone wrong) keeps its place this long. */
#define CLIENT_PATIENCE_NS (500 * MUSTER_HOST_MILLISECOND_NS)
#define ACCEPT_NAP_NS (10 * MUSTER_HOST_MILLISECOND_NS)

typedef struct client {
    int fd;
    int64_t deadline_ns;
} client;

static void answer(const muster_host_listener *listener, int fd, const muster_host_request *request)
{
    muster_host_reply reply;

    switch (request->kind) {
    case MUSTER_HOST_REQUEST_SEGMENT:
        muster_host_offers_answer(listener->offers, fd, request);
        return;
    case MUSTER_HOST_REQUEST_EXPORTS:
        muster_host_exports_answer(listener->exports, fd, request);
        return;
    case MUSTER_HOST_REQUEST_LIFE:
        memset(&reply, 0, sizeof reply);
        reply.answer = MUSTER_HOST_ANSWER_OK;
        reply.fd_count = 1;
        muster_host_handover_send_reply(fd, &reply, &listener->life->mapping.fd);
        return;
    default:
        memset(&reply, 0, sizeof reply);
        reply.answer = MUSTER_HOST_ANSWER_VERSION;
        muster_host_handover_send_reply(fd, &reply, NULL);
    }
}

/* One was let in, or could not be. */
static void accepted(muster_host_listener *listener, int native_code)
{
    pthread_mutex_lock(&listener->mutex);
    if (native_code == 0)
        muster_host_want_ended(&listener->want);
    else
        muster_host_want_failed(&listener->want, native_code, muster_host_clock_now_ns());
    pthread_mutex_unlock(&listener->mutex);
}

int muster_host_listener_in_want(muster_host_listener *listener)
{
    int native_code = 0;

    pthread_mutex_lock(&listener->mutex);
    if (muster_host_want_lasts(&listener->want, muster_host_clock_now_ns()))
        native_code = listener->want.native_code;
    pthread_mutex_unlock(&listener->mutex);
    return native_code;
}

static size_t accept_clients(muster_host_listener *listener, client *clients, size_t count)
{
    while (count < CLIENTS_MAX) {
        int fd = accept4(listener->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
            /* Out of descriptors: the queue stays readable, so polling at once would spin. */
            if (muster_host_want_is(errno)) {
                accepted(listener, errno);
                muster_host_clock_nap(ACCEPT_NAP_NS);
            }
            return count;
        }
        accepted(listener, 0);
        if (!muster_host_handover_same_user(fd)) {
            close(fd);
            continue;
        }
        clients[count++] =
            (client){.fd = fd, .deadline_ns = muster_host_clock_now_ns() + CLIENT_PATIENCE_NS};
    }
    return count;
}

/* Answers those that have asked, and forgets those that will not. */
static size_t serve_clients(const muster_host_listener *listener, client *clients, size_t count)
{
    int64_t now_ns = muster_host_clock_now_ns();
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        muster_host_request request;
        int came = muster_host_handover_receive_request(clients[i].fd, &request);

        if (came == 0 && now_ns < clients[i].deadline_ns) {
            clients[kept++] = clients[i];
            continue;
        }
        if (came == 1)
            answer(listener, clients[i].fd, &request);
        close(clients[i].fd);
    }
    return kept;
}

static void serve(muster_host_listener *listener)
{
    client clients[CLIENTS_MAX];
    size_t count = 0;

    for (;;) {
        struct pollfd entries[2 + CLIENTS_MAX];

        entries[0] = (struct pollfd){.fd = listener->stop_fd, .events = POLLIN};
        /* Full: further ones wait in the socket's queue. */
        entries[1] =
            (struct pollfd){.fd = count < CLIENTS_MAX ? listener->listen_fd : -1, .events = POLLIN};
        for (size_t i = 0; i < count; i++)
            entries[2 + i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        if (poll(entries, 2 + count, count > 0 ? 100 : -1) < 0)
            continue;
        if (entries[0].revents != 0)
            break;
        if (entries[1].revents != 0)
            count = accept_clients(listener, clients, count);
        count = serve_clients(listener, clients, count);
    }
    for (size_t i = 0; i < count; i++)
        close(clients[i].fd);
}

static void *run(void *argument)
{
    muster_host_listener *listener = argument;

    muster_host_life_hold(listener->life);
    pthread_mutex_lock(&listener->mutex);
    listener->holds_life = true;
    pthread_cond_signal(&listener->started);
    pthread_mutex_unlock(&listener->mutex);
    serve(listener);
    muster_host_life_let_go(listener->life);
    return NULL;
}

muster_status muster_host_listener_start(muster_host_listener *listener, int listen_fd,
                                         muster_host_life *life, muster_host_offers *offers,
                                         muster_host_exports *exports, muster_error *error)
{
    int code;

    *listener = (muster_host_listener){
        .listen_fd = listen_fd, .stop_fd = -1, .life = life, .offers = offers, .exports = exports};
    listener->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (listener->stop_fd < 0) {
        code = errno;
        close(listen_fd);
        return muster_error_set_errno(error, code, "eventfd for the endpoint's listener");
    }
    pthread_mutex_init(&listener->mutex, NULL);
    pthread_cond_init(&listener->started, NULL);
    code = muster_host_thread_start(&listener->thread, "muster-listen", run, listener);
    if (code != 0) {
        pthread_cond_destroy(&listener->started);
        pthread_mutex_destroy(&listener->mutex);
        close(listener->stop_fd);
        close(listen_fd);
        return muster_error_set_errno(error, code, "starting the endpoint's listener thread");
    }
    pthread_mutex_lock(&listener->mutex);
    while (!listener->holds_life)
        pthread_cond_wait(&listener->started, &listener->mutex);
    pthread_mutex_unlock(&listener->mutex);
    return MUSTER_OK;
}

void muster_host_listener_stop(muster_host_listener *listener)
{
    uint64_t one = 1;

    while (write(listener->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(listener->thread, NULL);
    pthread_cond_destroy(&listener->started);
    pthread_mutex_destroy(&listener->mutex);
    close(listener->stop_fd);
    close(listener->listen_fd);
}
