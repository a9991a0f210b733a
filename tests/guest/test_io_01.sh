#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Everything that can be written to two volumes at once: fio verifies what it
# reads back, wload what it zeroed and discarded, too; then the replica has the
# same bytes.
# tests: smoke
# tests: own-boot --mem 1536 --cpus 2
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
SECONDS_EACH=${SECONDS_EACH:-10}

# fio_load DEVICE BLOCK FIO-OPTION...: its first 40 MiB
fio_load() {
	local device=$1 block=$2

	shift 2
	timeout -k 5 120 fio --name=v --filename="$device" --direct=1 --ioengine=libaio \
		--iodepth=16 --bsrange="$block-1m" --blockalign="$block" --size=40m \
		--randseed="$SEED" --verify=crc32c --verify_fatal=1 --do_verify=1 \
		--output="$WORK/fio-$(basename "$device")" "$@" ||
		{ sed 's/^/# /' "$WORK/fio-$(basename "$device")"; return 1; }
}

load() {
	local block=$1 bad=0 pid pids=()

	fio_load "$dev0" "$block" --rw=randwrite --io_size=40m --fdatasync=8 & pids+=($!)
	fio_load "$dev1" "$block" --rw=randwrite --io_size=20m --sync=dsync & pids+=($!)
	wload "$dev0" "$WORK/shadow0" 40 20 "$SECONDS_EACH" "$SEED" 4 "$block" & pids+=($!)
	wload "$dev1" "$WORK/shadow1" 40 20 "$SECONDS_EACH" "$((SEED + 1))" 4 "$block" & pids+=($!)
	for pid in "${pids[@]}"; do wait "$pid" || bad=1; done
	return $bad
}

discards() {
	[ "$(cat "/sys/block/$(basename "$dev0")/queue/discard_max_bytes")" -gt 0 ]
}

reads_back() {
	wload --check "$dev0" "$WORK/shadow0" 40 20 && wload --check "$dev1" "$WORK/shadow1" 40 20
}

ktap_print_header
echo "# SEED=$SEED"
ktap_set_plan 18
for block in ${BLOCKS:-512 4096}; do
	load_module
	net_up
	mapfile -t disks < <(scsi_disks 4 64 "$block")
	must "$block: create" resource_new r "${disks[*]:0:2}" "${disks[*]:2:2}" \
		"1a logical-block-size = $block"
	must "$block: up, promote" pair_up r
	dev0=$(device alpha r 0) dev1=$(device alpha r 1)
	result "$block: logical block" [ "$(blockdev --getss "$dev1")" = "$block" ]
	result "$block: takes discards" discards
	result "$block: load with verification" load "$block"
	result "$block: reads back" reads_back
	result "$block: replica applied everything" settled alpha r
	result "$block: volume 0 identical" identical "${disks[0]}" "${disks[2]}"
	result "$block: volume 1 identical" identical "${disks[1]}" "${disks[3]}"
	[ "${KTAP_CNT_FAIL:-0}" -eq 0 ] || break
	stop_everything
	mkdir -p "$WORK"
done
ktap_finished
