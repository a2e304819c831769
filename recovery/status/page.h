/* SPDX-License-Identifier: Apache-2.0 */
/* page.html, as the build has put it into a C file. */
#ifndef MUSTER_STATUS_PAGE_H
#define MUSTER_STATUS_PAGE_H

#include <stddef.h>

extern const unsigned char muster_status_page[];
extern const size_t muster_status_page_bytes;

#endif
