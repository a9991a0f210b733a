# SPDX-License-Identifier: GPL-2.0
"""The initramfs of a kernel.

An initramfs holds busybox, init1, init2, the agent and those modules that
reach the root, decompressed, in an order that satisfies their dependencies.
It is kept in the cache under a name that hashes everything it is made of, so
an empty cache, a new kernel or a changed init give the right thing.
"""

import gzip
import hashlib
import lzma
import os
import subprocess

from common import TOOLS, VM_DIR, VmError, cache_dir

MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_blk",
           "virtio_net", "virtio_rng"]


def module_name(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def module_order(kernel):
    """Paths of MODULES and what they need, dependencies first."""
    base = kernel.modules
    needs, paths, builtin = {}, {}, set()
    with open(f"{base}/modules.builtin") as f:
        builtin = {module_name(line.strip()) for line in f}
    with open(f"{base}/modules.dep") as f:
        for line in f:
            path, deps = line.split(":")
            needs[path] = deps.split()
            paths[module_name(path)] = path
    order = []

    def add(path):
        for dep in needs[path]:
            add(dep)
        if path not in order:
            order.append(path)

    for name in MODULES:
        if name in paths:
            add(paths[name])
        elif name not in builtin:
            raise VmError(f"kernel {kernel.release} has no module {name}")
    return [os.path.join(base, p) for p in order]


def module_read(path):
    if path.endswith(".xz"):
        with lzma.open(path) as f:
            return f.read()
    if path.endswith(".gz"):
        with gzip.open(path) as f:
            return f.read()
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq", path], check=True,
                              stdout=subprocess.PIPE).stdout
    with open(path, "rb") as f:
        return f.read()


def cpio_entry(name, mode, data=b""):
    """One member in the newc format (Documentation/driver-api/early-userspace
    of the kernel)."""
    name = name.encode() + b"\0"
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def file_read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as e:
        raise VmError(f"{path}: {e.strerror}") from e


def pack(kernel):
    """The archive's members: (name, mode, function that reads the data)."""
    members = [(d, 0o40755, lambda: b"") for d in
               ("bin", "modules", "dev", "proc", "sys")]
    fixed = [("bin/busybox", "/bin/busybox"), ("init", f"{VM_DIR}/init1"),
             ("init2", f"{VM_DIR}/init2"), ("agent", f"{TOOLS}/agent")]
    for name, path in fixed:
        members.append((name, 0o100755, lambda p=path: file_read(p)))
    order = module_order(kernel)
    for path in order:
        members.append((f"modules/{module_name(path)}.ko", 0o100644,
                        lambda p=path: module_read(p)))
    text = "".join(f"{module_name(p)}.ko\n" for p in order).encode()
    members.append(("modules/order", 0o100644, lambda: text))
    sources = [p for _, p in fixed] + order + [os.path.abspath(__file__)]
    return members, sources


def fingerprint(sources):
    digest = hashlib.sha256()
    for path in sources:
        try:
            st = os.stat(path)
        except OSError as e:
            raise VmError(f"{path}: {e.strerror}") from e
        digest.update(f"{path} {st.st_size} {st.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def initramfs(kernel):
    """Path of the kernel's initramfs, made now if the cache has none."""
    members, sources = pack(kernel)
    prefix = f"initramfs-{kernel.release}-"
    name = prefix + fingerprint(sources)
    path = os.path.join(cache_dir("initramfs"), name)
    if not os.path.exists(path):
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "wb") as f:
            for member, mode, read in members:
                f.write(cpio_entry(member, mode, read()))
            f.write(cpio_entry("TRAILER!!!", 0))
        os.rename(temporary, path)
        remove_old(os.path.dirname(path), prefix, name)
    return path


def remove_old(directory, prefix, keep):
    """Keeps the four newest of a release: other trees may be using them."""
    old = [os.path.join(directory, n) for n in os.listdir(directory)
           if n.startswith(prefix) and n != keep]
    for path in sorted(old, key=os.path.getmtime, reverse=True)[3:]:
        try:
            os.unlink(path)
        except OSError:
            pass
