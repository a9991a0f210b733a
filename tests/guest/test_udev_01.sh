#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: own-boot --udev
# The udev rule (run with --udev): a backing device is a member and has no
# links by content, while secondary and while primary; the volume has those
# links, and one by resource; destroying the copy undoes it.
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"

prop() {
	udevadm info --query=property --property="$2" --value "$1"
}

# Set off by whatever closed the device after writing; asked for here to be sure.
settle() {
	timeout 30 udevadm trigger --settle --action=change "$@"
}

resource_of_one() {
	mkdir -p "$WORK/etc"
	reprise new r --config-dir "$WORK/etc" --node "alpha=127.0.0.1:7799,$1,$WORK/log" \
		--node "beta=127.0.0.1:7800,/dev/null,$WORK/none" >/dev/null || return 1
	sed -i 's/^log-size.*/log-size = "64MiB"/; s/^segment-size.*/segment-size = "16MiB"/' \
		"$WORK/etc/r.conf"
}

one() {
	local verb=$1

	shift
	reprise "$verb" --config-dir "$WORK/etc" --run-dir "$WORK/run" --node alpha "$@" </dev/null
}

agent_of_one() {
	reprised --config-dir "$WORK/etc" --run-dir "$WORK/run" --node alpha >"$WORK/log-alpha" 2>&1 &
	AGENT_PIDS+=($!)
	wait_for 10 "agent" one version
}

ktap_print_header
ktap_set_plan 17
load_module
mkdir -p /run/udev/rules.d
sed "s|/usr/sbin/reprise|$TOP/build/reprise|" "$TOP/utils/udev/59-reprise.rules" \
	>/run/udev/rules.d/59-reprise.rules
udevadm control --reload
a=$(loop_disk a 64)
mkfs.ext4 -q -U 11111111-2222-3333-4444-555555555555 "$a" 63M
settle "$a"
link=/dev/disk/by-uuid/11111111-2222-3333-4444-555555555555
result "before: a file system" [ "$(prop "$a" ID_FS_TYPE)" = ext4 ]
result "before: found by its uuid" [ "$(realpath "$link")" = "$a" ]

resource_of_one "$a" || exit 1
result "create, keeping the file system" one create r --keep-data
settle "$a"
result "backing is a member" [ "$(prop "$a" ID_FS_TYPE)" = reprise_member ]
result "of resource r" [ "$(prop "$a" REPRISE_RESOURCE)" = r ]
result "not for systemd" [ "$(prop "$a" SYSTEMD_READY)" = 0 ]
result "not for udisks" [ "$(prop "$a" UDISKS_IGNORE)" = 1 ]
result "no longer found by uuid" [ ! -e "$link" ]

agent_of_one
one up r
result "promote" one promote r --force
udevadm settle
volume=$(realpath /dev/reprise/by-res/r/0)
result "volume by resource" [ -b "$volume" ]
result "it is the volume" grep -qx r "/sys/block/${volume##*/}/reprise/resource"
result "volume found by uuid" [ "$(realpath "$link")" = "$volume" ]
result "an event of the backing device is handled" settle "$a"
result "backing still is a member" [ "$(prop "$a" ID_FS_TYPE)" = reprise_member ]

result "demote" one demote r --force
udevadm settle
result "links of the volume are gone" [ ! -e /dev/reprise/by-res/r/0 ]
one down r
one destroy r --force
settle "$a"
result "destroyed: a file system again" [ "$(realpath "$link")" = "$a" ]
ktap_finished
