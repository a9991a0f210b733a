# SPDX-License-Identifier: GPL-2.0
"""A session: the process that owns one test's guests.

It is process 1 of its own PID namespace and owns its own network namespace,
so whatever ends it (also SIGKILL) ends every QEMU and nbdkit and removes every
device. It ends by itself when its driver does, or its time is over. Files that
a killed session left behind are removed by the next one.

usage: session.py DRIVER_PID GUESTS TIME_LIMIT_S TITLE, prints on standard
output the path of its socket when it is ready.
"""

import concurrent.futures
import ctypes
import os
import queue
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import network
import slots
import wire
from common import EVIDENCE, GUESTS_MAX, VM_DIR, VmError, say
from guest import Guest

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
TERM_GRACE_S = 15
STATUS_TIME_OVER = 77
EVIDENCE_MAX = 50

libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags):
    if libc.unshare(flags):
        raise VmError("cannot create namespaces (root is needed): "
                      + os.strerror(ctypes.get_errno()))


class Session:
    def __init__(self, driver, guests, title):
        self.driver = driver
        self.guests_max = guests
        self.guests = {}
        self.expected = []
        self.spawned = {}
        self.events = []
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.tasks = queue.SimpleQueue()
        stamp = time.strftime("%H%M%S")
        self.dir = tempfile.mkdtemp(prefix=f"{title}-{stamp}-", dir=EVIDENCE)
        self.disk_dir = os.path.join(self.dir, "disks")
        # Held until this process ends; says that the directory is in use.
        self.lock_fd = -1
        while self.lock_fd < 0:
            self.lock_fd = slots.try_lock(os.path.join(self.dir, "lock"))
        # Unix sockets need a short path.
        self.run_dir = tempfile.mkdtemp(prefix="reprise-vm-")
        os.symlink(self.run_dir, os.path.join(self.dir, "run"))

    def event(self, guest, text):
        """A guest's death: printed, counted, and its evidence kept."""
        line = f"guest {guest.name} ({guest.kernel.release}) {text}"
        self.events.append(line)
        say(f"EVENT: {line}; evidence in {self.dir}")
        for word in guest.last_words():
            say(f"    | {word}")
        with open(os.path.join(self.dir, "events"), "a") as f:
            f.write(line + "\n")
        with open(os.path.join(EVIDENCE, "events.log"), "a") as f:
            f.write(f"{time.strftime('%F %T')} {self.dir}: {line}\n")

    def guest(self, rq):
        try:
            return self.guests[rq["name"]]
        except KeyError:
            raise VmError(f"no guest {rq.get('name')}") from None

    # Requests of the driver; each returns what is added to the answer.

    def do_start(self, rq):
        with self.lock:
            if rq["name"] in self.guests:
                raise VmError(f"guest {rq['name']} exists: use vm_boot")
            if len(self.guests) >= self.guests_max:
                raise VmError(f"this session has {self.guests_max} guests: "
                              "vm_init --guests N first")
            guest = Guest(self, self.free_number(rq.get("number")), rq)
            self.guests[guest.name] = guest
        self.in_main_thread(guest.prepare)
        guest.boot()

    def free_number(self, wanted):
        used = {str(g.number) for g in self.guests.values()}
        free = [n for n in map(str, range(1, GUESTS_MAX + 1)) if n not in used]
        if wanted and wanted not in free:
            raise VmError(f"--number is one of {', '.join(free)}")
        return int(wanted or free[0])

    def do_boot(self, rq):
        self.guest(rq).boot()

    def do_cut(self, rq):
        return {"text": self.guest(rq).cut(int(rq["seed"]), rq["mode"])}

    def do_stop(self, rq):
        self.guest(rq).stop()

    def do_pause(self, rq):
        self.guest(rq).pause(rq["yes"])

    def do_expect_end(self, rq):
        self.guest(rq).expect_end = True

    def do_wait_end(self, rq):
        self.guest(rq).wait_end(float(rq["timeout"]))

    def do_alive(self, rq):
        return {"alive": self.guest(rq).alive()}

    def do_net(self, rq):
        network.link(self.guest(rq).number, rq["action"], rq["words"])

    def do_ip(self, rq):
        return {"text": [f"10.77.0.{self.guest(rq).number}"]}

    def do_console(self, rq):
        return {"text": self.guest(rq).console_text().splitlines()}

    def do_expect_dmesg(self, rq):
        try:
            self.expected = (self.expected + [re.compile(rq["pattern"])]
                             if rq["pattern"] else [])
        except re.error as e:
            raise VmError(f"bad pattern {rq['pattern']}: {e}") from e

    def do_check_dmesg(self, rq):
        names = [rq["name"]] if rq.get("name") else list(self.guests)
        found = []
        for name in names:
            for text in self.guest({"name": name}).check_dmesg(self.expected):
                found += [f"{name}: {line}" for line in text.splitlines()]
        return {"text": found}

    def do_disk_file(self, rq):
        return {"text": [self.guest(rq).disk(rq["disk"]).file]}

    def do_disk_control(self, rq):
        disk = self.guest(rq).disk(rq["disk"])
        return {"text": [disk.control(rq["line"])]}

    def do_info(self, rq):
        return {"text": [f"dir {self.dir}"]
                + [f"event {e}" for e in self.events]
                + [f"guest {g.name} {g.kernel.release} "
                   f"{'up' if g.alive() else 'down: ' + g.why_dead}"
                   for g in self.guests.values()]}

    def do_spawn(self, rq):
        self.guest(rq).require_alive()
        out = open(rq["outfile"], "ab")
        p = subprocess.Popen(
            [sys.executable, "-B", os.path.join(VM_DIR, "client.py"),
             os.path.join(self.run_dir, "session"), "exec", rq["name"],
             *rq["args"]], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env=dict(rq["env"], PATH=os.environ["PATH"]), cwd=rq["cwd"])
        out.close()
        with self.lock:
            number = str(len(self.spawned) + 1)
            self.spawned[number] = p
        return {"text": [number]}

    def spawn(self, rq):
        try:
            return self.spawned[rq["id"]]
        except KeyError:
            raise VmError(f"no spawned command {rq['id']}") from None

    def do_wait(self, rq):
        try:
            return {"code": self.spawn(rq).wait(rq.get("timeout"))}
        except subprocess.TimeoutExpired:
            raise VmError(f"spawned command {rq['id']} still runs") from None

    def do_kill(self, rq):
        """Ends the client; the agent then kills the command's group."""
        self.spawn(rq).kill()
        self.spawn(rq).wait()

    def do_quit(self, rq):
        deaths = sum(g.deaths for g in self.guests.values())
        self.keep = bool(rq.get("keep") or deaths)
        self.ending.set()
        return {"deaths": deaths}

    # Serving

    def exec_(self, client, rq):
        """Hands the client a connection to the agent, and watches over it:
        either side's end, or the guest's, ends the other."""
        guest = self.guest(rq)
        s = guest.open_connection()
        try:
            socket.send_fds(client, [b'{"ok": true}\n'], [s.fileno()])
            client.recv(1)
            if not guest.alive():
                wire.send_json(client, {"why": guest.why_dead})
        finally:
            guest.close_connection(s)

    def serve(self, client):
        with client:
            try:
                rq = wire.read_json(client)
                if rq is None:
                    return
                if rq["do"] == "exec":
                    self.exec_(client, rq)
                    return
                answer = getattr(self, "do_" + rq["do"])(rq) or {}
                wire.send_json(client, dict(answer, ok=True))
            except VmError as e:
                self.answer_error(client, str(e))
            except Exception:  # a bug here must reach the driver, not hang it
                self.answer_error(client, traceback.format_exc())

    @staticmethod
    def answer_error(client, text):
        try:
            wire.send_json(client, {"ok": False, "error": text})
        except OSError:
            pass

    def accept_loop(self, listener):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self.serve, args=(client,),
                             daemon=True).start()

    def run(self, time_limit):
        network.create()
        listener = socket.socket(socket.AF_UNIX)
        path = os.path.join(self.run_dir, "session")
        listener.bind(path)
        listener.listen(64)
        threading.Thread(target=self.accept_loop, args=(listener,),
                         daemon=True).start()
        print(path, flush=True)
        os.close(1)
        os.open("/dev/null", os.O_WRONLY)
        deadline = time.monotonic() + time_limit
        while not self.ending.is_set():
            self.run_task(0.2)
            if driver_gone(self.driver):
                return
            if time.monotonic() > deadline:
                self.time_over(time_limit)
                return

    def in_main_thread(self, task):
        """Has the main thread run the task, and waits for its result. nbdkit
        ends when the thread that started it does."""
        done = concurrent.futures.Future()
        self.tasks.put((task, done))
        return done.result()

    def run_task(self, timeout):
        try:
            task, done = self.tasks.get(timeout=timeout)
        except queue.Empty:
            return
        try:
            done.set_result(task())
        except Exception as e:  # goes to the waiting thread
            done.set_exception(e)

    def time_over(self, time_limit):
        say(f"the session's time, {time_limit} s, is over: ending it; "
            f"evidence in {self.dir}")
        self.keep = True
        for guest in self.guests.values():
            guest.expect_end = True
            guest.why_dead = "the session's time is over"
            guest.kill_process()
        self.status = STATUS_TIME_OVER

    keep = True
    status = 0

    def close(self):
        for guest in self.guests.values():
            guest.expect_end = True
            guest.kill_process()
        if self.events:
            say(f"{len(self.events)} guest death(s) in this session, "
                f"evidence in {self.dir}")
        remove_leftovers(self.dir)
        if not self.keep and not self.events:
            shutil.rmtree(self.dir, ignore_errors=True)


