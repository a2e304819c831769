/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of http.c, where libmicrohttpd or libcurl was not there when this was built. */
#include "base/error.h"
#include "coordinator/http.h"

muster_status muster_http_open(const char *const *addresses, size_t count, muster_http **http,
                               muster_error *error)
{
    (void)addresses;
    *http = NULL;
    if (count == 0)
        return muster_error_set_ok(error);
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                            "this Muster was built without its HTTP side: install "
                            "libmicrohttpd-dev and libcurl4-openssl-dev, and build it again");
}

void muster_http_close(muster_http *http)
{
    (void)http;
}

const char *muster_http_address_at(const muster_http *http, size_t index)
{
    (void)http;
    (void)index;
    return NULL;
}

int muster_http_wanted_fd(const muster_http *http)
{
    (void)http;
    return -1;
}

bool muster_http_wants(muster_http *http, int64_t now_ns)
{
    (void)http;
    (void)now_ns;
    return false;
}

void muster_http_give(muster_http *http, muster_overview *overview)
{
    (void)http;
    muster_overview_free(overview);
}
