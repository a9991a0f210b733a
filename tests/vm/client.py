# SPDX-License-Identifier: GPL-2.0
"""The driver's side: one request to the session, or one command in a guest.

usage: client.py SOCKET REQUEST [ARGUMENTS], see `main`. lib.sh calls it.
"""

import json
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time

import wire
from common import TOP, VmError, say

# Variables of the driver that commands in the guest see too.
PASSED = ("REPRISE_", "KSELFTEST_")
GUEST_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb", "USER": "root",
    "SHELL": "/bin/bash",
}


def ask(path, **rq):
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
            wire.send_json(s, rq)
            answer = wire.read_json(s)
        except OSError as e:
            raise VmError(f"the session is over ({e.strerror})") from e
    if answer is None:
        raise VmError("the session is over")
    if not answer["ok"]:
        raise VmError(answer["error"])
    return answer


def show(answer):
    for line in answer.get("text", []):
        print(line)


def options(args, flags, values):
    """Cuts leading --options off: ({name: value}, rest)."""
    found = {}
    while args and args[0].startswith("--"):
        name = args.pop(0)[2:]
        if name == "":
            break
        if name in flags:
            found[name] = True
        elif name in values and args:
            found.setdefault(name, []).append(args.pop(0))
        else:
            raise VmError(f"unknown option --{name}")
    return found, args


def guest_env():
    env = dict(GUEST_ENV)
    names = os.environ.get("VM_ENV", "").split()
    env.update({k: v for k, v in os.environ.items()
                if k.startswith(PASSED) or k in names})
    return [f"{k}={v}" for k, v in env.items()]


