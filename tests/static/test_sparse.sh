#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The module under sparse and the compiler's extra warnings, for each kernel
# whose headers are here, in a build tree of its own.
# shellcheck source=tests/static/common.sh
. "$(dirname "$0")/common.sh"
kernels=()
for k in /lib/modules/*/build; do
	[ -e "$k/Makefile" ] && kernels+=("$(basename "$(dirname "$k")")")
done

# Left to the author: whether a comment names a parameter that speaks for itself.
sparse() {
	local log=$BUILD/sparse/$1.log

	mkdir -p "$BUILD/sparse"
	rm -f "$BUILD/sparse/kmod/$1/reprise.ko"
	make BUILD="$BUILD/sparse" KMOD_ARGS="C=2 W=1 CONFIG_DEBUG_INFO_BTF_MODULES=" \
		"$BUILD/sparse/kmod/$1/reprise.ko" >"$log" 2>&1 || { tail -n 20 "$log"; return 1; }
	# Otherwise nothing was looked at.
	grep -q '^  CHECK .*kmod/main.c' "$log" || { echo "sparse did not run"; return 1; }
	grep -E '(warning|error):' "$log" | grep -v "' not described in '"
	return 0
}

ktap_print_header
ktap_set_plan "${#kernels[@]}"
for k in "${kernels[@]}"; do
	clean "sparse, warnings: $k" sparse "$k"
done
ktap_finished
