"""Run by a Python of its own: make this process safe to lose, then become Deno.

    python -I -S launch.py <parent's pid> <program> <argument> …

A process that hangs does not notice that Textgate was killed, so the kernel ends it (Linux). That
must be asked for by the child itself, between fork and exec, where a threaded server may run no
code of its own: hence this step, which takes some 20 ms of the start.
"""

import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    parent, program, *arguments = sys.argv[1:]
    # A dump of its memory would hold the secrets of the script.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if os.getppid() != int(parent):  # it was gone already
            return
    # Not the one that Python made of an empty environment. Deno gets no folder, and is told not to
    # keep what it compiles: it would try for 150 ms.
    environment = {
        "DENO_DIR": "/dev/null/deno",
        "DENO_EMIT_CACHE_MODE": "disable",
        "NO_COLOR": "1",
    }
    os.execve(program, [program, *arguments], environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
