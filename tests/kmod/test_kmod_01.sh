#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: smoke
# The write path against a replica of the test's own: every kind of request,
# overlapping, in every durability mode; both sides byte-identical at the end.
. "$(dirname "$0")/common.sh"

ktap_print_header
ktap_set_plan 7
load_module || exit 1
work=$(mktemp -d)

load() {
	fio --name=mix --filename="$1" --direct=1 --ioengine=libaio --iodepth=32 \
	    --rw=randrw --rwmixread=20 --bsrange=512-1m --bs_unaligned=0 --blockalign=512 \
	    --size=48m --io_size=48m --fsync=16 --randrepeat=0 --norandommap \
	    --numjobs=2 --group_reporting --output="$work/fio" >/dev/null 2>&1 &&
	blkdiscard -o 1048576 -l 4194304 "$1" &&
	blkdiscard -z -o 8388608 -l 1048576 "$1" &&
	fio --name=verify --filename="$1" --direct=1 --ioengine=libaio --iodepth=16 \
	    --rw=randwrite --bsrange=4k-256k --blockalign=4k --offset=16m --size=24m \
	    --verify=crc32c --verify_fatal=1 --do_verify=1 --fdatasync=8 \
	    --output="$work/fio2" >/dev/null 2>&1
}

for mode in 1 2 3 4; do
	truncate -s 0 "$work/image"; truncate -s 64M "$work/image"
	# A fresh one each time: a device that once refused to zero is never asked again.
	backing=$(loop_disk "a$mode" 64)
	dev=$("$KTOOL" start r 1 "$backing" durability=$mode frozen=1) || exit 1
	"$KTOOL" mirror r 2 "$work/image" >"$work/mirror" 2>&1 &
	wait_for 60 "attached" grep attached "$work/mirror"
	"$KTOOL" resume r
	result "mode $mode: load and verify" load "$dev"
	"$KTOOL" get r | sed 's/^/# /'
	"$KTOOL" stop r >"$work/stop"
	wait
	cat "$work/stop" "$work/mirror" | sed 's/^/# /'
	[ $mode -lt 4 ] && result "mode $mode: identical" same "$backing" "$work/image"
done
rmmod reprise
ktap_finished
