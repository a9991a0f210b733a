#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Compares the netlink specification with the header and the module.

usage: spec.py names|constants|policies|requests|operations SPEC GENERATED

GENERATED.h and GENERATED.c are what the kernel's generator makes of SPEC.
Values come from the compiler, so that it does not matter how they are
written. Says what differs; exit 1 if anything does.
"""
import re
import subprocess
import sys

import yaml

UAPI = 'kmod/uapi/reprise_netlink.h'
FRAME = 'kmod/uapi/reprise_frame.h'
MODULE = 'kmod/netlink.c'
# The name of the multicast group, which the generator defines in its own way.
GROUP = {'REPRISE_MCGRP_EVENTS', 'REPRISE_GENL_MCGRP'}


def read(path):
    with open(path) as f:
        return re.sub(r'/\*.*?\*/', '', f.read(), flags=re.S)


def values(generated, headers, expressions):
    """What integer expressions and strings are worth, by the compiler."""
    expressions = sorted(expressions)
    lines = ['#include <stdio.h>'] + [f'#include "{h}"' for h in headers]
    lines += ['#define show(x) printf(_Generic((x), char *: "%s\\n", long: "%ld\\n", '
              'default: "%d\\n"), x);', 'int main(void) {']
    lines += [f'show({e})' for e in expressions] + ['}']
    program = generated + '.values'
    subprocess.run(['gcc', '-w', '-I.', '-Ikmod/uapi', '-o', program, '-xc', '-'],
                   input='\n'.join(lines), text=True, check=True)
    out = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(zip(expressions, out.splitlines()))


def names_in(path):
    text = read(path)
    found = set(re.findall(r'^#define (_*REPRISE_\w+)[ \t]+\S', text, re.M))
    for body in re.findall(r'\benum\b[\w\s]*{(.*?)}', text, re.S):
        found |= set(re.findall(r'\b(_*REPRISE_\w+)\s*(?:=[^,]*)?(?:,|$)', body.strip()))
    return found - GROUP


def compare(ours, theirs, where):
    """Lines about what two dictionaries do not share."""
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(key), theirs.get(key)
        if a != b:
            yield f'{key}: {a} in {where}, {b} in the specification'


def check_names(_, generated):
    ours, theirs = names_in(UAPI), names_in(generated + '.h')
    return compare(values(generated, [UAPI], ours),
                   values(generated, [generated + '.h'], theirs), UAPI)


def check_constants(spec, generated):
    """Those that the specification takes from another header."""
    wanted = {'REPRISE_' + d['name'].upper().replace('-', '_'): str(d['value'])
              for d in spec['definitions'] if d['type'] == 'const'}
    return compare(values(generated, [UAPI, FRAME], wanted), wanted, 'the headers')


def policies_in(path, generated):
    """Attribute: its type and limits, with values instead of names."""
    entries = re.findall(r'\[(REPRISE_[APV]_\w+)\]\s*=\s*'
                         r'(NLA_POLICY_\w+\([^;]*?\)|{[^}]*})\s*,', read(path))
    split = {}
    for attr, text in entries:
        text = re.sub(r'\b(MAX_NODES|ID_BYTES)\b', r'REPRISE_\1', text)
        text = re.sub(r'\w*?(volume|peer)_(nl_)?policy', r'\1', text)
        split[attr] = re.findall(r'[\w-]+(?:\s-\s\d+)?', text)
    numbers = {w for words in split.values() for w in words if re.match(r'REPRISE_|\d', w)}
    known = values(generated, [UAPI, FRAME], numbers)
    return {attr: ' '.join(known.get(w, w) for w in words) for attr, words in split.items()}


def check_policies(_, generated):
    """What the module takes at all, it takes as specified."""
    ours, theirs = policies_in(MODULE, generated), policies_in(generated + '.c', generated)
    return compare(ours, {attr: theirs.get(attr) for attr in ours}, MODULE)


def check_requests(spec, generated):
    """The module takes what requests may hold, and nothing else at top level."""
    wanted = set()
    for op in spec['operations']['list']:
        wanted |= set(op.get('do', {}).get('request', {}).get('attributes', []))
    wanted = {'REPRISE_A_' + a.upper().replace('-', '_') for a in wanted}
    ours = {a for a in policies_in(MODULE, generated) if a.startswith('REPRISE_A_')}
    return [f'{a}: only in requests of the specification' for a in wanted - ours] + \
           [f'{a}: only in the policy of {MODULE}' for a in ours - wanted]


def check_operations(spec, generated):
    ours, theirs = {}, {}
    for body in re.findall(r'{\s*\.cmd = ([^}]*)}', read(MODULE)):
        ours[body.split(',')[0]] = ('doit' in body, 'dumpit' in body, 'GENL_ADMIN_PERM' in body)
    for op in spec['operations']['list']:
        if 'do' in op:
            theirs['REPRISE_CMD_' + op['name'].upper()] = (
                True, 'dump' in op, 'admin-perm' in op.get('flags', []))
    yield from compare(ours, theirs, MODULE + ' (do, dump, admin)')
    group = values(generated, [UAPI], ['REPRISE_GENL_MCGRP'])
    named = [g['name'] for g in spec['mcast-groups']['list']]
    if list(group.values()) != named:
        yield f'multicast groups: {group}, {named} in the specification'


def main():
    with open(sys.argv[2]) as f:
        spec = yaml.safe_load(f)
    bad = list(globals()['check_' + sys.argv[1]](spec, sys.argv[3]))
    for line in bad:
        print(line)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
