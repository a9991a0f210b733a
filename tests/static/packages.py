#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Is everything that the tree uses in packages.txt?

usage: packages.py order|headers|commands < files of the repository

A package is there if it is listed, if a listed one depends on it, or if every
Debian system has it (essential, or priority required). Commands are words
where the shell expects one, that exist on this machine. Says what is missing.
"""
import os
import re
import subprocess
import sys

LIST = 'packages.txt'
# A word before a command, or what ends the one before.
BEFORE = r'(?:^|[|;&(`!]|\b(?:do|then|else|if|while|until|exec|xargs|sudo|result|must|quietly|' \
         r'clean)\b|\btimeout (?:-k \d+ )?\d+)'
COMMAND = re.compile(BEFORE + r'\s*([a-z_][\w.-]*)(?=[\s;|)&]|$)', re.M)
PYTHON = re.compile(r"[\[(]'([a-z][\w.-]+)', ['*f]")
# Words of shell functions, of awk and of prose that some package has a program
# for; busybox's poweroff.
NOT_COMMANDS = {'look', 'on', 'one', 'result', 'clean', 'step', 'link', 'write', 'wall', 'open',
                'at', 'batch', 'view', 'see', 'file', 'split', 'last', 'node', 'poweroff', 'git'}


def lines(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False).stdout.splitlines()


def listed():
    with open(LIST) as f:
        return [re.sub(r'\s*#.*', '', line.strip()) for line in f]


def provided():
    """All packages that are there once LIST is installed."""
    needs, there = {}, [name for name in listed() if name]
    form = '${Package}\t${Essential}\t${Priority}\t${Depends}, ${Pre-Depends}\t${Provides}\n'
    for line in lines('dpkg-query', '-W', '-f', form):
        name, essential, priority, depends, provides = line.split('\t')
        wanted = [re.sub(r'[ (:].*', '', d.strip()) for d in re.split('[,|]', depends)]
        needs.setdefault(name, []).extend(wanted)
        for other in provides.split(','):
            if other.strip():
                needs.setdefault(re.sub(r'[ (:].*', '', other.strip()), []).append(name)
        if essential == 'yes' or priority == 'required':
            there.append(name)
    seen = set()
    while there:
        name = there.pop()
        if name not in seen:
            seen.add(name)
            there += needs.get(name, [])
    return seen


def owners(paths):
    """{path: package} by dpkg, which knows / and /usr as one or as two."""
    found = {}
    wanted = {os.path.normpath(p) for p in paths}
    both = wanted | {p[4:] for p in wanted if p.startswith('/usr/')} | {'/usr' + p for p in wanted}
    for line in lines('dpkg', '-S', *sorted(both)):
        packages, _, path = line.partition(': ')
        found[path] = packages.split(',')[0].split(':')[0]
    return {p: found.get(p) or found.get(p[4:]) or found.get('/usr' + p) for p in wanted}


def missing(used):
    """used: {path: what uses it}"""
    there = provided()
    for path, package in sorted(owners(used).items()):
        if package not in there:
            yield f'{used[path]}: {path} is of package {package}, which is not in {LIST}'


def check_commands(files):
    used = {}
    for name in files:
        with open(name, errors='replace') as f:
            text = f.read()
        first = text.partition('\n')[0]
        python = 'python' in first or name.endswith('.py')
        if not python and not re.search(r'\b(ba)?sh\b', first) and not name.endswith('.sh'):
            continue
        text = re.sub(r'^\s*#.*', '', text, flags=re.M)
        for word in (PYTHON if python else COMMAND).findall(text):
            for directory in ('/usr/bin', '/usr/sbin', '/bin', '/sbin'):
                path = os.path.join(directory, word)
                if word not in NOT_COMMANDS and os.access(path, os.X_OK):
                    used.setdefault(os.path.realpath(path), f'{name}: {word}')
                    break
    if len(used) < 30:
        yield f'only {len(used)} commands were found'
    yield from missing(used)


def check_headers(files):
    build = os.environ.get('REPRISE_BUILD', 'build')
    used = {}
    sources = [f for f in files if f.endswith('.c') and re.match('agent|utils|tests/(unit|vm)', f)]
    out = lines('gcc', '-M', '-D_GNU_SOURCE', '-DREPRISE_VERSION="0"', '-I.', '-Iagent',
                '-Itests/unit', '-isystem', f'{build}/kselftest', *sources)
    for path in ' '.join(out).split():
        if path.startswith('/usr/'):
            used.setdefault(os.path.realpath(path), 'source')
    if len(used) < 50:
        yield f'only {len(used)} headers were found'
    yield from missing(used)


def check_order(_):
    names = listed()
    for a, b in zip(names, names[1:]):
        if a and b and a >= b:
            yield f'{LIST}: {b} comes after {a}'
    for name in {n for n in names if n and names.count(n) > 1}:
        yield f'{LIST}: {name} twice'


def main():
    bad = list(globals()['check_' + sys.argv[1]](sys.stdin.read().split()))
    for line in bad:
        print(line)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
