#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: time 1800
# Load, start, write through a replica, stop (or force down), unload: 50 times, in the long run
# 1,000 times (or REPRISE_CYCLES); what the kernel's slab caches hold does not grow with it.
. "$(dirname "$0")/common.sh"

ktap_print_header
ktap_set_plan 2
work=$(mktemp -d)
backing=$(loop_disk cycle 16)
truncate -s 16M "$work/image"
cycles=${REPRISE_CYCLES:-$((${REPRISE_LONG:-0} ? 1000 : 50))}

cycle() {
	"$KTOOL" cycle r "$backing" image="$work/image" module="$MODULE" cycles="$1"
}

# Without what caches have spare, or KASAN keeps back for a while after it was freed.
slab_kib() {
	local shrink

	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	for shrink in /sys/kernel/slab/*/shrink; do
		echo 1 >"$shrink"
	done
	awk '/^SUnreclaim:/ { print $2 }' /proc/meminfo
}

# The first cycles fill caches that stay.
all_cycles() {
	local before after

	load_module && rmmod reprise && cycle $((cycles / 5)) || return 1
	before=$(slab_kib)
	cycle $((cycles - cycles / 5)) || return 1
	after=$(slab_kib)
	echo "# unreclaimable slab: $before KiB after $((cycles / 5)) cycles, $after KiB after $cycles"
	# A leak of one page in a cycle would be 4 KiB each.
	[ $(((after - before) * 5 / (cycles * 4))) -lt 4 ]
}

result "$cycles cycles of load and unload" all_cycles
result "nothing is left" test ! -e /sys/module/reprise
losetup -d "$backing"
ktap_finished
