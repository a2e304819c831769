/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions on our own invariants; on in release too. Never for a caller's mistake. */
#ifndef MUSTER_BASE_ASSERT_H
#define MUSTER_BASE_ASSERT_H

#include <stdnoreturn.h>

noreturn void muster_assert_failed(const char *expression, const char *file, int line);

#define MUSTER_ASSERT(expression) \
    ((expression) ? (void)0 : muster_assert_failed(#expression, __FILE__, __LINE__))

#endif
