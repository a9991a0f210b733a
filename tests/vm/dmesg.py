# SPDX-License-Identifier: GPL-2.0
"""What in a kernel's log is a failure.

The log is cut into blocks (a warning with its trace, or one line); a block
that holds a bad line and no line that the test expected is reported whole.
"""

import re

BAD = re.compile("|".join([
    r"\bWARNING:", r"\bBUG:", r"\bBUG at ", r"\bOops\b", r"\bKASAN\b",
    r"\bKCSAN\b", r"\bUBSAN\b", r"kernel panic", r"general protection fault",
    r"double fault", r"unable to handle", r"\bCall Trace:", r"\bINFO: task ",
    r"rcu:? .*(stall|starved)", r"\bINFO: rcu_", r"(soft|hard) lockup",
    r"lockdep", r"possible (recursive|irq|circular) lock",
    r"suspicious RCU usage", r"sleeping function called", r"bad unlock",
    r"scheduling while atomic", r"refcount_t:", r"list_(add|del) corruption",
    r"\bkmemleak: [1-9]", r"unreferenced object", r"Bad page", r"Bad rss",
    r"page allocation failure", r"Out of memory", r"oom-kill",
    r"nobody cared", r"Objects remaining", r"Slab .* objects",
    r"workqueue lockup", r"invalid opcode", r"stack segment",
    r"vm: init[12]: ",
]), re.IGNORECASE)

# Said by a sound kernel in a slow emulator.
HARMLESS = re.compile("|".join([
    r"lockdep is turned off", r"clocksource:", r"Spectre", r"RETBleed",
    r"NMI watchdog: (Enabled|Perf)", r"Lockdep.*initial",
    r"MAX_LOCKDEP_",
    r"module verification failed", r"tainting kernel",
]), re.IGNORECASE)

# How a block begins, and how it ends: a warning, a report, and the trace that
# a slab cache shows which cannot be made.
BLOCKS = [(re.compile(start), re.compile(end)) for start, end in [
    (r"-+\[ cut here \]-+|={30,}", r"-+\[ end (trace|Kernel panic).*\]-+"),
    (r"kmem_cache_create\w*\(.*\) failed with error", r"</TASK>"),
]]
STAMP = re.compile(r"^(<\d+>)?\[ *\d+\.\d+\](\[ *[TC]\d+\])? ?")
BLOCK_LINES_MAX = 200


def blocks(text):
    block, end = [], None
    for line in text.splitlines():
        bare = STAMP.sub("", line)
        if not end:
            end = next((e for s, e in BLOCKS if s.search(bare)), None)
            if not end:
                yield [line]
                continue
        block.append(line)
        if (len(block) > 1 and end.search(bare)) or \
                len(block) == BLOCK_LINES_MAX:
            yield block
            block, end = [], None
    if block:
        yield block


def problems(text, expected):
    """The blocks of the log that are failures; `expected` are compiled
    expressions, any of which excuses the block it matches."""
    found = []
    for block in blocks(text):
        bad = any(BAD.search(l) and not HARMLESS.search(l) for l in block)
        if bad and not any(a.search(l) for a in expected for l in block):
            found.append("\n".join(block))
    return found
