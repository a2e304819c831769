/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "coordinator/editions.h"
#include "operator/http_address.h"
#include "status/page.h"

#define HTTP_CONNECTIONS_MAX 32 /* of each address */
#define HTTP_CONNECTION_MEMORY_BYTES ((size_t)16384)
/* Without a byte either way; and of a connection as a whole, however lively. */
#define HTTP_IDLE_S 10u
#define HTTP_CONNECTION_NS ((int64_t)30 * 1000000000)
#define HTTP_SWEEP_MS 1000
/* An answer of the coordinator's thread that is older is none. */
#define HTTP_READY_NS MUSTER_EDITIONS_WAIT_NS
/* For so long it may be silent, say because its journal's disk is, and still count as alive. */
#define HTTP_ALIVE_NS ((int64_t)10000000000)

typedef enum http_form { HTTP_JSON, HTTP_METRICS, HTTP_TABLE, HTTP_FORM_COUNT } http_form;

typedef struct http_connection {
    int fd; /* -1: none */
    int64_t since_ns;
} http_connection;

typedef struct http_listener {
    muster_http *http;
    struct MHD_Daemon *daemon;
    int epoll_fd; /* the daemon's */
    char text[MUSTER_HTTP_ADDRESS_TEXT_BYTES];
    muster_http_address address;
    http_connection connections[HTTP_CONNECTIONS_MAX];
} http_listener;

/* All but the editions belongs to the thread, once that runs. */
struct muster_http {
    http_listener listeners[MUSTER_COORDINATOR_HTTP_MAX];
    size_t listener_count;
    muster_editions editions;
    muster_overview *overview; /* that the responses show */
    struct MHD_Response *responses[HTTP_FORM_COUNT];
    int end_fd; /* readable: the thread ends */
    pthread_t thread;
    bool has_thread;
};

static int64_t http_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int muster_http_wanted_fd(const muster_http *http)
{
    return http->editions.wanted_fd;
}

bool muster_http_wants(muster_http *http, int64_t now_ns)
{
    return muster_editions_wants(&http->editions, now_ns);
}

void muster_http_give(muster_http *http, muster_overview *overview)
{
    muster_editions_give(&http->editions, overview, http_now_ns());
}

/* ---- answers ---- */

static void http_add_headers(struct MHD_Response *response, const char *type)
{
    static const char *const headers[][2] = {
        {"Cache-Control", "no-store"},
        {"Connection", "close"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src "
                                    "'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
                                    "form-action 'none'; frame-ancestors 'none'"},
    };
    MHD_add_response_header(response, "Content-Type", type);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        MHD_add_response_header(response, headers[i][0], headers[i][1]);
}

/* Takes text over. */
static struct MHD_Response *http_response(const char *type, char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (response != NULL)
        http_add_headers(response, type);
    else
        free(text);
    return response;
}

/* A sentence as the whole answer. */
static enum MHD_Result http_say(struct MHD_Connection *connection, unsigned int code,
                                const char *sentence)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(sentence), (void *)(uintptr_t)sentence, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    http_add_headers(response, "text/plain; charset=utf-8");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result queued = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result http_say_page(struct MHD_Connection *connection)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        muster_status_page_bytes, (void *)(uintptr_t)muster_status_page, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    http_add_headers(response, "text/html; charset=utf-8");
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return queued;
}

static void http_forget(muster_http *http)
{
    for (int form = 0; form < HTTP_FORM_COUNT; form++) {
        if (http->responses[form] != NULL)
            MHD_destroy_response(http->responses[form]);
        http->responses[form] = NULL;
    }
    muster_overview_free(http->overview);
    http->overview = NULL;
}

/* The newest overview, in place of the one that was shown. */
static void http_take(muster_http *http)
{
    muster_overview *newest = muster_editions_take(&http->editions);
    if (newest == NULL)
        return;
    http_forget(http);
    http->overview = newest;
}

/* All who ask for one form of one overview share its text. */
static struct MHD_Response *http_render(muster_http *http, http_form form)
{
    static const struct {
        char *(*render)(const muster_overview *overview);
        const char *type;
    } forms[HTTP_FORM_COUNT] = {
        [HTTP_JSON] = {muster_overview_json, "application/json"},
        [HTTP_METRICS] = {muster_overview_metrics, "text/plain; version=0.0.4; charset=utf-8"},
        [HTTP_TABLE] = {muster_overview_table, "text/plain; charset=utf-8"},
    };
    if (http->responses[form] == NULL && http->overview != NULL) {
        char *text = forms[form].render(http->overview);
        if (text != NULL)
            http->responses[form] = http_response(forms[form].type, text);
    }
    return http->responses[form];
}

