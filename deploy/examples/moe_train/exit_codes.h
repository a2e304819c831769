/* SPDX-License-Identifier: Apache-2.0 */
/* How moe_train ends. --help prints this list. X(name, value, text). */
#ifndef EXIT_CODES_H
#define EXIT_CODES_H

#include <muster/device.h>

#define EXIT_CODE_LIST(X) \
    X(DONE, 0, "all steps are committed") \
    X(FAILED, 1, "a call failed in a way that cannot be recovered; the message says which") \
    X(BAD_INPUT, 2, "an option or the text file cannot be used") \
    X(STATE_LOST, 3, "state was lost and there is no checkpoint to go back to") \
    X(NOT_JOINED, 4, "the job could not be joined") \
    X(FENCED, 5, "this process was declared dead and its place given away") \
    X(STOPPED, 6, "stopped by SIGTERM after a committed step") \
    X(DEVICE_STUCK, MUSTER_DEVICE_STUCK_EXIT_CODE, \
      "the device does not let go of this process's memory: only a new process can go on")

enum exit_code {
#define EXIT_CODE_ENUM(name, value, text) EXIT_##name = (value),
    EXIT_CODE_LIST(EXIT_CODE_ENUM)
#undef EXIT_CODE_ENUM
};

#endif
