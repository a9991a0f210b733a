# SPDX-License-Identifier: GPL-2.0
"""A connection to QEMU's monitor, for one or a few commands."""

import socket

import wire
from common import VmError

LIMIT_S = 10


class Qmp:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(path)
        wire.read_json(self.sock)
        self.execute("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.sock.close()

    def execute(self, command, **arguments):
        wire.send_json(self.sock, {"execute": command, "arguments": arguments})
        while True:
            answer = wire.read_json(self.sock)
            if answer is None or "error" in answer:
                raise VmError(f"QEMU: {command}: {answer}")
            if "return" in answer:
                return answer["return"]

    def human(self, line):
        return self.execute("human-monitor-command", **{"command-line": line})
