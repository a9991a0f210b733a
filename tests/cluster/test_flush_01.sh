#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A completed flush is durable on the peer: under load both machines lose their
# power at once, and with it everything in the disks' caches; only the replica
# comes back. What the record outside says was flushed (mode write: completed)
# is there, before and after the promotion.
# tests: time 900
# shellcheck source=tests/cluster/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/cluster/checker.sh
. "$(dirname "$0")/checker.sh"

COUNT=${COUNT:-3}
RANDOM=$SEED

# The replica a moment earlier: alone, it would quickly come to rest.
both_cut() {
	local other

	{ sleep 0.1; vm_cut alpha 1 drop >"$WORK/cut-alpha" 2>&1; } &
	other=$!
	power_cut beta drop
	wait "$other"
}

moment() {
	local mode=$1

	vm_alive alpha || node_boot alpha || return 1
	moment_begin "$mode" && load_start $((SEED * 100 + $2)) || return 1
	slow_disks $((RANDOM % 3 * 10000 + 10000)) && random_sleep || return 1
	both_cut && slow_disks 0 || return 1
	! grep -q '^end' "$RECORD" || { echo "# the load was over"; return 1; }
	check_disks "$mode" || return 1
	# Without a promise that was due nothing was proved.
	grep -q "due=[1-9]" "$WORK/check" || { echo "# no flush completed"; return 1; }
	node_boot beta && check_back && rp beta down r --force >/dev/null
}

ktap_set_plan $((COUNT + 4))
must "two guests with module and agent" cluster_start --data 17M --log 64M --time-limit 900
must "resource up" resource_up r "${CHECK_SETTINGS[@]}"
rp alpha down r && rp beta down r
modes=(write flush memory)
for i in $(seq "$COUNT"); do
	mode=${modes[i % 3]}
	must "both lose power, mode $mode, second $SECONDS" moment "$mode" "$i"
done
result "the cuts found unflushed writes" [ "$UNFLUSHED" -gt 0 ]
finish
