#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: time 450
#
# ext4, XFS and btrfs lose their machine under load. On the other one the
# journal is replayed, fsck finds nothing, and every file that was fsynced is
# there with its content.
. "$(dirname "$0")/common.sh"

LOADER=$TOP/tests/cluster/fsload.py
MINIMUM=30
declare -A CHECKER=(
	[ext4]="e2fsck -fn"
	[xfs]="xfs_repair -n"
	[btrfs]="btrfs check --readonly"
)

begin() {
	: >"$RECORD"
	on alpha 'mkfs.$0 -q /dev/reprise0 >/dev/null 2>&1 && mkdir -p /mnt/fs && mount /dev/reprise0 /mnt/fs' "$1" &&
		vm_spawn alpha "$RECORD" "$LOADER" load /mnt/fs "$SEED" >/dev/null
}

loaded() { [ "$(grep -c ^done "$RECORD")" -ge $((MINIMUM + SEED % 50)) ]; }

mounts() { on beta 'mkdir -p /mnt/fs && mount /dev/reprise0 /mnt/fs'; }

files_there() {
	vm_exec beta --timeout 120 --stdin "$LOADER" check /mnt/fs "$MINIMUM" <"$RECORD"
}

# The record with a file in it that was never written.
loss_noticed() {
	{ cat "$RECORD"; echo "done d0/f$MINIMUM $(sha256sum <"$RECORD" | cut -c1-64)"; } |
		vm_exec beta --timeout 120 --stdin "$LOADER" check /mnt/fs "$MINIMUM" >/dev/null
	[ $? -eq 1 ]
}

fsck_clean() {
	on beta "umount /mnt/fs && ${CHECKER[$1]} /dev/reprise0 >/tmp/fsck 2>&1 || { cat /tmp/fsck; false; }"
}

ktap_set_plan 31
must "two guests with module and agent" cluster_start --data 400M
must "resource up" resource_up fs
for kind in ext4 xfs btrfs; do
	RECORD=$WORK/record-$kind
	[ $kind = ext4 ] || must "$kind: a new beginning" resource_renew fs
	must "$kind: promote alpha" rp alpha promote fs
	must "$kind: load begins" begin $kind
	must "$kind: load runs" wait_for 90 "files" loaded
	must "$kind: alpha loses power, beta takes over" take_over fs alpha beta
	result "$kind: mount" mounts
	result "$kind: every fsynced file is there" files_there
	result "$kind: a missing file would be noticed" loss_noticed
	result "$kind: fsck" fsck_clean $kind
	[ $kind = btrfs ] || must "$kind: alpha boots again" node_boot alpha
done
finish
