/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of http_get.c, where libmicrohttpd or libcurl was not there when this was built. */
#include "base/error.h"
#include "launcher/http_get.h"

muster_status muster_http_get(const muster_http_address *address, const char *path,
                              int64_t timeout_ns, char **body, muster_error *error)
{
    (void)address;
    (void)path;
    (void)timeout_ns;
    *body = NULL;
    return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_NONE, 0, 0,
                            "this Muster was built without its HTTP side: install "
                            "libmicrohttpd-dev and libcurl4-openssl-dev, and build it again");
}
