#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What others see: clang's warnings and its analyser, cppcheck.
# shellcheck source=tests/static/common.sh
. "$(dirname "$0")/common.sh"
harness=(-isystem "$BUILD/kselftest" -Itests/unit -Wno-unused-parameter -Wno-sign-compare)
queue=$(echo '#include <sys/queue.h>' | gcc -E -xc - | sed -n 's/^# 1 "\(.*sys\/queue.h\)".*/\1/p')

# string-plus-int: an offset into a constant, as the kernel writes it too.
# macro-redefined: _GNU_SOURCE in files that are built without our flags.
# tests/kpure, the simulator's module and the fuzz target of the same code, see the kernel's own
# headers for userspace, which clang has its own opinion of.
clang_warnings() {
	files 'agent/*.c' 'utils/*.c' 'tests/*.c' | grep -vE '^tests/(kpure/|sim/module|fuzz/fuzz_ack)' | xargs -P 2 -n 12 \
		clang -fsyntax-only -Werror "${FLAGS[@]}" "${harness[@]}" -Wno-string-plus-int \
		-Wno-macro-redefined
}

# The analyser forgets, at each call out of the file, that link->in_callback is
# set and that nothing is freed while it is.
clang_analyzer() {
	local log=$BUILD/analyzer.log

	files 'agent/*.c' 'utils/*.c' | xargs -P 2 -n 4 clang --analyze --analyzer-output text \
		"${FLAGS[@]}" >"$log" 2>&1 || { cat "$log"; return 1; }
	grep 'warning:' "$log" | grep -v '^agent/link.c.*\[unix.Malloc\]'
	return 0
}

check() {
	cppcheck -j 2 --quiet --error-exitcode=1 --enable=warning,performance,portability \
		--std=c11 --template=gcc "$@"
}

# nullPointerRedundantCheck: callbacks that may set link->ops to NULL.
cppcheck_user() {
	check --include="$queue" --include=/usr/include/jansson.h -D_GNU_SOURCE \
		'-DREPRISE_VERSION="0"' -I. -Iagent agent utils \
		--suppress=nullPointerRedundantCheck:agent/link.c
}

# The rest of the module cannot be read without the kernel's headers.
# uninitvar: it does not know what list_for_each_entry() sets.
cppcheck_pure() {
	check -D__KERNEL__ '-DINTERVAL_TREE_DEFINE(a,b,c,d,e,f,g,h)=' -Ikmod kmod/frame.c \
		kmod/dirty.c kmod/stream.c kmod/checksum.c --suppress=uninitvar:kmod/stream.c
}

ktap_print_header
ktap_set_plan 4
clean "clang: warnings" clang_warnings
clean "clang: analyser" clang_analyzer
clean "cppcheck: agent, utility" cppcheck_user
clean "cppcheck: what is pure in the module" cppcheck_pure
ktap_finished
