/* SPDX-License-Identifier: Apache-2.0 */
/* Every timeout of the control plane: name, default in milliseconds, and a sentence; and the order in
 * which they must stand. The coordinator holds the values of a job and hands them to every agent at the
 * join, so that all count alike. Pure. */
#ifndef MUSTER_RECOVERY_DEADLINES_H
#define MUSTER_RECOVERY_DEADLINES_H

#include <stdint.h>

#include <muster/status.h>

/* X(name, default in ms, sentence). Options are --NAME-ms with '-' for '_'. */
#define MUSTER_DEADLINE_LIST(X) \
    X(heartbeat, 250, "an agent says that it is alive this often") \
    X(suspect, 1000, "a process silent for this long is reported slow") \
    X(silence, 10000, "a process silent for this long is declared dead") \
    X(reconnect, 3000, "a lost connection may take this long to come back") \
    X(batch, 600000, "a blocking call waits this long for the other ranks") \
    X(verdict_grace, 2000, "after its deadline a blocking call waits this long for a verdict") \
    X(gone, 5000, "a launcher has this long to prove a lost process gone; then it is abandoned") \
    X(start, 60000, "a replacement has this long from its start to its join") \
    X(join, 120000, "the first epoch has this long to form") \
    X(rebuild, 600000, "a survivor waits this long in a rebuild") \
    X(leave, 2000, "a leave waits this long for the coordinator to hear it")

/* X(low, factor, sign, high, because): factor times low must be below (sign <) or at most (<=) high. What
 * each waits for must have had its time before whoever waits for it gives up. */
#define MUSTER_DEADLINE_ORDER_LIST(X) \
    X(heartbeat, 2, <=, suspect, "one late heartbeat is no suspicion") \
    X(suspect, 1, <, silence, "a suspicion comes before its verdict") \
    X(heartbeat, 4, <=, verdict_grace, "a verdict looks at fresh heartbeats") \
    X(heartbeat, 1, <=, reconnect, "a heartbeat is what comes back") \
    X(heartbeat, 1, <=, leave, "a leave that was missed is said again") \
    X(reconnect, 1, <, join, "a coordinator that comes back waits for its ranks") \
    X(gone, 1, <, rebuild, "a rebuild waits until a lost process is proven gone") \
    X(silence, 1, <, rebuild, "a rebuild waits for a survivor that is silent") \
    X(start, 2, <=, rebuild, "a rebuild asks for a process twice") \
    X(start, 1, <=, join, "a process may have to be started again before the first epoch")

typedef struct muster_deadlines {
#define MUSTER_DEADLINE_FIELD(name, default_ms, sentence) int64_t name##_ns;
    MUSTER_DEADLINE_LIST(MUSTER_DEADLINE_FIELD)
#undef MUSTER_DEADLINE_FIELD
} muster_deadlines;

void muster_deadlines_defaults(muster_deadlines *deadlines);

/* Sets one by name ("heartbeat"), in ms > 0. MUSTER_ERR_INVALID_ARGUMENT names it. */
muster_status muster_deadlines_set(muster_deadlines *deadlines, const char *name, int64_t ms,
                                   muster_error *error);

/* An order that cannot work is refused with the two names, the two values and the reason. */
muster_status muster_deadlines_check(const muster_deadlines *deadlines, muster_error *error);

#endif
