# SPDX-License-Identifier: GPL-2.0
"""One guest: its QEMU process, its boots, its end, and the evidence of it.

A guest's end that nobody asked for is an event: it is recorded with what QEMU
and the console had to say, and never mixed up with the failure of a test.
"""

import os
import signal
import socket
import subprocess
import threading
import time

import accel
import dmesg
import initramfs
import kernels
import network
import wire
from common import VmError, say, tail
from disks import Disk
from qmp import Qmp

BOOT_TRIES = int(os.environ.get("REPRISE_VM_BOOT_TRIES", "3"))
BOOT_LIMIT_S = int(os.environ.get("REPRISE_VM_BOOT_LIMIT", "150"))
HANG_LIMIT_S = int(os.environ.get("REPRISE_VM_HANG_LIMIT", "180"))
PING_EVERY_S = min(15, HANG_LIMIT_S / 4)
STOP_LIMIT_S = 60
MARK_LIMIT_S = 30

# Stall detectors get long limits: a virtual CPU may not run for a while on a
# busy host, and that is no fault of the kernel under test.
CMDLINE = ("console=ttyS0 loglevel=5 panic=-1 mitigations=off tsc=reliable "
           "net.ifnames=0 log_buf_len=4M rcupdate.rcu_cpu_stall_timeout=120 "
           "watchdog_thresh=60 unknown_nmi_panic")


