# SPDX-License-Identifier: Apache-2.0
"""What a run left in the folder for its sockets (XDG_RUNTIME_DIR)."""
import os

# tracing/session/place.h: all sessions of a user find each other by these; they stay, and nobody holds
# them. Root's are elsewhere.
LOCKS_OF_TRACING = {os.path.join("muster", name) for name in ("users", "daemon.lock")}


def left_in(folder):
    home = os.path.join(folder, f"muster-lttng-{os.geteuid()}")
    left = [name for name in os.listdir(folder) if os.path.join(folder, name) != home]
    for path, _, names in os.walk(home):
        files = {os.path.relpath(os.path.join(path, name), home) for name in names}
        left += sorted(os.path.join(os.path.basename(home), name) for name in files - LOCKS_OF_TRACING)
    return left
