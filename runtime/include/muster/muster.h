/* SPDX-License-Identifier: Apache-2.0 */
/* Muster: fault-tolerant gather and scatter of variable-length rows. The one header to include. */
#ifndef MUSTER_MUSTER_H
#define MUSTER_MUSTER_H

#include <muster/batch.h>
#include <muster/collective.h>
#include <muster/comm.h>
#include <muster/device.h>
#include <muster/export.h>
#include <muster/job.h>
#include <muster/lengths.h>
#include <muster/memory.h>
#include <muster/p2p.h>
#include <muster/params.h>
#include <muster/phase.h>
#include <muster/request.h>
#include <muster/status.h>
#include <muster/step.h>
#include <muster/tensor.h>
#include <muster/types.h>
#include <muster/version.h>

#endif
