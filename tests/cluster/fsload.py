#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A file system's promises, and whether they were kept.

fsload.py load DIRECTORY SEED	writes for ever: files of random sizes, each
	written aside, fsynced, renamed over its name, the directory fsynced.
	Prints "begun NAME DIGEST" before the rename and "done NAME DIGEST" after
	all. Beside them grows a file that is never synced.
fsload.py check DIRECTORY MINIMUM <record	every name holds what was done last, or
	what was begun after that, and at least MINIMUM were done. Prints what is
	wrong and a summary.
"""

import hashlib
import os
import random
import sys

NAMES = 40
BIGGEST = 300_000


def sync_directory(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def write_synced(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    os.fsync(fd)
    os.close(fd)


def load(top, seed):
    choice = random.Random(seed)
    noise = open(os.path.join(top, "noise"), "wb")
    while True:
        name = f"d{choice.randrange(4)}/f{choice.randrange(NAMES)}"
        path = os.path.join(top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = choice.randbytes(choice.randrange(1, BIGGEST))
        digest = hashlib.sha256(data).hexdigest()
        write_synced(path + ".new", data)
        print("begun", name, digest, flush=True)
        os.rename(path + ".new", path)
        sync_directory(os.path.dirname(path))
        sync_directory(top)
        print("done", name, digest, flush=True)
        noise.write(data)


def read_record(lines):
    """Of each name, the digests that it may have."""
    allowed, done = {}, 0
    for line in lines:
        words = line.split()
        # The machine may have died within a line.
        if len(words) != 3 or len(words[2]) != 64:
            continue
        kind, name, digest = words
        if kind == "done":
            allowed[name] = {digest}
            done += 1
        elif kind == "begun":
            allowed.setdefault(name, {None}).add(digest)
    return allowed, done


def digest_of(path):
    try:
        with open(path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()
    except FileNotFoundError:
        return None


def check(top, minimum):
    allowed, done = read_record(sys.stdin)
    bad = [name for name, digests in allowed.items()
           if digest_of(os.path.join(top, name)) not in digests]
    for name in bad:
        print(f"{name}: not what was fsynced")
    print(f"{done} files were fsynced, under {len(allowed)} names, {len(bad)} wrong")
    return 1 if bad or done < minimum else 0


if sys.argv[1] == "load":
    load(sys.argv[2], int(sys.argv[3]))
sys.exit(check(sys.argv[2], int(sys.argv[3])))
