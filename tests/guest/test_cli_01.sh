#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The admin command on what runs: status in its forms, with and without the
# agent; reload, freeze, down, destroy; what lsblk and "events" show.
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"

check_is() {
	rp "$1" status r --check >"$WORK/check"
	[ $? = "$2" ] && grep -q "REPRISE $3" "$WORK/check" && return 0
	sed 's/^/# /' "$WORK/check"
	return 1
}

shows() {
	rp "$1" status r >"$WORK/status"
	grep -Eq "$2" "$WORK/status" || { sed 's/^/# /' "$WORK/status"; return 1; }
}

json_ok() {
	rp "$1" status r --json | jq -e '.ok and (.resources[0].name == "r")' >/dev/null
}

reload_under_load() {
	wload "$dev" "$WORK/shadow" 8 6 30 1 2 512 &
	local pid=$!

	sed -i 's/^durability.*/durability = flush/' "$WORK/etc/r.conf"
	quietly rp alpha reload r && quietly rp beta reload r
	wait_for 10 "new durability" status_is alpha r 'r["durability"] == "flush"' &&
		mirrored alpha r && sleep 1
	local result=$?
	kill -TERM $pid
	wait $pid && [ $result = 0 ] && settled alpha r && wload --check "$dev" "$WORK/shadow" 8 6
}

put() { dd if=/dev/urandom of="$dev" bs=4096 count=1 seek=3800 oflag=direct status=none; }

# A write waits from "freeze" to "resume".
frozen_write() {
	put &
	local pid=$!

	sleep 2
	kill -0 $pid 2>/dev/null || { echo "# the write did not wait"; return 1; }
	check_is alpha 2 CRITICAL && quietly rp alpha resume r && wait $pid
}

holder() { lsblk -nro NAME "$a" | grep -qx "$(basename "$dev")"; }

file_system() {
	mkfs.ext4 -q -F "$dev" 8M && mkdir -p "$WORK/mnt" && mount "$dev" "$WORK/mnt" &&
		echo "still here" >"$WORK/mnt/file" && sync
}

plain_use() {
	mount -o ro "$a" "$WORK/mnt" && grep -q "still here" "$WORK/mnt/file" && umount "$WORK/mnt"
}

down_by_force() {
	exec 8<>"$dev"
	refused "in use|open" rp alpha down r --timeout 2 && quietly rp alpha down r --force
	local result=$?
	! dd if=/dev/zero bs=4096 count=1 status=none >&8 2>/dev/null || result=1
	exec 8>&-
	return $result
}

event() { jq -e --arg e "$1" 'select(.event == $e)' "$WORK/events" >/dev/null 2>&1; }

ktap_print_header
ktap_set_plan 32
load_module
net_up
a=$(loop_disk a 16) b=$(loop_disk b 16)
must "create" resource_new r "$a" "$b"
agent_start alpha
ip netns exec alpha reprise events --json --run-dir "$WORK/run-alpha" --node alpha >"$WORK/events" 2>&1 &
events=$!
must "up, promote" pair_up r
dev=$(device alpha r)
result "status" shows alpha "r: primary, ok"
result "status --json" json_ok alpha
result "status --check: ok" check_is alpha 0 OK
result "status of the replica" shows beta "r: secondary, ok"
result "lsblk shows the holder" holder
result "reload changes the durability under load" reload_under_load
must "freeze" quietly rp alpha freeze r
result "a write waits until resume" frozen_write
result "and then completes" put

agent_kill beta KILL
result "a peer is missing: warning" wait_for 15 "warning" check_is alpha 1 WARNING
result "event: peer lost" wait_for 10 "event" event peer-lost
result "dead agent of a secondary: from the disk" shows beta "agent is not running|nothing is known"
result "its --check" check_is beta 2 CRITICAL
result "its --json" json_ok beta
must "the replica comes back" agent_up beta r
must "mirroring again" mirrored alpha r 30
agent_kill alpha KILL
result "dead agent of a primary: from the kernel" shows alpha "agent is not running"
result "its --check" check_is alpha 1 WARNING
result "freeze by the kernel" quietly rp alpha freeze r
result "resume by the kernel" quietly rp alpha resume r
agent_start alpha
result "the new agent has it" wait_for 20 "adoption" shows alpha "r: primary, ok"

must "a file system" file_system
result "down is refused in words while mounted" refused "in use|open|mounted" rp alpha down r --timeout 2
umount "$WORK/mnt"
result "down --force" down_by_force
result "no device is left" [ ! -e "$dev" ]
must "up again" rp alpha up r
must "down" quietly rp alpha down r
result "destroy" quietly rp alpha destroy r --yes
result "the data stays usable" plain_use
result "unknown resource" refused "nosuch" rp alpha status nosuch
kill $events 2>/dev/null
ktap_finished
