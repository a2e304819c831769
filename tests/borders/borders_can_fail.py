#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that each rule of borders.py can fail: a small clean tree passes, and one violation at a time
is reported under its rule at its place, and nothing else is."""
import os
import sys
import tempfile

import borders
import table

LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */\n"
LICENCE_HASH = "# SPDX-License-Identifier: Apache-2.0\n"

CLEAN = {
    "CMakeLists.txt": LICENCE_HASH + "# file(GLOB x) in a comment is fine\nadd_library(x a.c)\n",
    "README.md": "a tree\n",
    ".gitignore": "build/\n",
    "runtime/include/muster/types.h": LICENCE + "#ifndef T\n#define T\n#include <stddef.h>\n"
    "typedef struct muster_x {\n    size_t bytes;\n} muster_x;\n#endif\n",
    "runtime/include/muster/muster.h": LICENCE + "#include <muster/types.h>\n",
    "runtime/base/error.h": LICENCE + "#include <muster/types.h>\n",
    "runtime/base/assert.c": LICENCE + "#include <stdio.h>\n"
    'void f(void)\n{\n    fprintf(stderr, "x");\n}\n',
    # Words in comments, texts, members and longer names are none.
    "runtime/base/words.c": LICENCE + '#include "base/error.h"\n/* #include <time.h> getenv("X") */\n'
    'const char *text = "getenv(1) // time(2)";\nint muster_time(int my_time);\n'
    "int g(struct table *t)\n{\n    return t->send(t->time) + muster_time(3);\n}\n",
    "runtime/layout/offsets.c": LICENCE + '#include "base/error.h"\n#include <stdlib.h>\n',
    "runtime/transport/transport.h": LICENCE + '#include "base/error.h"\n',
    "runtime/collective/pattern.h": LICENCE + '#include "transport/transport.h"\n',
    "runtime/transport/host/ring.c": LICENCE + '#include "transport/transport.h"\n'
    "#include <sys/mman.h>\n",
    "runtime/comm/comm.h": LICENCE + '#include "agent/agent.h"\n#include "tracing/trace.h"\n'
    '#include "core/message.h"\n',
    "runtime/command/main.c": LICENCE + '#include "comm/comm.h"\n',
    "recovery/core/message.h": LICENCE + "#include <muster/types.h>\n",
    "recovery/core/core.h": LICENCE + '#include "core/message.h"\n',
    "recovery/core/core.c": LICENCE + '#include "core/message.h"\n#include "base/error.h"\n',
    "recovery/wire/wire.c": LICENCE + '#include "core/message.h"\n',
    "recovery/agent/agent.h": LICENCE + '#include "core/message.h"\n',
    "recovery/agent/agent.c": LICENCE + '#include "agent/agent.h"\n#include <zmq.h>\n'
    "#include <signal.h>\nvoid h(void)\n{\n    pthread_sigmask(0, 0, 0);\n}\n",
    "tracing/trace.h": LICENCE + "#include <muster/types.h>\n",
    "tracing/session/session.c": LICENCE + '#include "tracing/trace.h"\n#include <lttng/lttng.h>\n',
    "tests/unit/base/test_error.c": LICENCE + '#include "base/error.h"\n#include <cmocka.h>\n',
    "deploy/examples/hello/hello.c": LICENCE + "#include <muster/muster.h>\n#include <math.h>\n"
    '#include "own.h"\n',
    "deploy/examples/hello/own.h": LICENCE + "#include <time.h>\n",
}

# (rule, path, content): content is put into the clean tree at path (appended where it exists).
CASES = [
    ("folder", "runtime/misc/helper.c", LICENCE),
    ("folder", "deploy/tool.c", LICENCE),
    ("arrow", "runtime/base/error.h", '#include "layout/offsets.h"\n'),  # no such file
    ("arrow", "runtime/base/error.h", '#include "collective/pattern.h"\n'),
    ("arrow", "runtime/layout/offsets.c", '#include "transport/transport.h"\n'),
    ("arrow", "runtime/collective/pattern.h", '#include "comm/comm.h"\n'),
    ("arrow", "runtime/transport/host/ring.c", '#include "../../comm/comm.h"\n'),
    ("arrow", "runtime/transport/host/ring.c", "#include <comm/comm.h>\n"),
    ("arrow", "runtime/transport/host/ring.c", "  #  include\t\"comm/comm.h\"\n"),
    ("arrow", "runtime/comm/extra.c", LICENCE + '#include "core/core.h"\n'),
    ("arrow", "recovery/core/core.c", '#include "agent/agent.h"\n'),
    ("arrow", "recovery/wire/wire.c", '#include "comm/comm.h"\n'),
    ("arrow", "recovery/launcher/run.c", LICENCE + '#include "agent/agent.h"\n'),
    ("arrow", "tracing/trace.h", '#include "core/message.h"\n'),
    ("arrow", "tracing/session/session.c", '#include "comm/comm.h"\n'),
    ("confined", "recovery/operator/socket.c", LICENCE + "#include <zmq.h>\n"),
    ("confined", "tracing/trace.c", LICENCE + "#include <lttng/tracepoint.h>\n"),
    ("confined", "tracing/session/session.c", "#include <babeltrace2/babeltrace.h>\n"),
    ("confined", "runtime/transport/host/ring.c", "#include <nccl.h>\n"),
    ("confined", "runtime/comm/extra.c", LICENCE + "#include <cuda_runtime_api.h>\n"),
    ("confined", "runtime/comm/extra.c", LICENCE + "#include <json-c/json.h>\n"),
    ("confined", "runtime/comm/extra.c", LICENCE + "#include <xxhash.h>\n"),
    ("confined", "runtime/comm/extra.c", LICENCE + "#include <cmocka.h>\n"),
    ("pure-header", "runtime/base/error.h", "#include <time.h>\n"),
    ("pure-header", "runtime/layout/offsets.c", "#include <pthread.h>\n"),
    ("pure-header", "runtime/collective/pattern.h", "#include <unistd.h>\n"),
    ("pure-header", "runtime/collective/pattern.h", "#include <stdatomic.h>\n"),
    ("pure-header", "recovery/core/core.c", "#include <sys/socket.h>\n"),
    ("pure-header", "recovery/wire/wire.c", "#include <poll.h>\n"),
    ("pure-word", "runtime/base/words.c", 'int x(void)\n{\n    return getenv("X") != 0;\n}\n'),
    ("pure-word", "runtime/layout/offsets.c", "long y(void)\n{\n    return time (0);\n}\n"),
    ("pure-word", "recovery/core/core.c", "void z(void)\n{\n    clock_gettime(1, 0);\n}\n"),
    ("pure-word", "recovery/wire/wire.c", "extern char **environ;\n"),
    ("pure-word", "runtime/base/words.c", 'void p(void)\n{\n    fprintf(0, "x");\n}\n'),
    ("signal", "recovery/agent/agent.c", "void s(void)\n{\n    signal(2, 0);\n}\n"),
    ("signal", "runtime/transport/host/ring.c", "void s(void)\n{\n    sigaction(2, 0, 0);\n}\n"),
    ("installed", "deploy/examples/hello/hello.c", '#include "base/error.h"\n'),
    ("installed", "deploy/examples/hello/hello.c", '#include "muster/types.h"\n'),
    ("installed", "deploy/examples/hello/hello.c", "#include <json-c.h>\n"),
    ("installed", "deploy/examples/hello/hello.c", '#include "../../../runtime/base/error.h"\n'),
    ("installed", "tests/install/outside.c", LICENCE + '#include "base/error.h"\n'),
    ("alone", "runtime/include/muster/lonely.h", LICENCE + "static int32_t lonely;\n"),
    ("alone", "runtime/include/muster/cxx.h", LICENCE + "#ifndef C\n#define C\n"
     "void muster_cxx(int new);\n#endif\n"),
    ("alone", "runtime/include/muster/twice.h", LICENCE + "struct muster_twice {\n    int x;\n};\n"),
    ("public", "runtime/include/muster/types.h", "#include <sys/types.h>\n"),
    ("public", "runtime/include/muster/muster.h", '#include "muster/types.h"\n'),
    ("top-level", "notes.txt", "todo\n"),
    ("top-level", "scripts/help.md", "todo\n"),
    ("length", "runtime/base/long.c", LICENCE + "\n" * table.SOURCE_LINES_MAX),
    ("length", "tests/run", "#!/bin/sh\n" + LICENCE_HASH + "\n" * table.SOURCE_LINES_MAX),
    ("licence", "runtime/base/free.c", "int free_of_it;\n"),
    ("licence", "deploy/demo", "#!/bin/sh\n"),
    ("licence", "deploy/tool.py", "pass\n"),
    ("glob", "runtime/CMakeLists.txt", LICENCE_HASH + "file( GLOB sources *.c)\n"),
]
# Where g++ is missing this case cannot be seen.
NEEDS_CXX = "runtime/include/muster/cxx.h"


def write(root, path, content):
    place = os.path.join(root, path)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "a", encoding="utf-8") as file:
        file.write(content)
    if content.startswith("#!"):
        os.chmod(place, 0o755)


def violations_with(path=None, content=""):
    with tempfile.TemporaryDirectory() as root:
        for name, text in CLEAN.items():
            write(root, name, text)
        if path is not None:
            write(root, path, content)
        checks = borders.CHECKS
        if path is not None and not borders.is_inside(path, [table.PUBLIC]):
            # No header changed: do not call the compilers once more.
            checks = [c for c in checks if c is not borders.check_public_headers_alone]
        return borders.violations_of(borders.Tree(root), checks)


def rules_of_checker():
    with open(borders.__file__, encoding="utf-8") as file:
        return set(borders.re.findall(r'Violation\(\s*"([a-z-]+)"', file.read()))


def main():
    failures = [f"the clean tree is accused: {v}" for v in violations_with()]
    for rule, path, content in CASES:
        if path == NEEDS_CXX and not borders.shutil.which(os.environ.get("CXX", "g++")):
            continue
        found = violations_with(path, content)
        top = path.split("/")[0] if rule == "top-level" else path
        if not any(v.rule == rule and v.path == top for v in found):
            failures.append(f"[{rule}] not reported for {path} with {content!r}")
        # A public header that another one includes may fail there too: that is the same violation.
        others = [v for v in found if v.rule != rule
                  and not (rule == "public" and v.rule == "alone")]
        failures += [f"[{rule}] case for {path} also gave: {v}" for v in others]
    untried = rules_of_checker() - {rule for rule, _, _ in CASES}
    failures += [f"rule [{rule}] has no case here" for rule in sorted(untried)]
    for failure in failures:
        print(failure)
    print(f"borders_can_fail: {len(CASES)} violations tried, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
