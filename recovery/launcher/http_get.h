/* SPDX-License-Identifier: Apache-2.0 */
/* GET from a coordinator's HTTP side, by libcurl; bounded in time and bytes. */
#ifndef MUSTER_LAUNCHER_HTTP_GET_H
#define MUSTER_LAUNCHER_HTTP_GET_H

#include <stddef.h>
#include <stdint.h>

#include "operator/http_address.h"

#define MUSTER_HTTP_GET_BYTES_MAX ((size_t)256 << 20)

/* What stands at path ("/status"), with a NUL after it, for the caller to free. MUSTER_ERR_NO_COORDINATOR:
 * nobody listens there, or does not answer within timeout_ns; MUSTER_ERR_ENVIRONMENT: an answer that is
 * none, with its sentence, or no HTTP side in this build; MUSTER_ERR_NO_MEMORY. Any thread; blocks until
 * the answer or timeout_ns. */
muster_status muster_http_get(const muster_http_address *address, const char *path,
                              int64_t timeout_ns, char **body, muster_error *error);

#endif
