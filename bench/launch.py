"""Start a command and write what it took: `python launch.py REPORT COMMAND...`.

Linux counts the peak memory of the process that starts a program as that program's own, so a
program must be started by one that is small: this one imports nothing but what is built in.
"""

import os
import sys
import time

began = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - began
with open(sys.argv[1], "w", encoding="utf-8") as out:
    out.write(f"{seconds} {usage.ru_maxrss} {os.waitstatus_to_exitcode(status)}")
