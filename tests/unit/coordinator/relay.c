/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct relay {
    int listener;
    int port;
    int target_port;
    int stop_fd;
    atomic_bool repeat;
    pthread_t thread;
};

static int relay_connect(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* False: that side is closed. */
static bool relay_pass(int from, int to, bool twice)
{
    char bytes[65536];
    ssize_t got = recv(from, bytes, sizeof bytes, 0);
    if (got <= 0)
        return false;
    for (int i = 0; i < (twice ? 2 : 1); i++) {
        if (send(to, bytes, (size_t)got, MSG_NOSIGNAL) != got)
            return false;
    }
    return true;
}

/* True: to be stopped. */
static bool relay_serve(relay *of, int client)
{
    int target = relay_connect(of->target_port);
    bool open = target >= 0;
    bool stop = false;
    while (open && !stop) {
        struct pollfd ready[3] = {{.fd = client, .events = POLLIN},
                                  {.fd = target, .events = POLLIN},
                                  {.fd = of->stop_fd, .events = POLLIN}};
        poll(ready, 3, -1);
        stop = ready[2].revents != 0;
        if (ready[0].revents != 0)
            open = relay_pass(client, target, atomic_load(&of->repeat));
        if (open && ready[1].revents != 0)
            open = relay_pass(target, client, false);
    }
    if (target >= 0)
        close(target);
    close(client);
    return stop;
}

static void *relay_thread(void *argument)
{
    relay *of = argument;
    bool stop = false;
    while (!stop) {
        struct pollfd ready[2] = {{.fd = of->listener, .events = POLLIN},
                                  {.fd = of->stop_fd, .events = POLLIN}};
        poll(ready, 2, -1);
        stop = ready[1].revents != 0;
        if (!stop && ready[0].revents != 0) {
            int client = accept4(of->listener, NULL, NULL, SOCK_CLOEXEC);
            if (client >= 0)
                stop = relay_serve(of, client);
        }
    }
    return NULL;
}

relay *relay_start(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    relay *of = calloc(1, sizeof *of);
    if (of == NULL)
        abort();
    of->target_port = port;
    of->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    of->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (of->listener < 0 || of->stop_fd < 0 ||
        bind(of->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(of->listener, 16) != 0 ||
        getsockname(of->listener, (struct sockaddr *)&address, &address_bytes) != 0)
        abort();
    of->port = ntohs(address.sin_port);
    if (pthread_create(&of->thread, NULL, relay_thread, of) != 0)
        abort();
    return of;
}

int relay_port(const relay *of)
{
    return of->port;
}

void relay_repeat(relay *of)
{
    atomic_store(&of->repeat, true);
}

void relay_stop(relay *of)
{
    const uint64_t one = 1;
    if (write(of->stop_fd, &one, sizeof one) != sizeof one)
        abort();
    pthread_join(of->thread, NULL);
    close(of->listener);
    close(of->stop_fd);
    free(of);
}
