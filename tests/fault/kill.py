# SPDX-License-Identifier: Apache-2.0
"""Ending a process that may end by itself meanwhile."""
import os
import signal


def kill_if_there(process_id):
    """It may end by itself between the look for it and the signal."""
    try:
        os.kill(process_id, signal.SIGKILL)
    except ProcessLookupError:
        pass
