#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Buffers that change while their write is in flight, and 64 writes in flight
# on the same mebibyte: both nodes hold the same, and no checksum is wrong.
# tests: smoke
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
SECONDS_EACH=${SECONDS_EACH:-8}

no_complaint() {
	! { dmesg; cat "$WORK"/log-*; } | grep -aEi 'checksum (is )?wrong|crc|session ended|corrupt' |
		grep -v 'checksums by'
}

ktap_print_header
echo "# SEED=$SEED"
ktap_set_plan 11
dmesg -C
load_module
net_up
a=$(loop_disk a 16) b=$(loop_disk b 16)
must "create" resource_new r "$a" "$b"
must "up, promote" pair_up r
dev=$(device alpha r)
session=$(field alpha r 'p["sent_bytes"]')
for mode in change overlap; do
	result "$mode: no write fails" scribble $mode "$dev" 1 "$SECONDS_EACH" "$SEED"
	result "$mode: replica applied everything" settled alpha r
	result "$mode: identical" identical "$a" "$b"
done
result "it went through the session" [ "$(field alpha r 'p["sent_bytes"]')" -gt $((session + 1048576)) ]
result "still mirroring" mirrored alpha r 1
result "no complaint" no_complaint
ktap_finished
