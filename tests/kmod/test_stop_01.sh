#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: smoke
# A stop that cannot hand the backing device back changes nothing; commands that
# wait for a stop find the resource gone, and touch nothing of it.
. "$(dirname "$0")/common.sh"

ktap_print_header
ktap_set_plan 4
load_module || exit 1
work=$(mktemp -d)
backing=$(loop_disk stop 16)
truncate -s 16M "$work/image"

# Descriptors 0 to 2 and the netlink socket: the fourth is not to be had.
stop_without_descriptor() {
	(ulimit -n 4 && exec "$KTOOL" stop r) >"$work/stop" 2>&1 && return 1
	grep -q "no descriptor left" "$work/stop" || { sed 's/^/# /' "$work/stop"; return 1; }
}

# The stop waits for a slow replica, the rest for the stop.
commands_during_stop() {
	local verb stopping

	"$KTOOL" mirror r 2 "$work/image" delay_us=2000000 >"$work/mirror" 2>&1 &
	wait_for 20 "attached" grep attached "$work/mirror" || { sed 's/^/# /' "$work/mirror"; return 1; }
	dd if=/dev/urandom of="$1" bs=4k count=1 oflag=direct status=none || return 1
	"$KTOOL" stop r wait_ms=10000 >"$work/stop" 2>&1 &
	stopping=$!
	sleep 0.5
	for verb in get freeze resume; do
		"$KTOOL" $verb r >"$work/$verb" 2>&1 &
	done
	wait $stopping || { sed 's/^/# /' "$work/stop"; return 1; }
	wait
	for verb in get freeze resume; do
		grep -q "not primary here" "$work/$verb" || { sed "s/^/# $verb: /" "$work/$verb"; return 1; }
	done
}

dev=$("$KTOOL" start r 1 "$backing" durability=4) || exit 1
result "a stop without a descriptor is refused" stop_without_descriptor
result "nothing has changed" dd if=/dev/zero of="$dev" bs=4k count=1 oflag=direct conv=fsync status=none
# A replica that has missed nothing.
"$KTOOL" stop r >"$work/stop" && dev=$("$KTOOL" start r 1 "$backing" durability=4) || exit 1
result "commands during a stop" commands_during_stop "$dev"
losetup -d "$backing"
result "the module can be removed" rmmod reprise
ktap_finished