class Exec:
    """A command in a guest, its output passed through."""

    def __init__(self, path, name, args):
        opts, words = options(list(args), ("stdin",), ("timeout", "cwd"))
        if not words:
            raise VmError("no command")
        self.argv = ["bash", "-c", words[0]] if len(words) == 1 else words
        self.name = name
        self.limit = float(opts["timeout"][0]) if "timeout" in opts else None
        self.cwd = opts.get("cwd", [TOP])[0]
        self.stdin = bool(opts.get("stdin"))
        self.session = socket.socket(socket.AF_UNIX)
        try:
            self.session.connect(path)
        except OSError as e:
            raise VmError(f"the session is over ({e.strerror})") from e

    def open(self):
        wire.send_json(self.session, {"do": "exec", "name": self.name})
        data, fds, _, _ = socket.recv_fds(self.session, 65536, 1)
        if not fds:
            text = json.loads(data)["error"] if data else "the session is over"
            raise VmError(text)
        self.sock = socket.socket(fileno=fds[0])
        self.sock.sendall(wire.request(
            self.argv, guest_env(), self.cwd,
            wire.FLAG_STDIN if self.stdin else 0))

    def feed(self):
        try:
            while True:
                data = os.read(0, 32768)
                self.sock.sendall(wire.frame(wire.STDIN, data))
                if not data:
                    return
        except OSError:
            pass

    def why(self):
        """What the session knows about the end of the connection."""
        try:
            self.session.shutdown(socket.SHUT_WR)
            self.session.settimeout(5)
            answer = wire.read_json(self.session)
            return answer["why"] if answer else "the session ended"
        except OSError:
            return "the session does not answer"

    def forward_signal(self, number, _):
        self.sock.sendall(wire.frame(wire.SIGNAL, struct.pack("<I", number)))

    def relay(self):
        deadline = time.monotonic() + self.limit if self.limit else None
        selector = selectors.DefaultSelector()
        selector.register(self.sock, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic() if deadline else None
            if left is not None and (left <= 0 or not selector.select(left)):
                say(f"guest {self.name}: no end within {self.limit:g} s: "
                    + " ".join(self.argv))
                return wire.EXIT_TIMEOUT
            answer = wire.read_frame(self.sock)
            if answer is None:
                say(f"guest {self.name}: the command was lost: {self.why()}")
                return wire.EXIT_MACHINE
            kind, data = answer
            if kind == wire.EXIT:
                return wire.exit_code(data)
            write_all(1 if kind == wire.STDOUT else 2, data)

    def run(self):
        self.open()
        signal.signal(signal.SIGTERM, self.forward_signal)
        signal.signal(signal.SIGINT, self.forward_signal)
        if self.stdin:
            threading.Thread(target=self.feed, daemon=True).start()
        code = self.relay()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        return code


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def do_start(path, args):
    name, args = args[0], args[1:]
    opts, rest = options(args, ("udev",),
                         ("kernel", "mem", "cpus", "disk", "append", "number"))
    if rest:
        raise VmError(f"vm_start: what is {rest[0]}?")
    last = {k: v[-1] for k, v in opts.items() if isinstance(v, list)}
    ask(path, do="start", name=name, kernel=last.get("kernel"),
        mem=last.get("mem"), cpus=last.get("cpus"), append=last.get("append"), number=last.get("number"),
        udev=opts.get("udev"), disks=opts.get("disk", []))


def do_cut(path, args):
    name, rest = args[0], args[1:]
    seed = rest[0] if rest else str(int.from_bytes(os.urandom(4), "little"))
    mode = rest[1] if rest[1:] else "random"
    if mode not in ("drop", "keep", "random") or not seed.isdigit():
        raise VmError("vm_cut NAME [SEED [drop|keep|random]]")
    for line in ask(path, do="cut", name=name, seed=seed, mode=mode)["text"]:
        say(f"power cut of {name}, seed {seed}, {mode}: {line}")


def do_spawn(path, args):
    name, outfile, words = args[0], os.path.abspath(args[1]), args[2:]
    env = {k: v for k, v in os.environ.items()
           if k.startswith(PASSED) or k == "VM_ENV"
           or k in os.environ.get("VM_ENV", "").split()}
    show(ask(path, do="spawn", name=name, outfile=outfile, args=words, env=env,
             cwd=os.getcwd()))


def do_wait(path, args):
    opts, rest = options(list(args), (), ("timeout",))
    limit = float(opts["timeout"][0]) if "timeout" in opts else None
    code = ask(path, do="wait", id=rest[0], timeout=limit)["code"]
    return code if code >= 0 else 128 - code


def do_check_dmesg(path, args):
    found = ask(path, do="check_dmesg", name=args[0] if args else None)["text"]
    for line in found:
        say(line)
    return 1 if found else 0


def main(path, what, args):
    simple = {"boot": (), "stop": (), "ip": (), "console": (),
              "expect_end": (), "disk_file": ("disk",), "disk_control": ("disk", "line")}
    if what == "exec":
        return Exec(path, args[0], args[1:]).run()
    if what in simple:
        show(ask(path, do=what, name=args[0],
                 **dict(zip(simple[what], args[1:]))))
    elif what == "alive":
        return 0 if ask(path, do=what, name=args[0])["alive"] else 1
    elif what in ("pause", "resume"):
        ask(path, do="pause", name=args[0], yes=what == "pause")
    elif what == "wait_end":
        ask(path, do=what, name=args[0],
            timeout=args[1] if args[1:] else "60")
    elif what == "net":
        ask(path, do=what, name=args[0], action=args[1], words=args[2:])
    elif what == "expect_dmesg":
        ask(path, do=what, pattern=args[0] if args else None)
    elif what == "info":
        show(ask(path, do=what))
    elif what == "kill":
        ask(path, do=what, id=args[0])
    elif what == "quit":
        if ask(path, do=what, keep=args[0] != "0")["deaths"]:
            return wire.EXIT_MACHINE
    else:
        return globals()["do_" + what](path, args)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]) or 0)
    except VmError as error:
        say(str(error))
        sys.exit(wire.EXIT_MACHINE)
    except IndexError:
        say(f"{sys.argv[2]}: too few arguments")
        sys.exit(wire.EXIT_MACHINE)
