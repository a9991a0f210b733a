# SPDX-License-Identifier: GPL-2.0
"""What all parts of the test machine share: paths, errors, small helpers."""

import os
import subprocess
import sys

VM_DIR = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(VM_DIR))
BUILD = os.environ.get("REPRISE_BUILD") or os.path.join(TOP, "build")
TOOLS = os.path.join(BUILD, "tests", "vm")
EVIDENCE = os.environ.get("REPRISE_VM_EVIDENCE") or os.path.join(BUILD, "vm")

GUESTS_MAX = 3


class VmError(Exception):
    """The machine, not a test, failed; the text is for a person."""


def cache_dir(*names):
    """A directory below the cache, created if need be."""
    base = os.environ.get("REPRISE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
        "reprise")
    path = os.path.join(base, *names)
    os.makedirs(path, exist_ok=True)
    return path


def say(text):
    print("# vm: " + text, file=sys.stderr, flush=True)


def run(*argv):
    """Runs a host program; its failure is an error of the machine."""
    p = subprocess.run(argv, capture_output=True, text=True, check=False)
    if p.returncode:
        raise VmError(f"{' '.join(argv)}: {p.stderr.strip() or p.returncode}")
    return p.stdout


def tail(path, lines):
    try:
        with open(path, errors="replace") as f:
            return f.read()[-16384:].splitlines()[-lines:]
    except OSError:
        return []