static enum MHD_Result http_show(muster_http *http, struct MHD_Connection *connection,
                                 http_form form)
{
    int64_t age_ns = muster_editions_await(&http->editions);
    http_take(http);
    if (age_ns < 0 || age_ns > HTTP_READY_NS)
        return http_say(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                        "the coordinator's thread has not answered for a second\n");
    struct MHD_Response *response = http_render(http, form);
    if (response == NULL)
        return http_say(connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
                        "memory ran out for an overview\n");
    return MHD_queue_response(connection, MHD_HTTP_OK, response);
}

static enum MHD_Result http_say_alive(muster_http *http, struct MHD_Connection *connection,
                                      int64_t longest_ns)
{
    char sentence[96];
    int64_t age_ns = muster_editions_await(&http->editions);
    if (age_ns >= 0 && age_ns <= longest_ns)
        return http_say(connection, MHD_HTTP_OK, "ok\n");
    snprintf(sentence, sizeof sentence, "the coordinator's thread %s for %lld ms\n",
             age_ns < 0 ? "has never answered" : "has not answered",
             (long long)((age_ns < 0 ? HTTP_READY_NS : age_ns) / 1000000));
    return http_say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, sentence);
}

/* A page of somebody else's, shown on this machine, may have its own name lead to this address and then
 * read what is shown here (DNS rebinding); the browser then sends that name. */
static bool http_host_is_ours(const http_listener *listener, struct MHD_Connection *connection)
{
    static const char *const ours[] = {"localhost", "127.", "[::1]"};
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    if (!listener->address.is_loopback || listener->address.is_unix || host == NULL)
        return true;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        size_t length = strlen(ours[i]);
        bool whole = ours[i][length - 1] == '.' || host[length] == '\0' || host[length] == ':';
        if (strncmp(host, ours[i], length) == 0 && whole)
            return ours[i][length - 1] != '.' || host[strspn(host, "0123456789.:")] == '\0';
    }
    return false;
}

static enum MHD_Result http_answer(void *context, struct MHD_Connection *connection,
                                   const char *url, const char *method, const char *version,
                                   const char *upload, size_t *upload_bytes, void **state)
{
    static const struct {
        const char *url;
        http_form form;
    } forms[] = {{"/status", HTTP_JSON}, {"/metrics", HTTP_METRICS}, {"/status.txt", HTTP_TABLE}};
    http_listener *listener = context;
    (void)version;
    (void)upload;
    (void)upload_bytes;
    (void)state;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return http_say(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                        "this side only shows: GET it is\n");
    if (!http_host_is_ours(listener, connection))
        return http_say(connection, MHD_HTTP_FORBIDDEN,
                        "this address is the machine's own, and is not shown under other names\n");
    if (strcmp(url, "/") == 0)
        return http_say_page(connection);
    if (strcmp(url, "/healthz") == 0)
        return http_say_alive(listener->http, connection, HTTP_ALIVE_NS);
    if (strcmp(url, "/readyz") == 0)
        return http_say_alive(listener->http, connection, HTTP_READY_NS);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(url, forms[i].url) == 0)
            return http_show(listener->http, connection, forms[i].form);
    }
    return http_say(connection, MHD_HTTP_NOT_FOUND,
                    "there are / /status /status.txt /metrics /healthz /readyz\n");
}

/* ---- connections ---- */

static int http_connection_fd(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL ? info->connect_fd : -1;
}

static void http_notice(void *context, struct MHD_Connection *connection, void **state,
                        enum MHD_ConnectionNotificationCode code)
{
    http_listener *listener = context;
    http_connection *known = *state;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (known != NULL)
            known->fd = -1;
        return;
    }
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX && known == NULL; i++) {
        if (listener->connections[i].fd < 0)
            known = &listener->connections[i];
    }
    if (known != NULL)
        *known = (http_connection){http_connection_fd(connection), http_now_ns()};
    *state = known;
}

/* Who sends a byte now and then is never idle, and would hold its place for ever. A connection that has
 * had its time is shut; libmicrohttpd sees that, and closes it. */
static void http_sweep(http_listener *listener, int64_t now_ns)
{
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        const http_connection *connection = &listener->connections[i];
        if (connection->fd >= 0 && now_ns - connection->since_ns > HTTP_CONNECTION_NS)
            shutdown(connection->fd, SHUT_RDWR);
    }
}

