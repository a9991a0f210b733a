#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The model of two nodes (reprise.pml) is exhausted without a broken assertion
# in each mode; and every error planted in it is found, so that the assertions
# are known to say something.
set -u
cd "$(dirname "$0")/../.." || exit 4
BUILD=${REPRISE_BUILD:-build}
# shellcheck source=/dev/null
. "$BUILD/kselftest/ktap_helpers.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$PWD/tests/spin/reprise.pml
bound="-DMAX_WRITES=2 -DMAX_PROMOTIONS=2"

# What may happen: one crash and one lost connection, or one of the two and more else.
exhausted=(
	"durability flush, alone: a crash and a lost connection|$bound"
	"durability flush, alone: a crash, three timelines|-DMAX_WRITES=2 -DMAX_FLUSHES=0 -DMAX_LOSSES=0"
	"durability write, alone: a crash|-DMODE_WRITE $bound -DMAX_LOSSES=0"
	"durability write, alone: a lost connection|-DMODE_WRITE $bound -DMAX_CRASHES=0"
	"durability write, freeze: a crash|-DMODE_WRITE -DFREEZE $bound -DMAX_LOSSES=0"
	"durability flush, freeze: a lost connection|-DFREEZE $bound -DMAX_CRASHES=0"
)
planted=(
	"acknowledge before the log is durable|-DACK_BEFORE_DURABLE $bound"
	"apply beyond commit|-DAPPLY_BEYOND_COMMIT $bound"
	"no flush after applying|-DSKIP_APPLY_FLUSH $bound -DMAX_LOSSES=0"
	"timeline not durable before the first write|-DTIMELINE_NOT_DURABLE $bound"
	"promote without leaving|-DPROMOTE_WITHOUT_LEAVING $bound"
	"overlapping writes in flight at once|-DOVERLAPS_OUT_OF_ORDER $bound"
	"a peer attaches, completion does not wait for it|-DATTACH_KEEPS_MARKS -DMODE_WRITE $bound -DMAX_LOSSES=0"
	"follow a crash fork|-DFOLLOW_CRASH_FORK -DMAX_WRITES=1 -DMAX_FLUSHES=0 -DMAX_LOSSES=0"
)

# check NUMBER OPTIMISATION DEFINES...: pan's words in $work/NUMBER.out
check() {
	local at=$work/$1 level=$2

	shift 2
	mkdir -p "$at"
	(cd "$at" && spin "$@" -a "$model" &&
		gcc "$level" -w -DSAFETY -DNOFAIR -DVECTORSZ=1024 -DMEMLIM=1500 -o pan pan.c &&
		./pan -m1000 -w22 -n) >"$at.out" 2>&1
}

figure() {
	sed -nE "s/$2/\1/p" "$work/$1.out" | head -n 1
}

report() {
	echo "# states $(figure "$1" '^ *([0-9]+) states, stored$')," \
		"depth $(figure "$1" '.*depth reached ([0-9]+),.*')," \
		"$(figure "$1" 'pan: elapsed time (.*) seconds') s," \
		"$(figure "$1" '^ *([0-9.]+).total actual memory usage') MiB"
}

is_exhausted() {
	grep -q 'errors: 0$' "$work/$1.out" &&
		! grep -qE 'not completed|too small|truncated|out of memory' "$work/$1.out" &&
		return 0
	sed 's/^/# /' "$work/$1.out"
	return 1
}

is_found() {
	grep -q 'assertion violated' "$work/$1.out" && return 0
	sed 's/^/# /' "$work/$1.out"
	return 1
}

# judge NUMBER TITLE COMMAND
judge() {
	report "$1"
	if "$3" "$1"; then
		ktap_test_pass "$2"
	else
		ktap_test_fail "$2"
	fi
}

# Two at a time.
start() {
	[ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
	# shellcheck disable=SC2086
	check "$1" "$2" $3 &
}

ktap_print_header
ktap_set_plan $((${#exhausted[@]} + ${#planted[@]}))
for i in "${!exhausted[@]}"; do start "$i" -O1 "${exhausted[i]#*|}"; done
for i in "${!planted[@]}"; do start "1$i" -O0 "${planted[i]#*|}"; done
wait
for i in "${!exhausted[@]}"; do judge "$i" "exhausted: ${exhausted[i]%|*}" is_exhausted; done
for i in "${!planted[@]}"; do judge "1$i" "found: ${planted[i]%|*}" is_found; done
ktap_finished
