/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/http_get.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/error.h"

#define NS_PER_MS ((int64_t)1000000)

typedef struct http_answer {
    char *bytes; /* ends with NUL */
    size_t count;
    size_t capacity;
    bool too_long;
} http_answer;

/* libcurl's callback: anything but the number of bytes given ends the transfer. */
static size_t http_take(char *bytes, size_t size, size_t count, void *context)
{
    http_answer *answer = context;
    size_t more = size * count;
    if (answer->count + more > MUSTER_HTTP_GET_BYTES_MAX) {
        answer->too_long = true;
        return 0;
    }
    if (answer->count + more >= answer->capacity) {
        size_t capacity = 2 * (answer->count + more) + 1;
        char *larger = realloc(answer->bytes, capacity);
        if (larger == NULL)
            return 0;
        answer->bytes = larger;
        answer->capacity = capacity;
    }
    memcpy(answer->bytes + answer->count, bytes, more);
    answer->count += more;
    answer->bytes[answer->count] = '\0';
    return more;
}

static bool http_prepare(CURL *curl, const muster_http_address *address, const char *where,
                         const char *path, int64_t timeout_ns, http_answer *answer)
{
    char url[300];
    const char *unix_path = address->is_unix ? where + strlen("unix:") : NULL;
    if (address->is_unix)
        snprintf(url, sizeof url, "http://localhost%.100s", path);
    else /* `where` ends with the slash that `path` begins with */
        snprintf(url, sizeof url, "%.*s%.100s", (int)strlen(where) - 1, where, path);
    return (unix_path == NULL ||
            curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, unix_path) == CURLE_OK) &&
           curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           /* The address is a number of this machine or network: no proxy stands before it. */
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout_ns / NS_PER_MS) + 1) ==
               CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, http_take) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer) == CURLE_OK;
}

static muster_status http_fetch(CURL *curl, const char *where, const http_answer *answer,
                                muster_error *error)
{
    long code = 0;
    CURLcode result = curl_easy_perform(curl);
    if (answer->too_long)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_BYTES,
                                (int64_t)MUSTER_HTTP_GET_BYTES_MAX, (int64_t)answer->count,
                                "the answer of %.100s does not end", where);
    if (result == CURLE_OUT_OF_MEMORY || result == CURLE_WRITE_ERROR)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, 0,
                                (int64_t)answer->count, "no memory for an answer");
    if (result == CURLE_UNSUPPORTED_PROTOCOL || result == CURLE_WEIRD_SERVER_REPLY)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_NONE, 0, 0,
                                "what listens at %.100s does not speak HTTP", where);
    if (result != CURLE_OK) {
        long reason = 0;
        curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &reason);
        return muster_error_set(error, MUSTER_ERR_NO_COORDINATOR, MUSTER_FIELD_NONE, 0, 0,
                                "no coordinator shows its status at %.100s: %s", where,
                                result == CURLE_COULDNT_CONNECT && reason != 0
                                    ? strerror((int)reason)
                                    : curl_easy_strerror(result));
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    if (code == 200)
        return muster_error_set_ok(error);
    const char *text = answer->bytes != NULL ? answer->bytes : "";
    return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_NONE, 200, code,
                            "%.100s answers with code %ld: %.*s", where, code,
                            (int)strcspn(text, "\n"), text);
}

muster_status muster_http_get(const muster_http_address *address, const char *path,
                              int64_t timeout_ns, char **body, muster_error *error)
{
    http_answer answer = {0};
    char where[160];
    *body = NULL;
    muster_http_address_text(address, where, sizeof where);
    CURL *curl = curl_easy_init();
    if (curl == NULL || !http_prepare(curl, address, where, path, timeout_ns, &answer)) {
        curl_easy_cleanup(curl);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a request to %.100s", where);
    }
    muster_status status = http_fetch(curl, where, &answer, error);
    curl_easy_cleanup(curl);
    if (status == MUSTER_OK && answer.bytes == NULL)
        status = muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_BYTES, 0, 0,
                                  "%.100s answers with nothing", where);
    if (status == MUSTER_OK)
        *body = answer.bytes;
    else
        free(answer.bytes);
    return status;
}
