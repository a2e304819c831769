/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "operator/endpoint.h"
#include "operator/http_address.h"
#include "status/page.h"

#define HTTP_CONNECTIONS_MAX 32
#define HTTP_CONNECTION_MEMORY_BYTES ((size_t)16384)
#define HTTP_BACKLOG 64
/* Without a byte either way; and of a connection as a whole, however lively. */
#define HTTP_IDLE_S 10u
#define HTTP_CONNECTION_NS ((int64_t)30 * 1000000000)
/* An overview this old is not shown where the coordinator gives a newer one within the wait. */
#define HTTP_FRESH_NS ((int64_t)200000000)
#define HTTP_WAIT_NS ((int64_t)1000000000)
/* Of the coordinator's time, one part of so many at most goes into overviews. */
#define HTTP_SHARE 20
/* For so long it may be silent, say because its journal's disk is, and still count as alive. */
#define HTTP_ALIVE_NS ((int64_t)10000000000)

typedef enum http_form { HTTP_JSON, HTTP_METRICS, HTTP_TABLE, HTTP_FORM_COUNT } http_form;

/* What is known, shared by the threads that show it. */
typedef struct http_edition {
    muster_overview *overview;
    int references; /* under the lock */
} http_edition;

typedef struct http_connection {
    int fd; /* -1: none */
    int64_t since_ns;
} http_connection;

/* One address, one thread of libmicrohttpd. All but the connections belongs to that thread. */
typedef struct http_listener {
    muster_http *http;
    struct MHD_Daemon *daemon;
    char text[MUSTER_HTTP_ADDRESS_TEXT_BYTES];
    char path[sizeof(struct sockaddr_un)]; /* of a Unix socket of ours, else empty */
    bool loopback;
    bool is_unix;
    http_edition *edition; /* that the responses are of */
    struct MHD_Response *responses[HTTP_FORM_COUNT];
    http_connection connections[HTTP_CONNECTIONS_MAX]; /* under the lock */
} http_listener;

struct muster_http {
    http_listener listeners[MUSTER_COORDINATOR_HTTP_MAX];
    size_t listener_count;
    int wanted_fd;
    pthread_mutex_t lock;
    pthread_cond_t given;
    http_edition *edition; /* the newest; NULL: none yet */
    int64_t given_ns;      /* when it, or the word that there is no memory, came; 0: never */
    bool wanted;           /* somebody waits */
    int64_t in_vain_ns;    /* when somebody last waited for nothing */
    int64_t next_ns;       /* before, none is asked for */
    int64_t making_ns;     /* of the coordinator's thread alone: since when it makes one */
};

static int64_t http_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- overviews, from the coordinator's thread to those of the listeners ---- */

static void http_edition_drop(http_edition *edition)
{
    if (edition == NULL || --edition->references > 0)
        return;
    muster_overview_free(edition->overview);
    free(edition);
}

int muster_http_wanted_fd(const muster_http *http)
{
    return http->wanted_fd;
}

/* A connection that has had its time is shut; its thread then closes it. The descriptor is its own as
 * long as it stands here. */
static void http_sweep(muster_http *http, int64_t now_ns)
{
    for (size_t i = 0; i < http->listener_count; i++) {
        for (size_t k = 0; k < HTTP_CONNECTIONS_MAX; k++) {
            http_connection *connection = &http->listeners[i].connections[k];
            if (connection->fd >= 0 && now_ns - connection->since_ns > HTTP_CONNECTION_NS)
                shutdown(connection->fd, SHUT_RDWR);
        }
    }
}

bool muster_http_wants(muster_http *http, int64_t now_ns)
{
    uint64_t count = 0;
    pthread_mutex_lock(&http->lock);
    http_sweep(http, now_ns);
    bool wanted = http->wanted;
    http->wanted = false;
    (void)!read(http->wanted_fd, &count, sizeof count);
    http->making_ns = now_ns;
    pthread_mutex_unlock(&http->lock);
    return wanted;
}

void muster_http_give(muster_http *http, muster_overview *overview)
{
    http_edition *edition = calloc(1, sizeof *edition);
    if (edition == NULL || overview == NULL) {
        muster_overview_free(overview);
        free(edition);
        edition = NULL;
    } else {
        *edition = (http_edition){.overview = overview, .references = 1};
    }
    int64_t now_ns = http_now_ns();
    pthread_mutex_lock(&http->lock);
    http->next_ns = now_ns + (now_ns - http->making_ns) * (HTTP_SHARE - 1);
    http->given_ns = now_ns;
    if (edition != NULL) {
        http_edition_drop(http->edition);
        http->edition = edition;
    }
    pthread_cond_broadcast(&http->given);
    pthread_mutex_unlock(&http->lock);
}