class Guest:
    def __init__(self, session, number, options):
        self.session = session
        self.number = number
        self.name = options["name"]
        self.mem = int(options.get("mem") or 1024)
        self.cpus = int(options.get("cpus") or 1)
        self.udev = bool(options.get("udev"))
        self.append = options.get("append") or ""
        self.kernel = kernels.find(options.get("kernel") or "6.12")
        directory = os.path.join(session.disk_dir, self.name)
        self.disks = [Disk(spec, directory) for spec in options["disks"]]
        if len({d.name for d in self.disks}) != len(self.disks):
            raise VmError(f"guest {self.name}: two disks of one name")
        self.boots = 0
        self.deaths = 0			# not counting those on the way up
        self.process = None
        self.expect_end = False
        self.paused = False
        self.why_dead = "was not booted"
        self.console = None
        self.checked = 0
        self.marks = 0
        self.connections = set()
        self.lock = threading.Lock()

    # Boot

    def prepare(self):
        network.attach(self.number)
        for disk in self.disks:
            disk.create(self.session.run_dir, self.name)

    def command(self):
        n, kernel = self.number, self.kernel
        initrd = initramfs.initramfs(kernel)
        engine = accel.choose(kernel.image, initrd)
        append = (f"{CMDLINE} {accel.cmdline(engine)} vm.name={self.name} "
                  f"vm.id={n} vm.udev={int(self.udev)} "
                  f"vm.modules={kernel.modules} {self.append}")
        args = ["qemu-system-x86_64", *accel.ARGS[engine],
                "-name", self.name, "-nodefaults", "-no-user-config",
                "-display", "none", "-no-reboot", "-smp", str(self.cpus),
                "-m", str(self.mem), "-kernel", kernel.image, "-initrd", initrd,
                "-append", append, "-serial", f"file:{self.console}",
                "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
                "-fsdev", "local,id=root,path=/,security_model=none,"
                "readonly=on,multidevs=remap",
                "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
                "-object", "rng-random,id=rng,filename=/dev/urandom",
                "-device", "virtio-rng-pci,rng=rng"]
        for kind, mac in (("tap", network.data_mac(n)),
                          ("mgmt", network.management_mac(n))):
            args += ["-netdev", f"tap,id={kind},ifname={kind}{n},script=no,"
                     "downscript=no",
                     "-device", f"virtio-net-pci,netdev={kind},mac={mac},"
                     "romfile="]
        for number, disk in enumerate(self.disks):
            args += disk.qemu_args(number)
        return args

    def launch(self):
        self.boots += 1
        base = os.path.join(self.session.dir, f"{self.name}.{self.boots}")
        self.console, self.qemu_log = base + ".console", base + ".qemu"
        self.qmp_path = os.path.join(self.session.run_dir,
                                     f"{self.name}.{self.boots}.qmp")
        self.checked, self.paused, self.expect_end = 0, False, False
        self.why_dead = None
        with open(self.qemu_log, "wb") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)

    def boot(self):
        """Boots, again if it dies on the way, as QEMU sometimes does."""
        if self.alive():
            raise VmError(f"guest {self.name} runs already")
        for attempt in range(1, BOOT_TRIES + 1):
            self.launch()
            problem = self.await_boot()
            if not problem:
                break
            self.expect_end = True
            if self.process.poll() is None:
                self.collect_hang()
            self.kill_process()
            self.session.event(self, f"did not boot (attempt {attempt} of "
                               f"{BOOT_TRIES}): {problem}")
        else:
            self.why_dead = "does not boot"
            raise VmError(f"guest {self.name} does not boot, see "
                          f"{self.console}")
        self.call(["date", "-s", f"@{time.time():.3f}"])
        process = self.process
        threading.Thread(target=self.watch_end, args=(process,),
                         daemon=True).start()
        threading.Thread(target=self.watch_hang, args=(process,),
                         daemon=True).start()

    def await_boot(self):
        deadline = time.monotonic() + BOOT_LIMIT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return f"QEMU ended with {self.process.returncode}"
            if self.ping(2):
                return None
            time.sleep(0.1)
        return f"no answer within {BOOT_LIMIT_S} s"

    # The agent

    def connect(self, timeout):
        s = socket.create_connection(
            (network.management_address(self.number), wire.AGENT_PORT),
            timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def ping(self, timeout):
        try:
            with self.connect(timeout) as s:
                s.sendall(wire.request([]))
                answer = wire.read_frame(s)
                return bool(answer and answer[0] == wire.EXIT)
        except OSError:
            return False

    def call(self, argv, timeout=60, flags=0):
        """Runs a command of the machine's own; returns its exit code."""
        try:
            with self.connect(timeout) as s:
                s.sendall(wire.request(argv, flags=flags))
                while True:
                    answer = wire.read_frame(s)
                    if answer is None:
                        return wire.EXIT_MACHINE
                    if answer[0] == wire.EXIT:
                        return wire.exit_code(answer[1])
        except OSError:
            return wire.EXIT_MACHINE

    def open_connection(self):
        """A connection for one command, shut down when the guest ends."""
        self.require_alive()
        try:
            s = self.connect(60)
        except OSError as e:
            raise VmError(f"guest {self.name} does not answer: {e}") from e
        s.settimeout(None)
        with self.lock:
            self.connections.add(s)
        if not self.alive():
            self.drop_connections()
        return s

    def close_connection(self, s):
        with self.lock:
            self.connections.discard(s)
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()

    def drop_connections(self):
        with self.lock:
            for s in self.connections:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    # The end

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def require_alive(self):
        if not self.alive():
            raise VmError(f"guest {self.name} is not running: {self.why_dead}")

    def watch_end(self, process):
        process.wait()
        if process is self.process:
            if self.expect_end:
                self.why_dead = self.why_dead or "it ended, as expected"
            else:
                self.deaths += 1
                self.why_dead = f"QEMU ended with {process.returncode}"
                self.session.event(self, f"died: {self.why_dead}")
            self.drop_connections()

    def watch_hang(self, process):
        heard = time.monotonic()
        while process is self.process and process.poll() is None:
            time.sleep(PING_EVERY_S)
            if self.paused or self.ping(PING_EVERY_S):
                heard = time.monotonic()
            elif time.monotonic() - heard > HANG_LIMIT_S:
                if process is self.process and not self.expect_end:
                    self.end_hang()
                return

    def end_hang(self):
        self.expect_end = True
        self.deaths += 1
        self.why_dead = f"it hung: no answer for {HANG_LIMIT_S} s"
        self.collect_hang()
        self.session.event(self, f"hung: no answer for {HANG_LIMIT_S} s")
        self.kill_process()
        self.drop_connections()

    def collect_hang(self):
        """Registers, then an NMI, which makes the kernel show its stack."""
        try:
            with Qmp(self.qmp_path) as qmp:
                text = qmp.human("info registers -a") + qmp.human("info status")
                with open(self.qemu_log + ".registers", "w") as f:
                    f.write(text)
                qmp.execute("inject-nmi")
        except (OSError, VmError) as e:
            say(f"guest {self.name}: no evidence from QEMU: {e}")
            return
        time.sleep(5)

    def kill_process(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def cut(self, seed, mode):
        """The power goes: QEMU stands still at once, requests may be half way;
        the disks decide what was on the medium before its end takes time, in
        which they would finish what they are at."""
        self.expect_end = True
        self.why_dead = "its power was cut"
        if self.process:
            self.process.send_signal(signal.SIGSTOP)
        try:
            return [d.cut(seed, mode) for d in self.disks]
        finally:
            self.kill_process()
            self.drop_connections()

    def stop(self):
        self.require_alive()
        self.expect_end = True
        self.why_dead = "it was stopped"
        self.call([], flags=wire.FLAG_POWEROFF)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired as e:
            self.collect_hang()
            self.kill_process()
            self.session.event(self, f"did not stop within {STOP_LIMIT_S} s")
            raise VmError(f"guest {self.name} did not stop") from e
        finally:
            self.drop_connections()
            for disk in self.disks:
                disk.settle()

    def wait_end(self, timeout):
        """Waits for an end that the test brings about itself."""
        self.expect_end = True
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired as e:
            self.expect_end = False
            raise VmError(f"guest {self.name} still runs") from e
        self.drop_connections()

    def pause(self, yes):
        self.require_alive()
        self.paused = self.paused or yes
        with Qmp(self.qmp_path) as qmp:
            qmp.execute("stop" if yes else "cont")
        self.paused = yes

    # The kernel's log

    def console_text(self, start=0):
        try:
            with open(self.console, "rb") as f:
                f.seek(start)
                return f.read().decode("latin-1").replace("\r", " ")
        except (OSError, TypeError):
            return ""

    def mark_console(self):
        """Waits until what the kernel has logged so far is in the console."""
        self.marks += 1
        mark = f"vm: mark {self.marks} "
        if self.call(["sh", "-c", f"echo '<6>{mark}' >/dev/kmsg"]):
            return
        deadline = time.monotonic() + MARK_LIMIT_S
        while mark not in self.console_text(self.checked):
            if time.monotonic() > deadline or not self.alive():
                return
            time.sleep(0.05)

    def check_dmesg(self, expected):
        """The problems in the log since the last check of this boot."""
        if self.alive() and not self.paused:
            self.mark_console()
        text = self.console_text(self.checked)
        self.checked += len(text)
        return dmesg.problems(text, expected)

    def disk(self, name):
        for disk in self.disks:
            if disk.name == name:
                return disk
        raise VmError(f"guest {self.name} has no disk {name}")

    def last_words(self):
        return [l for p in (self.qemu_log, self.console) for l in tail(p, 15)]
