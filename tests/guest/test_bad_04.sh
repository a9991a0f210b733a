#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Netlink messages that are missing something, out of range, of the wrong kind,
# random, or from somebody without the privilege: refused in words, and
# nothing runs afterwards.
# tests: smoke
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
COUNT=${COUNT:-6000}

unprivileged() {
	setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all \
		"$BUILD/tests/nlbad" unprivileged "$disk"
}

quiet_kernel() {
	! dmesg | grep -E 'WARNING|BUG|Oops|general protection|refcount' | grep .
}

ktap_print_header
echo "# SEED=$SEED"
ktap_set_plan 7
dmesg -C
load_module
ip link set lo up
disk=$(loop_disk a 8)
chmod 666 "$disk"
result "one defect each" nlbad one-by-one "$disk"
result "random messages" nlbad random "$disk" "$SEED" "$COUNT"
result "an unprivileged user" unprivileged
result "root of a user namespace" unshare -Urn --keep-caps sh -c "ip link set lo up && nlbad unprivileged $disk"
result "no device is left" [ -z "$(ls -d /sys/block/reprise* 2>/dev/null)" ]
result "the kernel has no complaint" quiet_kernel
result "the module can be removed" rmmod reprise
ktap_finished
