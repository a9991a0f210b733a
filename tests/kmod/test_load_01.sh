#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: time 1800
# Load, start, write through a replica, stop (or force down), unload: 50 times, in the long run
# 1,000 times; what the kernel's slab caches hold does not grow with it.
. "$(dirname "$0")/common.sh"

ktap_print_header
ktap_set_plan 2
work=$(mktemp -d)
backing=$(loop_disk cycle 16)
truncate -s 16M "$work/image"
cycles=50
[ -z "${REPRISE_LONG:-}" ] || cycles=1000

cycle() {
	local dev how=()

	[ $(($1 % 2)) = 0 ] || how=(force)
	load_module &&
	dev=$("$KTOOL" start r 1 "$backing" frozen=1) &&
	{ "$KTOOL" mirror r 2 "$work/image" >"$work/mirror" 2>&1 & } &&
	wait_for 10 "attached" grep attached "$work/mirror" &&
	"$KTOOL" resume r &&
	dd if=/dev/urandom of="$dev" bs=64k count=4 oflag=direct conv=fsync status=none &&
	"$KTOOL" stop r "${how[@]}" >/dev/null && wait &&
	rmmod reprise
}

slab_kib() {
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	awk '/^SUnreclaim:/ { print $2 }' /proc/meminfo
}

# The first cycles fill caches that stay.
all_cycles() {
	local i before after

	for ((i = 1; i <= cycles; i++)); do
		cycle "$i" || { echo "# in cycle $i"; return 1; }
		[ "$i" -ne $((cycles / 5)) ] || before=$(slab_kib)
	done
	after=$(slab_kib)
	echo "# unreclaimable slab: $before KiB after $((cycles / 5)) cycles, $after KiB after $cycles"
	# A leak of one page in a cycle would be 4 KiB each.
	[ $(((after - before) * 5 / (cycles * 4))) -lt 4 ]
}

result "$cycles cycles of load and unload" all_cycles
result "nothing is left" test ! -e /sys/module/reprise
losetup -d "$backing"
ktap_finished
