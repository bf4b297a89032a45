"""Runs a command that dies with the process which asked for it.

Started as `python -I -S leash.py PARENT_PID COMMAND…`, it ties itself to its parent and then becomes the
command. That is done here and not between fork and exec, because Python code must not run there in a
process with threads. Only Linux has the tie; elsewhere the parent's own clean-up has to do.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tie_to_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL when the parent ends, even if the parent is killed itself."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before the tie was made
        sys.exit(1)


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    tie_to_parent(parent)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()