static void http_deadline(int64_t at_ns, struct timespec *deadline)
{
    deadline->tv_sec = (time_t)(at_ns / 1000000000);
    deadline->tv_nsec = (long)(at_ns % 1000000000);
}

/* Asks, and waits for an answer as new as may be. Returns its age; below zero: there never was one. */
static int64_t http_refresh(muster_http *http)
{
    const uint64_t one = 1;
    const int64_t begun_ns = http_now_ns();
    int64_t now_ns = begun_ns;
    pthread_mutex_lock(&http->lock);
    /* Whoever came just after one that waited in vain need not do so again. */
    const int64_t end_ns =
        begun_ns - http->in_vain_ns < HTTP_WAIT_NS ? begun_ns : begun_ns + HTTP_WAIT_NS;
    while (now_ns < end_ns && (http->given_ns == 0 || begun_ns - http->given_ns > HTTP_FRESH_NS)) {
        bool early = now_ns < http->next_ns;
        if (!early) {
            http->wanted = true;
            (void)!write(http->wanted_fd, &one, sizeof one);
        }
        struct timespec until;
        http_deadline(early && http->next_ns < end_ns ? http->next_ns : end_ns, &until);
        pthread_cond_timedwait(&http->given, &http->lock, &until);
        now_ns = http_now_ns();
    }
    int64_t age_ns = http->given_ns > 0 ? now_ns - http->given_ns : -1;
    if (age_ns < 0 || age_ns > HTTP_WAIT_NS)
        http->in_vain_ns = now_ns;
    pthread_mutex_unlock(&http->lock);
    return age_ns;
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

static void http_listener_forget(http_listener *listener)
{
    for (int form = 0; form < HTTP_FORM_COUNT; form++) {
        if (listener->responses[form] != NULL)
            MHD_destroy_response(listener->responses[form]);
        listener->responses[form] = NULL;
    }
}

/* The newest edition is this thread's; the lock is held for the swap of a pointer. */
static void http_listener_take(http_listener *listener)
{
    muster_http *http = listener->http;
    http_edition *old = NULL;
    pthread_mutex_lock(&http->lock);
    if (http->edition != listener->edition) {
        old = listener->edition;
        listener->edition = http->edition;
        listener->edition->references++;
        http_listener_forget(listener);
    }
    http_edition_drop(old);
    pthread_mutex_unlock(&http->lock);
}

/* All who ask for one form of one edition share its text. */
static struct MHD_Response *http_render(http_listener *listener, http_form form)
{
    static const struct {
        char *(*render)(const muster_overview *overview);
        const char *type;
    } forms[HTTP_FORM_COUNT] = {
        [HTTP_JSON] = {muster_overview_json, "application/json"},
        [HTTP_METRICS] = {muster_overview_metrics, "text/plain; version=0.0.4; charset=utf-8"},
        [HTTP_TABLE] = {muster_overview_table, "text/plain; charset=utf-8"},
    };
    if (listener->responses[form] == NULL && listener->edition != NULL) {
        char *text = forms[form].render(listener->edition->overview);
        if (text != NULL)
            listener->responses[form] = http_response(forms[form].type, text);
    }
    return listener->responses[form];
}

static enum MHD_Result http_show(http_listener *listener, struct MHD_Connection *connection,
                                 http_form form)
{
    int64_t age_ns = http_refresh(listener->http);
    http_listener_take(listener);
    if (age_ns < 0 || age_ns > HTTP_WAIT_NS)
        return http_say(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                        "the coordinator's thread has not answered for a second\n");
    struct MHD_Response *response = http_render(listener, form);
    if (response == NULL)
        return http_say(connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
                        "memory ran out for an overview\n");
    return MHD_queue_response(connection, MHD_HTTP_OK, response);
}

static enum MHD_Result http_say_alive(http_listener *listener, struct MHD_Connection *connection,
                                      int64_t longest_ns)
{
    char sentence[96];
    int64_t age_ns = http_refresh(listener->http);
    if (age_ns >= 0 && age_ns <= longest_ns)
        return http_say(connection, MHD_HTTP_OK, "ok\n");
    snprintf(sentence, sizeof sentence, "the coordinator's thread %s for %lld ms\n",
             age_ns < 0 ? "has never answered" : "has not answered",
             (long long)((age_ns < 0 ? HTTP_WAIT_NS : age_ns) / 1000000));
    return http_say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, sentence);
}

/* A page of somebody else's, shown on this machine, may have its own name lead to this address and then
 * read what is shown here (DNS rebinding); the browser then sends that name. */
