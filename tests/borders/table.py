# SPDX-License-Identifier: Apache-2.0
"""The borders between folders: who may include whom. Arrows run downward only.

A new folder, or a new arrow, is a line here: that is the place to argue about it."""

PUBLIC = "runtime/include/muster"

# Plain types that a folder elsewhere carries or prints; never its functions' folders.
TRANSPORT_TYPES = "runtime/transport/transport.h"  # the structs of an operation list
CALLS = "runtime/collective/record.h"  # the kinds of calls and their texts
MESSAGES = "recovery/core/message.h"  # evidence, notes and their texts
DEADLINES = "recovery/core/deadlines.h"
FACADE = "tracing/trace.h"

_PURE_RUNTIME = ["runtime/base", "runtime/layout", "runtime/collective"]
_RUNTIME = _PURE_RUNTIME + [
    "runtime/transport", "runtime/transport/host", "runtime/transport/tcp",
    "runtime/transport/plane", "runtime/transport/nccl", "runtime/comm",
    "runtime/scope", "runtime/library", "runtime/plugin",
]
_UPPER_RUNTIME = _RUNTIME + ["recovery/agent", MESSAGES, DEADLINES, FACADE]
_CONTROL = ["runtime/base", "recovery/core", "recovery/wire", "recovery/operator", "recovery/keys",
            FACADE]

# Folder: what it may include besides itself and the public headers. A folder or one file.
MAY_INCLUDE = {
    PUBLIC: [],
    "runtime/base": [],
    "runtime/layout": ["runtime/base"],
    "runtime/plugin": [],
    "runtime/collective": ["runtime/base", "runtime/layout", TRANSPORT_TYPES],
    "runtime/transport": _PURE_RUNTIME,
    "runtime/transport/host": _PURE_RUNTIME + ["runtime/transport"],
    # Between hosts: its own sockets; of the host plane the clock and the start of a thread only.
    "runtime/transport/tcp": _PURE_RUNTIME + [
        "runtime/transport", "runtime/transport/host/clock.h", "runtime/transport/host/thread.h",
        "runtime/transport/host/want.h"],
    # The two made one.
    "runtime/transport/plane": _PURE_RUNTIME + [
        "runtime/transport", "runtime/transport/host", "runtime/transport/tcp"],
    "runtime/transport/nccl": _PURE_RUNTIME + ["runtime/transport"],
    "runtime/comm": _UPPER_RUNTIME,
    "runtime/scope": _UPPER_RUNTIME,
    "runtime/library": _UPPER_RUNTIME,
    "runtime/bench": _UPPER_RUNTIME,
    "recovery/core": ["runtime/base"],
    "recovery/wire": ["runtime/base", "recovery/core"],
    "recovery/operator": ["runtime/base", "recovery/core"],
    # What people are shown; it names calls.
    "recovery/status": ["runtime/base", "recovery/core", CALLS],
    # Key files, read by the library in somebody else's process: apart from what links a parser.
    "recovery/keys": ["runtime/base"],
    "recovery/agent": _CONTROL,
    "recovery/coordinator": _CONTROL + ["recovery/status"],
    # The launcher talks to a coordinator as an agent does: the link and the host's number are one
    # thing, not two. It makes the recording sessions of the processes that it starts.
    "recovery/launcher": _CONTROL + ["recovery/agent/link.h", "recovery/agent/host_id.h",
                                     "tracing/session/session.h"],
    "recovery/bench": _CONTROL + _UPPER_RUNTIME + ["runtime/bench"],
    "tracing": ["runtime/base", "runtime/plugin"],
    "tracing/provider": ["runtime/base", "tracing", CALLS, MESSAGES],
    "tracing/session": ["runtime/base", "tracing"],
    "tracing/postmortem": ["runtime/base", "tracing", CALLS, MESSAGES],
}
# These may include everything of the product: `muster` dispatches to all, tests look into all.
MAY_INCLUDE_ALL = ["runtime/command", "tests"]
# These see what an installed Muster shows: public headers, their own folder, libc and libm.
INSTALLED_ONLY = ["deploy/examples", "tests/install"]

# No clock, socket, thread or environment.
PURE = ["runtime/base", "runtime/layout", "runtime/collective", "recovery/core", "recovery/wire",
        "recovery/status"]
PURE_HEADERS = {
    "ctype.h", "errno.h", "inttypes.h", "limits.h", "math.h", "stdalign.h", "stdarg.h", "stdbool.h",
    "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "stdnoreturn.h", "string.h",
}
PURE_EXTRA_HEADERS = {
    "runtime/base": {"xxhash.h"},
    # The macros that read a wait status; the calls that make one are among the words below.
    "recovery/core": {"sys/wait.h"},
    "recovery/status": {"json-c/json.h"},
}
IMPURE_WORDS = [
    "getenv", "secure_getenv", "setenv", "environ", "time", "clock", "clock_gettime",
    "gettimeofday", "timespec_get", "nanosleep", "sleep", "usleep", "rand", "srand", "random",
    "getrandom", "socket", "connect", "send", "recv", "open", "fopen", "close", "fclose", "read",
    "write", "fread", "fwrite", "printf", "fprintf", "puts", "fputs", "perror", "system", "fork",
    "wait", "waitpid", "waitid", "exit", "getpid",
]
# (file, word): why.
IMPURE_WORDS_ALLOWED = {
    ("runtime/base/assert.c", "fprintf"): "the last words before abort",
}

# Header of somebody else's library (prefix): the only folders that may include it.
CONFINED_HEADERS = {
    "zmq.h": ["recovery/agent", "recovery/coordinator", "recovery/launcher", "tests"],
    "lttng/": ["tracing/provider", "tracing/session", "tests/trace", "tests/unit/tracing"],
    "babeltrace2/": ["tracing/postmortem"],
    "nccl.h": ["runtime/transport/nccl", "tests"],
    "cuda": ["runtime/transport/nccl", "tests"],
    "xxhash.h": ["runtime/base"],
    "cmocka.h": ["tests"],
    "microhttpd.h": ["recovery/coordinator"],
    "curl/": ["recovery/launcher"],
    # A program may read JSON; the library must not make every user link a parser.
    "json-c/": ["recovery/operator", "recovery/status", "recovery/coordinator", "recovery/launcher", "recovery/bench",
                "runtime/bench", "runtime/command", "tracing/postmortem", "tests"],
}

# In the library of somebody else's process: no handlers.
NO_SIGNAL_HANDLERS = [
    "runtime/base", "runtime/layout", "runtime/collective", "runtime/transport", "runtime/comm",
    "runtime/scope", "runtime/library", "recovery/agent", "recovery/core", "recovery/wire",
    "recovery/keys",
]
SIGNAL_HANDLER_WORDS = ["signal", "sigaction", "sigvec", "bsd_signal", "sysv_signal"]

TOP_LEVEL = {
    "runtime", "recovery", "tests", "tracing", "deploy", "CMakeLists.txt", "README.md", "LICENSE",
    "CMakePresets.json",
}
SOURCE_LINES_MAX = 700
