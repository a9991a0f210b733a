# SPDX-License-Identifier: GPL-2.0
"""How many guests run at once on this host: one lock file per guest.

A session takes all it will need in one go, under a lock that waiting sessions
queue on; so no two sessions can hold half of what both need. The kernel drops
the locks with the process that holds them.
"""

import fcntl
import os
import time

from common import GUESTS_MAX, VmError, cache_dir, say

REPORT_EVERY_S = 60


def try_lock(path):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd
    except OSError:
        os.close(fd)
        return -1


def holders(paths):
    names = set()
    for path in paths:
        with open(path) as f:
            names.add(f.read().strip() or "unknown")
    return "; ".join(sorted(names))


def take(count, title, give_up):
    """Returns the descriptors that hold `count` slots. `give_up` is asked
    between attempts, and ends the wait by raising."""
    if not 1 <= count <= GUESTS_MAX:
        raise VmError(f"a session has 1 to {GUESTS_MAX} guests")
    directory = cache_dir("slots")
    paths = [os.path.join(directory, f"slot{n}") for n in range(GUESTS_MAX)]
    queue, held, next_report = -1, [], time.monotonic() + 2
    while len(held) < count:
        give_up()
        if queue < 0:
            queue = try_lock(os.path.join(directory, "queue"))
        for path in paths if queue >= 0 else ():
            fd = try_lock(path) if len(held) < count else -1
            if fd >= 0:
                held.append(fd)
                os.ftruncate(fd, 0)
                os.pwrite(fd, title.encode(), 0)
        if len(held) < count:
            if time.monotonic() >= next_report:
                say(f"waiting for {count} of {GUESTS_MAX} guest slots, "
                    f"held by: {holders(paths)}")
                next_report = time.monotonic() + REPORT_EVERY_S
            time.sleep(0.3)
    os.close(queue)
    return held