static bool http_host_is_ours(const http_listener *listener, struct MHD_Connection *connection)
{
    static const char *const ours[] = {"localhost", "127.", "[::1]"};
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    if (!listener->loopback || listener->is_unix || host == NULL)
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
        return http_say_alive(listener, connection, HTTP_ALIVE_NS);
    if (strcmp(url, "/readyz") == 0)
        return http_say_alive(listener, connection, HTTP_WAIT_NS);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(url, forms[i].url) == 0)
            return http_show(listener, connection, forms[i].form);
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
    const int fd = http_connection_fd(connection);
    const int wanted = code == MHD_CONNECTION_NOTIFY_STARTED ? -1 : fd;
    (void)state;
    pthread_mutex_lock(&listener->http->lock);
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX && fd >= 0; i++) {
        if (listener->connections[i].fd == wanted) {
            listener->connections[i] =
                (http_connection){code == MHD_CONNECTION_NOTIFY_STARTED ? fd : -1, http_now_ns()};
            break;
        }
    }
    pthread_mutex_unlock(&listener->http->lock);
}

/* Its words are about peers that behave oddly: nobody could do anything about them. */
static void http_hush(void *context, const char *format, va_list arguments)
{
    (void)context;
    (void)format;
    (void)arguments;
}

static muster_status http_refuse(const http_listener *listener, int reason, muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                            "the HTTP side cannot listen at %.100s: %s; choose another address",
                            listener->text, strerror(reason));
}

/* A socket that is bound and listens; -1: see errno. */
static int http_bind(http_listener *listener, muster_http_address *address)
{
    const int yes = 1;
    const struct sockaddr_un *local = (const struct sockaddr_un *)&address->address;
    if (address->is_unix && muster_endpoint_ipc_taken(local->sun_path)) {
        errno = EADDRINUSE;
        return -1;
    }
    /* What a coordinator that was killed left behind; nothing but a socket is removed. */
    struct stat facts;
    if (address->is_unix && lstat(local->sun_path, &facts) == 0 && S_ISSOCK(facts.st_mode))
        unlink(local->sun_path);
    int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    socklen_t bytes = sizeof address->address;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        bind(fd, (struct sockaddr *)&address->address, address->address_bytes) == 0) {
        if (address->is_unix) {
            snprintf(listener->path, sizeof listener->path, "%s", local->sun_path);
            chmod(local->sun_path, S_IRUSR | S_IWUSR);
        }
        if (listen(fd, HTTP_BACKLOG) == 0 &&
            (address->is_unix ||
             getsockname(fd, (struct sockaddr *)&address->address, &bytes) == 0))
            return fd;
    }
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static muster_status http_listen(muster_http *http, const char *text, muster_error *error)
{
    http_listener *listener = &http->listeners[http->listener_count];
    muster_http_address address;
    muster_status status = muster_http_address_parse(text, &address, error);
    if (status != MUSTER_OK)
        return status;
    listener->http = http;
    listener->is_unix = address.is_unix;
    listener->loopback = address.is_loopback;
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        listener->connections[i].fd = -1;
    muster_http_address_text(&address, listener->text, sizeof listener->text);
    int fd = http_bind(listener, &address);
    if (fd < 0)
        return http_refuse(listener, errno, error);
    muster_http_address_text(&address, listener->text, sizeof listener->text);
    listener->daemon = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, http_answer, listener,
        MHD_OPTION_EXTERNAL_LOGGER, http_hush, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_CONNECTION_MEMORY_BYTES,
        MHD_OPTION_NOTIFY_CONNECTION, http_notice, listener, MHD_OPTION_END);
    if (listener->daemon == NULL) {
        close(fd);
        return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, 0, 0,
                                "the HTTP side's thread for %.100s cannot be started",
                                listener->text);
    }
    http->listener_count++;
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
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&opened->given, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&opened->lock, NULL);
    opened->wanted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    muster_status status = opened->wanted_fd >= 0
                               ? MUSTER_OK
                               : muster_error_set_errno(error, errno, "making an eventfd");
    for (size_t i = 0; i < count && status == MUSTER_OK; i++)
        status = http_listen(opened, addresses[i], error);
    if (status != MUSTER_OK) {
        muster_http_close(opened);
        return status;
    }
    *http = opened;
    return muster_error_set_ok(error);
}

void muster_http_close(muster_http *http)
{
    if (http == NULL)
        return;
    for (size_t i = 0; i < http->listener_count; i++) {
        http_listener *listener = &http->listeners[i];
        MHD_stop_daemon(listener->daemon);
        http_listener_forget(listener);
        http_edition_drop(listener->edition);
    }
    for (size_t i = 0; i < MUSTER_COORDINATOR_HTTP_MAX; i++) {
        if (http->listeners[i].path[0] != '\0')
            unlink(http->listeners[i].path);
    }
    http_edition_drop(http->edition);
    if (http->wanted_fd >= 0)
        close(http->wanted_fd);
    pthread_cond_destroy(&http->given);
    pthread_mutex_destroy(&http->lock);
    free(http);
}

const char *muster_http_address_at(const muster_http *http, size_t index)
{
    return http != NULL && index < http->listener_count ? http->listeners[index].text : NULL;
}
