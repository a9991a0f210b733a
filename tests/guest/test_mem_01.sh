#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: long
# One agent is a replica of ten resources: at most 256 MiB of memory with one
# of them loaded, 64 MiB more for each further one that is.
# tests: own-boot --mem 2048 --cpus 2
# tests: time 600
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
RESOURCES=${RESOURCES:-10}

pss_kib() {
	awk '/^Pss:/ { print $2 }' "/proc/$(cat "$WORK/pid-beta")/smaps_rollup"
}

# With the default ring, which is what counts.  The disks are in memory, too:
# what is only zeros goes.
make_all() {
	for n in $(seq "$RESOURCES"); do
		resource_new "r$n" "$(loop_disk "a$n" 8)" "$(loop_disk "b$n" 8)" \
			's/^unapplied.*/unapplied = "20MiB"/' || return 1
		for d in "$DISKS"/log-*-"r$n"; do fallocate --dig-holes "$d"; done
	done
}

up_others() {
	for n in $(seq 2 "$RESOURCES"); do pair_up "r$n" || return 1; done
}

# load COUNT: that many at once, the most memory meanwhile in peak_kib
load() {
	local n pids=() now

	for n in $(seq "$1"); do
		wload "$(device alpha "r$n")" "$WORK/shadow$n" 0 6 12 "$n" 4 512 >/dev/null &
		pids+=($!)
	done
	peak_kib=0
	while kill -0 "${pids[0]}" 2>/dev/null; do
		now=$(pss_kib)
		[ "$now" -le "$peak_kib" ] || peak_kib=$now
		sleep 0.3
	done
	wait "${pids[@]}"
}

at_most() {
	echo "# $1: $((peak_kib >> 10)) MiB"
	[ "$peak_kib" -gt 1024 ] && [ "$peak_kib" -le $(($2 << 10)) ]
}

module_kib() {
	awk '$1 == "Slab:" { print $2 }' /proc/meminfo
}

all_settled() {
	for n in $(seq "$RESOURCES"); do settled alpha "r$n" || return 1; done
}

ktap_print_header
ktap_set_plan 10
load_module
net_up
must "create $RESOURCES" make_all
must "one resource" pair_up r1
must "all resources" up_others
idle=$(module_kib)
result "one loaded: no write fails" load 1
result "one loaded: memory" at_most "one loaded" 256
result "all loaded: no write fails" load "$RESOURCES"
result "all loaded: memory" at_most "all loaded" $((256 + 64 * (RESOURCES - 1)))
result "all applied" all_settled
result "locked in memory" grep -Eq "VmLck:\s+[1-9]" "/proc/$(cat "$WORK/pid-beta")/status"
sleep 3
after=$(module_kib)
echo "# kernel slabs: $idle KiB before the load, $after KiB after"
result "the module keeps little once idle" [ $((after - idle)) -le 65536 ]
ktap_finished
