#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The replica's agent is killed with -9 under load, at COUNT random moments, in
# turn in each durability mode. Two volumes, one stream: what it leaves is a
# prefix of what was written, before and after its restart and promotion, and
# keeps every promise that the writer's record says was made (tests/checker).
# tests: time 500
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
PATH=$TOP/build/tests:$PATH

COUNT=${COUNT:-$((${REPRISE_LONG:-0} ? 20 : 5))}
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
record=$WORK/record
beta_log=/dev/mapper/slow-log

# Both copies from scratch, alpha primary: nothing in the log has been recycled.
begin() {
	local node

	sed -i "/^durability/d; 1a durability = $1" "$WORK/etc/r.conf"
	for node in alpha beta; do
		rp "$node" create r --yes --force && rp "$node" up r || return 1
	done >"$WORK/begin" 2>&1 || { sed 's/^/# /' "$WORK/begin"; return 1; }
	wait_for 10 "contact" status_is alpha r 'p["connection"] == "connected"' &&
		rp alpha promote r >/dev/null &&
		devices=$(field alpha r '" ".join(v["device"] for v in r["volumes"])')
}

# check WORDS ARGUMENT...: the store and the log of beta as they are
check() {
	local words=$1

	shift
	log-check --log "$beta_log" --segment-kib 8192 --store "$b" --store "$b2" "$@" >"$WORK/check" ||
		{ sed "s/^/# $words: /" "$WORK/check"; return 1; }
	sed -n "\$s/^/# $words: /p" "$WORK/check"
}

# moment MODE SEED: load, kill, look, restart, look again
moment() {
	local mode=$1 acked tip

	begin "$mode" || return 1
	# shellcheck disable=SC2086 # two devices
	tag-writer --seed "$2" --mib 40 --kib-per-s 12000 $devices >"$record" &
	sleep "0.$((RANDOM % 900 + 100))"
	agent_kill beta
	# Descriptors with requests in flight keep the lock.
	flock "$beta_log" flock "$b" flock "$b2" true
	wait_for 10 "loss of beta" status_is alpha r 'p["replication"] != "mirroring"' || return 1
	acked=$(field alpha r 'p["durable"]')
	rp alpha down r --force >/dev/null 2>&1
	wait %tag-writer
	check "left" --record "$record" --mode "$mode" --acked "$acked" || return 1
	grep -q '^e ' "$record" || { echo "# the load was over"; return 1; }
	agent_start beta && rp beta up r >/dev/null && tip=$(field beta r 'r["durable"]') &&
		rp beta promote r --force >/dev/null || return 1
	check "back" --record "$record" --mode "$mode" --acked "$acked" --exact "$tip" || return 1
	rp beta down r --force >/dev/null
}

# Writes to beta's log take 20 ms, so that a kill finds some under way, and more waiting for them.
slow_log() {
	local log

	modprobe -q dm-delay
	log=$(sed -n '/node beta/,/}/s/.*log = "\(.*\)".*/\1/p' "$WORK/etc/r.conf")
	dmsetup create --noudevsync slow-log \
		--table "0 $(blockdev --getsz "$log") delay $log 0 0 $log 0 20" &&
		sed -i "s|\"$log\"|\"$beta_log\"|" "$WORK/etc/r.conf"
}

test_clean_up() { dmsetup remove --noudevsync --deferred slow-log; }

ktap_print_header
ktap_set_plan $((COUNT + 2))
echo "# SEED=$SEED"
load_module
net_up
a=$(loop_disk a 17) b=$(loop_disk b 17) a2=$(loop_disk a2 9) b2=$(loop_disk b2 9)
must "two volumes, created" resource_new r "$a" "$b" '/^on-peer-loss/d' '1a on-peer-loss = freeze' \
	's/^volume 0 { }/&\nvolume 1 { }/' "s|^.*\"$a\".*|&\nvolume 1 { device = \"$a2\" }|" \
	"s|^.*\"$b\".*|&\nvolume 1 { device = \"$b2\" }|"
must "a slow log" slow_log
agent_start alpha
agent_start beta
modes=(write flush memory)
for i in $(seq "$COUNT"); do
	mode=${modes[i % 3]}
	must "killed at a random moment, mode $mode, second $SECONDS" moment "$mode" $((SEED * 100 + i))
done
ktap_finished