/* How long there is nothing to do, unless a descriptor says so. */
static int http_sleep_ms(const muster_http *http)
{
    MHD_UNSIGNED_LONG_LONG sleep_ms = HTTP_SWEEP_MS;
    for (size_t i = 0; i < http->listener_count; i++) {
        MHD_UNSIGNED_LONG_LONG its_ms = 0;
        if (MHD_get_timeout(http->listeners[i].daemon, &its_ms) == MHD_YES && its_ms < sleep_ms)
            sleep_ms = its_ms;
    }
    return (int)sleep_ms;
}

static void *http_serve(void *argument)
{
    muster_http *http = argument;
    struct pollfd ready[1 + MUSTER_COORDINATOR_HTTP_MAX] = {{http->end_fd, POLLIN, 0}};
    for (size_t i = 0; i < http->listener_count; i++)
        ready[1 + i] = (struct pollfd){http->listeners[i].epoll_fd, POLLIN, 0};
    while (ready[0].revents == 0) {
        poll(ready, 1 + http->listener_count, http_sleep_ms(http));
        const int64_t now_ns = http_now_ns();
        for (size_t i = 0; i < http->listener_count; i++) {
            http_sweep(&http->listeners[i], now_ns);
            MHD_run(http->listeners[i].daemon);
        }
    }
    return NULL;
}

/* Its words are about peers that behave oddly: nobody could do anything about them. */
static void http_hush(void *context, const char *format, va_list arguments)
{
    (void)context;
    (void)format;
    (void)arguments;
}

static muster_status http_listen(muster_http *http, const char *text, muster_error *error)
{
    http_listener *listener = &http->listeners[http->listener_count];
    muster_http_address address;
    int fd = -1;
    muster_status status = muster_http_address_parse(text, &address, error);
    if (status == MUSTER_OK)
        status = muster_http_address_listen(&address, &fd, error);
    if (status != MUSTER_OK)
        return status;
    listener->http = http;
    listener->address = address;
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        listener->connections[i].fd = -1;
    muster_http_address_text(&address, listener->text, sizeof listener->text);
    /* No thread of the library's own: ours also looks after those that take too long. */
    listener->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, http_answer, listener,
        MHD_OPTION_EXTERNAL_LOGGER, http_hush, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_CONNECTION_MEMORY_BYTES,
        MHD_OPTION_NOTIFY_CONNECTION, http_notice, listener, MHD_OPTION_END);
    if (listener->daemon == NULL) {
        close(fd);
        muster_http_address_unlink(&address);
        return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, 0, 0,
                                "--http %.100s: its server cannot be started", listener->text);
    }
    listener->epoll_fd = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    http->listener_count++;
    return muster_error_set_ok(error);
}

static muster_status http_start(muster_http *http, const char *const *addresses, size_t count,
                                muster_error *error)
{
    muster_status status = muster_editions_init(&http->editions, error);
    http->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (status == MUSTER_OK && http->end_fd < 0)
        status = muster_error_set_errno(error, errno, "making an eventfd");
    for (size_t i = 0; i < count && status == MUSTER_OK; i++)
        status = http_listen(http, addresses[i], error);
    if (status != MUSTER_OK)
        return status;
    int reason = pthread_create(&http->thread, NULL, http_serve, http);
    if (reason != 0)
        return muster_error_set_errno(error, reason, "starting the thread of the HTTP side");
    http->has_thread = true;
    return muster_error_set_ok(error);
}

muster_status muster_http_open(const char *const *addresses, size_t count, muster_http **http,
                               muster_error *error)
{
    *http = NULL;
    if (count == 0)
        return muster_error_set_ok(error);
    muster_http *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the HTTP side");
    muster_status status = http_start(opened, addresses, count, error);
    if (status != MUSTER_OK) {
        muster_http_close(opened);
        return status;
    }
    *http = opened;
    return muster_error_set_ok(error);
}

static void http_end_thread(muster_http *http)
{
    const uint64_t one = 1;
    muster_editions_end(&http->editions);
    (void)!write(http->end_fd, &one, sizeof one);
    pthread_join(http->thread, NULL);
}

void muster_http_close(muster_http *http)
{
    if (http == NULL)
        return;
    if (http->has_thread)
        http_end_thread(http);
    for (size_t i = 0; i < http->listener_count; i++) {
        MHD_stop_daemon(http->listeners[i].daemon);
        muster_http_address_unlink(&http->listeners[i].address);
    }
    http_forget(http);
    muster_editions_clean_up(&http->editions);
    if (http->end_fd >= 0)
        close(http->end_fd);
    free(http);
}

const char *muster_http_address_at(const muster_http *http, size_t index)
{
    return http != NULL && index < http->listener_count ? http->listeners[index].text : NULL;
}
