/* SPDX-License-Identifier: Apache-2.0 */
/* Findings for people and for programs. */
#ifndef MUSTER_TRACING_POSTMORTEM_PRINT_H
#define MUSTER_TRACING_POSTMORTEM_PRINT_H

#include <stdio.h>

#include "tracing/postmortem/findings.h"

void muster_print_text(FILE *file, const char *directory, const muster_records *records,
                       const muster_findings *findings);

/* One object. MUSTER_OK or MUSTER_ERR_NO_MEMORY. */
muster_status muster_print_json(FILE *file, const char *directory, const muster_records *records,
                                const muster_findings *findings, muster_error *error);

#endif
