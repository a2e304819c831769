/* SPDX-License-Identifier: Apache-2.0 */
/* Linkage of public functions. The library is built with hidden visibility; only what carries
 * MUSTER_API is part of its ABI. */
#ifndef MUSTER_EXPORT_H
#define MUSTER_EXPORT_H

#if defined(__GNUC__) || defined(__clang__)
#define MUSTER_API __attribute__((visibility("default")))
#else
#define MUSTER_API
#endif

#ifdef __cplusplus
#define MUSTER_BEGIN_DECLS extern "C" {
#define MUSTER_END_DECLS }
#else
#define MUSTER_BEGIN_DECLS
#define MUSTER_END_DECLS
#endif

#endif
