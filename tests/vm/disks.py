# SPDX-License-Identifier: GPL-2.0
"""A guest's extra disks.

volatile: a sparse file; what the guest wrote stays, flushed or not.
powercut: behind nbdkit and powercut.c; unflushed writes are at risk in a cut.
Both show the guest a volatile write cache, and both outlive a boot.
"""

import os
import re
import socket
import subprocess
import time
import zlib

from common import TOOLS, VmError

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
START_LIMIT_S = 20
CONTROL_LIMIT_S = 5


class Disk:
    """NAME:SIZE[:powercut|volatile][:4k]"""

    def __init__(self, spec, directory):
        words = spec.split(":")
        size = re.fullmatch(r"(\d+)([KMG]?)", words[1] if words[1:] else "")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,20}", words[0]) or not size:
            raise VmError(f"bad disk {spec}: NAME:SIZE[:powercut][:4k]")
        self.name = words[0]
        self.size = int(size[1]) * UNITS[size[2]]
        self.powercut = "powercut" in words[2:]
        self.sector = 4096 if "4k" in words[2:] else 512
        unknown = set(words[2:]) - {"powercut", "volatile", "4k"}
        if unknown or self.size % self.sector:
            raise VmError(f"bad disk {spec}: {', '.join(unknown) or 'size'}")
        self.file = os.path.join(directory, self.name)
        self.process = None

    def create(self, run_dir, guest):
        os.makedirs(os.path.dirname(self.file), exist_ok=True)
        with open(self.file, "wb") as f:
            f.truncate(self.size)
        if self.powercut:
            base = os.path.join(run_dir, f"{guest}-{self.name}")
            self.socket, self.control_path = base + ".nbd", base + ".ctl"
            self.serve()

    def serve(self):
        log = open(self.file + ".log", "ab")
        self.process = subprocess.Popen(
            ["nbdkit", "-f", "-U", self.socket, "--threads", "4",
             os.path.join(TOOLS, "powercut.so"), f"file={self.file}",
             f"control={self.control_path}", f"sector={self.sector}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + START_LIMIT_S
        while not (os.path.exists(self.socket)
                   and os.path.exists(self.control_path)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise VmError(f"disk {self.name}: nbdkit did not start, "
                              f"see {self.file}.log")
            time.sleep(0.02)

    def control(self, line):
        if not self.powercut:
            raise VmError(f"disk {self.name} is not a powercut disk")
        answer = self.ask(line)
        if not answer.startswith("ok"):
            raise VmError(f"disk {self.name}: {answer or 'no answer'}")
        return answer

    def ask(self, line):
        """Hosts were seen to refuse, rarely, a socket that is listening. A
        cut is asked for once only: it may have happened."""
        deadline = time.monotonic() + CONTROL_LIMIT_S
        while True:
            connected = False
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.control_path)
                    connected = True
                    s.sendall(line.encode() + b"\n")
                    return s.recv(4096).decode().strip()
            except OSError as e:
                if (time.monotonic() > deadline
                        or connected and line.startswith("cut")):
                    state = "runs" if self.process.poll() is None else "ended"
                    raise VmError(f"disk {self.name}: {line}: {e}, "
                                  f"nbdkit {state}") from e
                time.sleep(0.05)

    def cut(self, seed, mode):
        """The seed of each disk differs, or all would tear alike."""
        if not self.powercut:
            return f"{self.name}: volatile, all kept"
        own = seed ^ zlib.crc32(self.name.encode()) << 32
        return f"{self.name}: " + self.control(f"cut {own} {mode}")

    def settle(self):
        if self.powercut:
            self.control("settle")

    def qemu_args(self, number):
        node = f"disk{number}"
        if self.powercut:
            backend = f"driver=nbd,server.type=unix,server.path={self.socket}"
        else:
            backend = (f"driver=file,filename={self.file},aio=threads,"
                       "cache.direct=off")
        return ["-blockdev", f"{backend},node-name={node},discard=unmap",
                "-device", f"virtio-blk-pci,drive={node},serial={self.name},"
                f"write-cache=on,logical_block_size={self.sector},"
                f"physical_block_size={max(self.sector, 512)},num-queues=1"]
