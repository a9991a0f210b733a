# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Moments: a fresh resource under a load that writes its own record, a power
# cut, and what the replica holds then, held against the record by the checker
# that shares nothing with the agent (tests/checker). Sourced after common.sh.
#
# The copies are made anew for each moment, so that the log has every frame
# from seq 1 on; the load is smaller than the log, so that none is recycled.
# shellcheck disable=SC2034 # for the tests
CHECK_SETTINGS=(log-size=64MiB segment-size=8MiB unapplied=8MiB on-peer-loss=freeze timeout=3s)
RECORD=$WORK/record

copy_again() {
	conf_send "$1" r && rp "$1" create r --yes --force && rp "$1" up r
}

# moment_begin MODE: both copies from scratch, alpha primary
moment_begin() {
	local node ids=()

	conf_set r durability="$1"
	for node in alpha beta; do
		copy_again "$node" >"$WORK/begin-$node" 2>&1 &
		ids+=($!)
	done
	wait "${ids[0]}" && wait "${ids[1]}" && in_contact alpha r &&
		rp alpha promote r >"$WORK/begin-alpha" 2>&1 && return 0
	sed 's/^/# /' "$WORK"/begin-*
	return 1
}

# load_start SEED: on alpha, its record on the host; returns when it is well under way
load_start() {
	rm -f "$RECORD"
	# shellcheck disable=SC2034
	LOAD=$(vm_spawn alpha "$RECORD" "$BUILD/tests/tag-writer" --seed "$1" --mib 40 \
		--kib-per-s 10000 /dev/reprise0)
	wait_for 20 "the load" has_completed 20
}

has_completed() { [ "$(grep -c "^c " "$RECORD")" -ge "$1" ]; }

# A random part of a second; slow disks make a cut find more that is not flushed.
random_sleep() { sleep "$((RANDOM % 2)).$((RANDOM % 900 + 100))"; }

# It only makes cuts more interesting: a disk that does not listen keeps its speed.
slow_disks() {
	local us=$1 disk

	for disk in data log; do
		vm_disk_control beta "$disk" "delay $us" >/dev/null ||
			echo "# the disk $disk of beta was not given a delay of $us us"
	done
}

# power_cut NODE MODE: counts what was at risk in UNFLUSHED, which a test should look at
power_cut() {
	local text

	text=$(vm_cut "$1" $((RANDOM * 32768 + RANDOM)) "$2" 2>&1) || return 1
	grep 'power cut' <<<"$text"
	UNFLUSHED=$((${UNFLUSHED:-0} + $(grep -o 'unflushed [0-9]*' <<<"$text" | awk '{ n += $2 } END { print n + 0 }')))
}

checked() {
	local words=$1

	shift
	"$@" >"$WORK/check" || { sed "s/^/# $words: /" "$WORK/check"; return 1; }
	sed -n "\$s/^/# $words: /p" "$WORK/check"
}

# check_disks MODE [ARGUMENT...]: what beta's disks hold while it has no power
check_disks() {
	local mode=$1

	shift
	checked "disks" "$BUILD/tests/log-check" --log "$(vm_disk_file beta log)" --segment-kib 8192 \
		--store "$(vm_disk_file beta data)" --record "$RECORD" --mode "$mode" "$@"
}

# check_back: beta comes back and becomes primary; it must be the stream up to its tip
check_back() {
	local tip

	rp beta up r >/dev/null && tip=$(field beta r 'r["durable"]') &&
		rp beta promote r --force >/dev/null || return 1
	checked "back" vm_exec beta --timeout 60 "$BUILD/tests/log-check" --log /dev/vm/log \
		--segment-kib 8192 --store /dev/vm/data --exact "$tip"
}