def driver_gone(pidfd):
    return bool(select.select([pidfd], [], [], 0)[0])


def remove_leftovers(directory):
    """Sockets and disks; logs stay."""
    link = os.path.join(directory, "run")
    if os.path.islink(link):
        shutil.rmtree(os.readlink(link), ignore_errors=True)
        os.unlink(link)
    if not os.environ.get("REPRISE_VM_KEEP_DISKS"):
        shutil.rmtree(os.path.join(directory, "disks"), ignore_errors=True)


def sweep():
    """Removes what sessions left that were killed, and the oldest evidence."""
    os.makedirs(EVIDENCE, exist_ok=True)
    free = []
    for name in os.listdir(EVIDENCE):
        path = os.path.join(EVIDENCE, name)
        try:
            fd = slots.try_lock(os.path.join(path, "lock"))
            if fd >= 0:
                remove_leftovers(path)
                free.append((os.path.getmtime(path), path))
                os.close(fd)
        except OSError:
            continue  # a file, or its session is removing it right now
    for _, path in sorted(free)[:-EVIDENCE_MAX]:
        shutil.rmtree(path, ignore_errors=True)


def inner(driver, guests, time_limit, title):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    libc.mount(b"proc", b"/proc", b"proc", 0, None)
    session = Session(driver, guests, title)
    try:
        session.run(time_limit)
    finally:
        session.close()
    return session.status


def main():
    driver = os.pidfd_open(int(sys.argv[1]))
    guests, time_limit = int(sys.argv[2]), int(sys.argv[3])
    title = re.sub(r"[^\w.-]", "_", sys.argv[4])
    os.setsid()
    sweep()

    def give_up():
        if driver_gone(driver):
            sys.exit(1)

    # The slots' locks live as long as the session's processes.
    slots.take(guests, f"{title} (process {sys.argv[1]}, {guests} guests, "
               f"since {time.strftime('%T')})", give_up)
    unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = inner(driver, guests, time_limit, title)
        except VmError as e:
            say(str(e))
        except Exception:  # os._exit says nothing of it
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == STATUS_TIME_OVER:
        end_driver(driver)
    return status


def end_driver(driver):
    """Terminates the driver. This is done out here, because a process cannot
    signal one outside its PID namespace, and by a process of its own for the
    second step, because the driver waits for this one."""
    signal.pidfd_send_signal(driver, signal.SIGTERM)
    if os.fork():
        return
    if not select.select([driver], [], [], TERM_GRACE_S)[0]:
        signal.pidfd_send_signal(driver, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VmError as error:
        say(str(error))
        sys.exit(1)
