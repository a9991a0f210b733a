#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The primary's agent is killed under load and comes back later: I/O and
# mirroring never notice, and the new agent takes over what it finds.
# tests: own-boot --mem 1024 --cpus 2
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
RUN=${RUN:-14}

# load NAME: the same each time; its longest write in microseconds
load() {
	timeout -k 5 120 fio --name=load --filename="$dev" --direct=1 --ioengine=libaio --iodepth=4 \
		--rw=randwrite --bs=4k --fdatasync=16 --rate_iops=100 --time_based --runtime="$RUN" \
		--size=24m --randseed="$SEED" --output-format=json --output="$WORK/fio-$1" || return 1
}

longest_us() {
	jq '.jobs[0].write.lat_ns.max / 1000 | floor' "$WORK/fio-$1"
}

errors() { jq '.jobs[0].error + .jobs[0].total_err' "$WORK/fio-$1"; }

# An agent's start costs time by itself, all the more on an emulated processor:
# the run to compare with has one, too, of an agent that has nothing to do with it.
load_with_bystander() {
	(sleep $((RUN / 4)); timeout 3 reprised --config-dir "$WORK" --run-dir "$WORK/other" \
		--node nobody >/dev/null 2>&1) &
	local pid=$!

	load before || return 1
	wait $pid
	return 0
}

kernel_peer() { rp alpha status r --json | jq ".resources[0].peers[0].$1"; }

load_with_kill() {
	local pid durable

	load killed &
	pid=$!
	sleep $((RUN / 4))
	agent_kill alpha KILL
	durable=$(kernel_peer durable)
	sleep 2
	moved=$(($(kernel_peer durable) - durable))
	status_alone=$(rp alpha status r)
	sleep 1
	agent_begin alpha
	wait $pid
}

no_stall() {
	local before after

	before=$(longest_us before) after=$(longest_us killed)
	echo "# longest write: $before us without the kill, $after us with it"
	[ "$after" -le $((2 * before)) ]
}

still_one_session() {
	says beta 'receiving from alpha' && [ "$(grep -c 'receiving from alpha' "$WORK/log-beta")" = 1 ]
}

ktap_print_header
echo "# SEED=$SEED"
ktap_set_plan 14
load_module
net_up
a=$(loop_disk a 32) b=$(loop_disk b 32)
must "create" resource_new r "$a" "$b"
must "up, promote" pair_up r
dev=$(device alpha r)
must "a run without a kill" load_with_bystander
result "a run with one: no I/O error" load_with_kill
result "fio counts none" [ "$(errors killed)" = 0 ]
result "mirroring went on without the agent" [ "$moved" -gt 20 ]
result "status without it says so" grep -q "agent is not running" <<<"$status_alone"
result "no stall" no_stall
result "the new agent answers" wait_for 20 "agent" agent_answers alpha
result "it says primary, mirroring" wait_for 20 "adopted" status_is alpha r \
	'r["role"] == "primary" and p["replication"] == "mirroring"'
result "the session is still the first" still_one_session
result "replica applied everything" settled alpha r
result "identical" identical "$a" "$b"
result "demote by the new agent" rp alpha demote r
ktap_finished
