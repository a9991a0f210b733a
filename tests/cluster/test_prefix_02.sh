#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The replica's machine loses power under load, at COUNT random moments, in turn
# in each durability mode; unflushed writes are kept, lost or torn at random.
# What its disks hold is a prefix of what was written, and keeps every promise
# that the record outside says was made; so does what it recovers from them.
# tests: time 1100
# shellcheck source=tests/cluster/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/cluster/checker.sh
. "$(dirname "$0")/checker.sh"

COUNT=${COUNT:-$((${REPRISE_LONG:-0} ? 20 : 5))}
RANDOM=$SEED

moment() {
	local mode=$1 acked back

	moment_begin "$mode" && load_start $((SEED * 100 + $2)) || return 1
	slow_disks $((RANDOM % 4 * 10000 + 5000)) && random_sleep || return 1
	power_cut beta random && slow_disks 0 || return 1
	node_boot beta &
	back=$!
	wait_for 30 "loss of beta" status_is alpha r 'p["replication"] != "mirroring"' || return 1
	acked=$(field alpha r 'p["durable"]')
	rp alpha down r --force >/dev/null 2>&1
	vm_wait "$LOAD" --timeout 30
	grep -q '^e ' "$RECORD" || { echo "# the load was over"; return 1; }
	check_disks "$mode" --acked "$acked" || return 1
	wait "$back" && check_back && rp beta down r --force >/dev/null
}

ktap_set_plan $((COUNT + 4))
must "two guests with module and agent" cluster_start --data 17M --log 64M --time-limit 1100
must "resource up" resource_up r "${CHECK_SETTINGS[@]}"
rp alpha down r && rp beta down r
modes=(write flush memory)
for i in $(seq "$COUNT"); do
	mode=${modes[i % 3]}
	must "power lost at a random moment, mode $mode, second $SECONDS" moment "$mode" "$i"
done
result "the cuts found unflushed writes" [ "$UNFLUSHED" -gt 0 ]
finish
