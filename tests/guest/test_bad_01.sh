#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: long
# A man in the middle damages one frame or acknowledgement: the session ends,
# log and status say why, and the replica holds a prefix.  A doubled
# acknowledgement is no damage.
# tests: own-boot --mem 1024 --cpus 2
# tests: time 600
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
LOG_MIB=32
# mode, who says it in his log, and what (the primary's kernel: in its dmesg)
CASES="
frame-cut	beta	connection ended in the middle of a frame
frame-shorten	beta	refused frame .*(checksum|no frame)
frame-double	beta	refused frame .* seq
frame-swap	beta	refused frame .* seq
frame-head	beta	refused frame .*checksum of its header is wrong
frame-payload	beta	refused frame .*checksum of operation .* is wrong
ack-cut	kernel	damaged|closed the connection|middle
ack-shorten	kernel	damaged acknowledgement
ack-swap	kernel	impossible acknowledgement
ack-flip	kernel	damaged acknowledgement
ack-beyond	kernel	impossible acknowledgement
"

# A disk is made once and used by one resource after the other.
resource_again() {
	rm -rf "$WORK"/etc
	for d in $(losetup -n -O NAME,BACK-FILE | awk '/log-/ { print $1 }'); do losetup -d "$d"; done
	rm -f "$DISKS"/log-*
	blkdiscard -f "$a" 2>/dev/null
	blkdiscard -f "$b" 2>/dev/null
	resource_new "$1" "$a" "$b" 's/^durability.*/durability = flush/'
}

damage() {
	rm -f "$WORK/mangle.done"
	echo "$1 $((20 + SEED % 30))" >"$WORK/mangle"
}

put() { stream write "$dev" 256 4096 1 "$1" >"$WORK/written"; }

said() {
	if [ "$1" = kernel ]; then
		dmesg | grep -E "reprise $r: session with beta ended" | grep -Eq "$2" && return 0
		dmesg | grep "reprise $r:" | sed 's/^/# /'
		return 1
	fi
	says "$1" "$r: .*$2"
}

# The side that found it has it in its status, for people.
shown() {
	if [ "$1" = kernel ]; then
		field alpha "$r" 'p["last_reason"]' >"$WORK/shown"
	else
		field beta "$r" 'p["last_reason"] + " " + p["text"]' >"$WORK/shown"
	fi
	grep -Eq "$2|resync needed" "$WORK/shown" || { sed 's/^/# /' "$WORK/shown"; return 1; }
}

prefix() {
	local k

	k=$(stream check "$b" 256 4096) || return 1
	echo "# $r: $(cat "$WORK/mangle.done"); the replica holds $k of $(cat "$WORK/written")"
	[ "$k" -lt "$(cat "$WORK/written")" ]
}

one_case() {
	local mode=$1 who=$2 words=$3

	r=${mode}
	resource_again "$r" && pair_up "$r" || return 1
	dev=$(device alpha "$r")
	damage "$mode"
	put 2 || { echo "# the primary's writes failed"; return 1; }
	wait_for 5 "damage" [ -e "$WORK/mangle.done" ] || return 1
	wait_for 10 "end of the session" said "$who" "$words"
	said "$who" "$words" && shown "$who" "$words" &&
		wait_for 10 "resync" status_is alpha "$r" 'p["replication"] == "resync needed"' &&
		quietly rp beta down "$r" && prefix && quietly rp alpha down "$r" --force
}

doubled_ack() {
	r=ack-double
	resource_again "$r" && pair_up "$r" || return 1
	dev=$(device alpha "$r")
	damage ack-double
	put 2 && wait_for 5 "doubled" [ -e "$WORK/mangle.done" ] && settled alpha "$r" &&
		mirrored alpha "$r" 1 && identical "$a" "$b"
}

ktap_print_header
echo "# SEED=$SEED"
ktap_set_plan $(($(grep -c . <<<"$CASES") + 3))
dmesg -C
load_module
net_up_mangled
a=$(loop_disk a 4) b=$(loop_disk b 4)
"$HERE/mangle.py" between 10.9.0.2 beta 10.9.0.2 7799 "$WORK/mangle" "$SEED" >"$WORK/log-between" 2>&1 &
mangler=$!
test_clean_up() { kill $mangler; }
while IFS=$'\t' read -r mode who words; do
	[ -z "$mode" ] || result "$mode" one_case "$mode" "$who" "$words"
done <<<"$CASES"
result "ack-double: harmless" doubled_ack
result "the agents are the first ones" [ "$(cat "$WORK"/log-* | grep -c ', begins$')" = 2 ]
result "the man in the middle understood everything" [ ! -s "$WORK/log-between" ]
ktap_finished
