#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The replica's agent dies.  Nothing written meanwhile: it is mirrored to again
# by itself.  Something written: the primary goes on alone, both sides say in
# words that a resync is needed, and so it stays.
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"

put() {
	stream write "$dev" 256 4096 "$1" "$2" >"$WORK/written"
}

restart_beta() { agent_up beta r; }

in_words() {
	local text

	text=$(rp "$1" status r)
	grep -q "resync needed" <<<"$text" && grep -Eq "beta.*(lacks|miss|behind)|lacks writes" <<<"$text" &&
		return 0
	sed 's/^/# /' <<<"$text"
	return 1
}

replica_is_prefix() {
	local k

	k=$(stream check "$b" 256 4096) && echo "# the replica holds $k of $(cat "$WORK/written")" &&
		[ "$k" -ge "$mirrored_to" ] && [ "$k" -lt "$(cat "$WORK/written")" ]
}

ktap_print_header
ktap_set_plan 18
load_module
net_up
a=$(loop_disk a 8) b=$(loop_disk b 8)
must "create" resource_new r "$a" "$b"
must "up, promote" pair_up r
dev=$(device alpha r)
must "write" put 1 2
must "applied" settled alpha r
agent_kill beta KILL
result "idle: the loss is seen" wait_for 10 "loss" status_is alpha r 'p["connection"] != "connected"'
result "idle: the replica's agent comes back" restart_beta
result "idle: mirrored to again by itself" mirrored alpha r 30
result "idle: to the last byte" put $(($(cat "$WORK/written") + 1)) 1
mirrored_to=$(cat "$WORK/written")
must "applied" settled alpha r

agent_kill beta KILL
result "loss: the primary goes on alone" put $((mirrored_to + 1)) 2
result "loss: it says what is needed" wait_for 10 "words" status_is alpha r \
	'p["replication"] == "resync needed"'
result "return: up" restart_beta
wait_for 20 "contact" status_is beta r 'p["connection"] == "connected"'
sleep 3
result "return: refused, the primary says why" in_words alpha
result "return: refused, the replica says why" in_words beta
result "return: in the logs" says beta "resync"
result "return: no promotion of what is behind" refused "primary|behind|resync" rp beta promote r
agent_kill beta TERM
result "the replica is as it was" replica_is_prefix
result "the primary still writes" put $(($(cat "$WORK/written") + 1)) 1
ktap_finished
