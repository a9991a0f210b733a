#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: faults
# tests: time 600
# Load while every tenth allocation below the module fails, in whatever context:
# no I/O error, the session lives, both sides identical.
. "$(dirname "$0")/common.sh"

need_faults
ktap_print_header
ktap_set_plan 4
load_module || exit 1
work=$(mktemp -d)

# fail_some PERCENT: of the allocations that can
fail_some() {
	local attr

	for attr in failslab fail_page_alloc; do
		echo "-1" >/sys/kernel/debug/$attr/times
		echo "$1" >/sys/kernel/debug/$attr/probability
	done
}

storm() {
	local start size

	start=$(</sys/module/reprise/sections/.text)
	size=$(awk '$1 == "reprise" { print $2 }' /proc/modules)
	fail_below "$start" "$(printf '0x%x' $((start + size)))"
	fail_some 10
}

# The range last: without one, they would be everybody's.
calm() {
	fail_some 0
	fail_anywhere
}

load() {
	fio --name=mix --filename="$1" --direct=1 --ioengine=libaio --iodepth=16 \
	    --rw=randrw --rwmixread=20 --bsrange=512-256k --bs_unaligned=0 --blockalign=512 \
	    --size=32m --io_size=$((${REPRISE_LONG:+256} + 16))m --fsync=16 --randrepeat=0 \
	    --norandommap --output="$work/fio" >/dev/null 2>&1 || { sed 's/^/# /' "$work/fio"; return 1; }
	"$KTOOL" get r | grep -q "errors 0"
}

lives() {
	"$KTOOL" get r | tee "$work/get" | grep -q "^peer 2 connected" && return 0
	sed 's/^/# /' "$work/get"
	return 1
}

for mode in 1 4; do
	truncate -s 0 "$work/image"; truncate -s 64M "$work/image"
	backing=$(loop_disk "storm$mode" 64)
	dev=$("$KTOOL" start r 1 "$backing" durability=$mode) || exit 1
	"$KTOOL" mirror r 2 "$work/image" >"$work/mirror" 2>&1 &
	wait_for 60 "attached" grep attached "$work/mirror"
	storm
	result "mode $mode: load" load "$dev"
	calm
	[ $mode = 4 ] || result "mode $mode: the session lives" lives
	"$KTOOL" stop r >"$work/stop"
	wait
	[ $mode = 4 ] || result "mode $mode: identical" same "$backing" "$work/image"
	losetup -d "$backing"
	rm "/dev/shm/storm$mode"
done
rmmod reprise
ktap_finished
