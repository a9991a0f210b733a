#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Twenty planned switchovers, back and forth, a load before each: nothing that
# was written is missing on the other side, and no resync is ever needed.
# tests: own-boot --mem 1024 --cpus 2
# tests: time 600
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
TURNS=${TURNS:-20}

load_and_demote() {
	local dev pid

	dev=$(device "$1" r)
	wload "$dev" "$WORK/shadow" 0 8 60 $((SEED + turn)) 8 512 &
	pid=$!
	sleep 1
	refused "in use|open|busy" rp "$1" demote r --timeout 1 || { kill $pid; return 1; }
	kill -TERM $pid
	wait $pid && quietly rp "$1" demote r
}

holds_it_all() {
	wload --check "$(device "$1" r)" "$WORK/shadow" 0 8
}

no_resync() {
	! grep -aEi 'resync|split brain|damaged|unclean' "$WORK/log-alpha" "$WORK/log-beta" | grep .
}

turn() {
	load_and_demote "$1" && quietly rp "$2" promote r && mirrored "$2" r && holds_it_all "$2"
}

ktap_print_header
echo "# SEED=$SEED"
ktap_set_plan $((TURNS + 5))
load_module
net_up
a=$(loop_disk a 32) b=$(loop_disk b 32)
must "create" resource_new r "$a" "$b"
must "up, promote" pair_up r
from=alpha to=beta
for turn in $(seq "$TURNS"); do
	must "switchover $turn, to $to" turn $from $to
	tmp=$from from=$to to=$tmp
done
result "everything applied" settled "$from" r
result "identical" identical "$a" "$b"
result "no resync was ever needed" no_resync
ktap_finished
