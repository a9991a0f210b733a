#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Style: the kernel's checkpatch, sizes, licences, spelling, and the few rules
# on structure that a machine can see.
# shellcheck source=tests/static/common.sh
. "$(dirname "$0")/common.sh"

# Everywhere.
# MACRO_ARG_UNUSED: macros of compat.h and trace.h take what one of the kernels needs.
ignore=MACRO_ARG_UNUSED
# Outside the kernel: its own macros and functions do not exist there, ENOSYS
# is what a kernel without io_uring says, sys/queue.h and the harness look like
# declarations and functions to it, and a name that is an English word is not
# one of a function.
user=$ignore,PREFER_DEFINED_ATTRIBUTE_MACRO,ARRAY_SIZE,STRCPY,ENOSYS,LINE_SPACING
user=$user,EMBEDDED_FUNCTION_NAME,NEW_TYPEDEFS
# In tests: the harness's macros and tables of cases, lines of JSON and of what
# is broken on purpose, flags that a signal or another thread sets.
tests=$user,BRACES,SPACING,SPLIT_STRING,STRING_FRAGMENTS,UNNECESSARY_ELSE,NAKED_SSCANF,VOLATILE

# checkpatch IGNORE PATTERN...
checkpatch() {
	local types=$1

	shift
	files "$@" | xargs -r -P 2 -n 12 perl "$BUILD/linux-tools/scripts/checkpatch.pl" --no-tree -f --terse \
		--max-line-length=100 --show-types --ignore "$types" | grep -v '^total:'
	return 0
}

# Longer files, and headers, should be two.
sizes() {
	files 'kmod/*.[ch]' 'agent/*.[ch]' 'utils/*.[ch]' 'tests/*.[ch]' | xargs wc -l |
		awk '$2 != "total" && $1 > (/\/test_/ ? 1200 : /\.h$/ ? 400 : 900)'
}

licences() {
	files '*.[ch]' '*.sh' '*.py' '*.mk' '*Makefile' Kbuild '*.service' '*.yaml' '*.rules' |
		while read -r f; do
			head -n 3 "$f" | grep -q 'SPDX-License-Identifier: ' || echo "$f: no licence"
		done
}

# alo: a word in a test of what is written wrong.
spelling() {
	files '*.[chS]' '*.sh' '*.py' '*.md' '*.mk' 'Documentation/*' '*README' |
		xargs codespell --ignore-words-list=inflight,alo
}

io_uring() {
	local users

	users=$(grep -ls 'include <liburing' agent/*.[ch] utils/*.[ch] kmod/*.[ch] kmod/uapi/*.h)
	[ "$users" = agent/loop.c ] || echo "liburing.h is included by: $users"
}

# What is shared with userspace is in kmod/uapi, and known by the names there.
shared() {
	grep -n 'define REPRISE_.*MAGIC' -r agent utils tests --include='*.[ch]'
	grep -nE '#include ".*kmod/[a-z_]+\.h"' -r agent utils --include='*.[ch]'
	return 0
}

unfinished() {
	files 'kmod/*' 'agent/*' 'utils/*' 'tests/*' Documentation Makefile Kbuild |
		grep -v tests/static/ | xargs grep -nE '\b(TODO|FIXME|XXX|HACK)\b'
	return 0
}

ktap_print_header
ktap_set_plan 9
clean "checkpatch: module" checkpatch "$ignore" 'kmod/*.[ch]'
clean "checkpatch: agent, utility" checkpatch "$user" 'agent/*.[ch]' 'utils/*.[ch]'
clean "checkpatch: tests" checkpatch "$tests" 'tests/*.[ch]'
clean "sizes of files" sizes
clean "licences" licences
clean "spelling" spelling
clean "one file uses io_uring" io_uring
clean "shared formats are in kmod/uapi" shared
clean "nothing is left for later" unfinished
ktap_finished
