# SPDX-License-Identifier: GPL-2.0
"""Which kernel a guest boots: an installed one, by series or release, or one
that was built for tests, by its name in build/kernels/ (debug)."""

import collections
import os
import re

from common import BUILD, VmError

# modules: the directory that the guest sees as /lib/modules/RELEASE
Kernel = collections.namedtuple("Kernel", "release image modules")


def installed(series):
    """The newest installed kernel of a series (6.12), or the named release."""
    def key(release):
        return [int(n) for n in re.findall(r"\d+", release)]

    found = [r for r in os.listdir("/lib/modules")
             if os.path.exists(f"/boot/vmlinuz-{r}")
             and (r == series or r.startswith(series + "."))]
    if not found:
        raise VmError(f"no kernel {series} here: install linux-image of it")
    release = max(found, key=key)
    return Kernel(release, f"/boot/vmlinuz-{release}",
                  f"/lib/modules/{release}")


def find(name):
    # What the link leads to: a build in the cache, which may be replaced.
    base = os.path.realpath(os.path.join(BUILD, "kernels", name))
    if not os.path.isdir(base):
        if name == "debug":
            raise VmError("no debug kernel here: make debug-kernel")
        return installed(name)
    with open(os.path.join(base, "release"), encoding="ascii") as f:
        return Kernel(f.read().strip(), os.path.join(base, "vmlinuz"),
                      os.path.join(base, "modules"))
