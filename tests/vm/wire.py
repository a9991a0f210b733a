# SPDX-License-Identifier: GPL-2.0
"""The agent's protocol (agent.c documents it), and the session's own: one JSON
object per line, in each direction, on its unix socket."""

import json
import struct

AGENT_PORT = 7777
FLAG_STDIN, FLAG_POWEROFF = 1, 2
STDIN, SIGNAL, STDOUT, STDERR, EXIT = (ord(c) for c in "isoex")

# Exit codes of vm_exec that are not the command's.
EXIT_TIMEOUT, EXIT_MACHINE = 124, 125


def request(argv, env=(), cwd="/", flags=0):
    words = [cwd, *env, *argv]
    text = b"".join(w.encode(errors="surrogateescape") + b"\0" for w in words)
    return struct.pack("<4sIIII", b"RVM1", flags, len(env), len(argv),
                       len(text)) + text


def frame(kind, data=b""):
    return struct.pack("<II", kind, len(data)) + data


def read_exactly(sock, count):
    """`count` bytes, or None if the other side is gone."""
    data = b""
    while len(data) < count:
        try:
            more = sock.recv(count - len(data))
        except OSError:
            return None
        if not more:
            return None
        data += more
    return data


def read_frame(sock):
    """(kind, data), or None if the other side is gone."""
    head = read_exactly(sock, 8)
    if head is None:
        return None
    kind, length = struct.unpack("<II", head)
    data = read_exactly(sock, length)
    return None if data is None else (kind, data)


def exit_code(data):
    return struct.unpack("<I", data)[0]


def send_json(sock, obj):
    sock.sendall(json.dumps(obj).encode() + b"\n")


def read_json(sock):
    line = b""
    while not line.endswith(b"\n"):
        more = sock.recv(1)
        if not more:
            return None
        line += more
    return json.loads(line)
