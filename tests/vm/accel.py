# SPDX-License-Identifier: GPL-2.0
"""KVM or TCG: decided by booting once, because /dev/kvm may exist and hang.

The answer is kept in the cache for this kernel, this QEMU and this boot of
the host. REPRISE_VM_ACCEL=kvm|tcg overrides.
"""

import fcntl
import hashlib
import os
import subprocess

from common import TOOLS, cache_dir, run, say

PROBE_LIMIT_S = 25

ARGS = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    # What TCG does so slowly that it distorts everything: "rep movsb" (erms,
    # fsrm), and CRC instructions (sse4.2), bit by bit: 25 ms for a mebibyte.
    "tcg": ["-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm,-sse4.2"],
}


def cmdline(accel):
    """What the guest's kernel cannot find out by itself: tsc.c says why. Nor
    can it test its timer, whose ticks come late on a busy host."""
    if accel != "tcg":
        return ""
    rate = run(os.path.join(TOOLS, "tsc")).strip()
    return f"no_timer_check tsc_early_khz={rate}"


def probe(kernel, initrd):
    command = ["qemu-system-x86_64", *ARGS["kvm"], "-nodefaults",
               "-no-user-config", "-display", "none", "-no-reboot", "-m", "256",
               "-kernel", kernel, "-initrd", initrd, "-serial", "stdio",
               "-append", "console=ttyS0 quiet panic=-1 vm.probe=1"]
    try:
        p = subprocess.run(command, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           timeout=PROBE_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return "tcg"
    return "kvm" if b"vm: probe ok" in p.stdout else "tcg"


def choose(kernel, initrd):
    forced = os.environ.get("REPRISE_VM_ACCEL")
    if forced:
        return forced
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with open("/proc/sys/kernel/random/boot_id") as f:
        key = f.read() + run("qemu-system-x86_64", "--version") + kernel
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = os.path.join(cache_dir("accel"), name)
    with open(path, "a+") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.seek(0)
        answer = f.read().strip()
        if answer not in ARGS:
            say("trying KVM once")
            answer = probe(kernel, initrd)
            say(f"guests run with {answer}")
            f.truncate(0)
            f.write(answer)
    return answer
