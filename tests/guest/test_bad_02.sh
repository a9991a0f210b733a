#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A replica's agent is killed under load, then its log is damaged in several
# ways.  A torn tail is dropped; everything else is an error that names the
# place, changes nothing on the disk and forbids promotion.
# tests: own-boot --mem 1024 --cpus 2
# tests: time 600
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
RECORD=65536


# Frames with operations of the newest timeline, in order: offset, first and next seq, bytes
list_frames() {
	rp beta dump frames "$log" --json >"$WORK/frames"
	jq -rs 'map(select(.first_seq and .ops and (.ops | type) == "array" and (.ops | length) > 0))
		| (map(.generation) | max) as $g | map(select(.generation == $g)) | sort_by(.first_seq)
		| .[] | "\(.offset) \(.first_seq) \(.first_seq + (.ops | length)) \(.bytes) \(.commit)"' \
		"$WORK/frames"
}

# Segments of the log, by ordinal: offset, ordinal, prev_seq
list_segments() {
	rp beta dump log "$log" --json | jq -r '.segments | map(select(.state == "valid"))
		| sort_by(.ordinal)[] | "\(.offset) \(.ordinal) \(.prev_seq)"'
}

flip() {
	/usr/bin/python3 - "$log" "$1" "$((SEED % 8))" <<'FLIP'
import os, sys
path, offset, bit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
fd = os.open(path, os.O_RDWR)
byte = os.pread(fd, 1, offset)[0]
os.pwrite(fd, bytes([byte ^ 1 << bit]), offset)
os.fsync(fd)
FLIP
}

wipe() { dd if=/dev/zero of="$log" bs=4096 count=1 seek=$(($1 / 4096)) conv=notrunc,fsync status=none; }

as_it_was() {
	agent_kill beta KILL
	dd if="$WORK/snap-log" of="$log" bs=1M conv=notrunc,fsync status=none
	dd if="$WORK/snap-b" of="$b" bs=1M conv=notrunc,fsync status=none
	rm -f "$WORK/log-beta"
}

# The log as it is now: beta comes up with this state, and says WORDS
comes_up() {
	local state=$1 words=$2

	agent_start beta
	rp beta up r >"$WORK/said" 2>&1
	if ! says beta "$words" || ! status_is beta r "r['state'] == '$state'"; then
		rp beta status r | sed 's/^/# /'
		return 1
	fi
}

is_refused() {
	comes_up damaged "$1" || return 1
	grep -E "$1" "$WORK/log-beta" | tail -n 1 | sed 's/^/# /'
	rp beta status r | grep -Eq "$1" || { echo "# status lacks: $1"; return 1; }
	refused "damaged|lost|missing|another store|not the log|promised" rp beta promote r || return 1
	agent_kill beta KILL
	[ "$(content "$b")" = "$(content "$WORK/snap-b")" ] || { echo "# the store was changed"; return 1; }
}

content() { head -c $((31 << 20)) "$1" | sha256sum | cut -d' ' -f1; }

write_until() {
	local last=0

	for _ in $(seq 20); do
		last=$(stream write "$dev" 256 $RECORD $((last + 1)) 1) || return 1
		[ "$last" -ge "$1" ] && return 0
	done
	echo "# only $last records"
	return 1
}

killed_under_load() {
	local pid

	write_until 500 || return 1
	stream write "$dev" 256 $RECORD 100001 4 >/dev/null &
	pid=$!
	sleep 2
	agent_kill beta KILL
	wait $pid
	quietly rp alpha down r --force
	cp "$b" "$WORK/snap-b"
	cp "$log" "$WORK/snap-log"
	list_frames >"$WORK/list"
	list_segments >"$WORK/segments"
	echo "# $(wc -l <"$WORK/list") frames in $(wc -l <"$WORK/segments") segments"
	[ "$(wc -l <"$WORK/list")" -ge 20 ] && [ "$(wc -l <"$WORK/segments")" -ge 3 ]
}

switched_once() {
	quietly rp alpha demote r && quietly rp beta promote r && mirrored beta r &&
		stream write "$(device beta r)" 256 $RECORD 1 1 && quietly rp beta demote r &&
		quietly rp alpha promote r && mirrored alpha r
}

ktap_print_header
echo "# SEED=$SEED"
ktap_set_plan 10
load_module
net_up
a=$(loop_disk a 32) b=$(loop_disk b 32)
must "create" resource_new r "$a" "$b" 's/^durability.*/durability = flush/'
must "up, promote" pair_up r
log=$(sed -n '/^node beta/,/^}/ s/.*log = "\(.*\)"/\1/p' "$WORK/etc/r.conf")
must "both have a log" switched_once
dev=$(device alpha r)
must "the replica is killed under load" killed_under_load
read -r last_offset last_first _ last_bytes _ < <(tail -n 1 "$WORK/list")
# Recovery reads what the record does not say is applied: damage is sought there.
applied=$(rp beta dump meta "$b" --json | jq '[.. | .applied? // empty] | max')
final=$(awk '$5 > max { max = $5 } END { print max }' "$WORK/list")
read -r mid_offset mid_first _ mid_bytes _ < <(awk -v a="$applied" -v f="$final" \
	'$2 > a && $2 < f && $3 - 1 < f' "$WORK/list" | head -n 2 | tail -n 1)
read -r needed_offset needed _ < <(awk -v a="$applied" '$3 <= a' "$WORK/segments" | tail -n 1)
# Of one that the record does not name yet nothing is final: it is a tail, too.
named=$(rp beta dump meta "$b" --json | jq '[.. | .log_ordinal? // empty] | max')
read -r newest_offset newest _ < <(awk -v n="$named" '$2 <= n' "$WORK/segments" | tail -n 1)
echo "# applied $applied, final $final, needed from segment $needed, newest $newest"

as_it_was
flip $((last_offset + last_bytes - 100))
result "torn tail: dropped" comes_up clean "up on beta"
result "torn tail: nothing else is" status_is beta r "r['seq'] == $last_first - 1"

as_it_was
flip $((mid_offset + mid_bytes - 100))
result "flipped bit: an error with its place" is_refused \
	"offset $((mid_offset % (8 << 20))): the frame of seq $mid_first is damaged"

as_it_was
wipe "$newest_offset"
result "newest segment missing" is_refused "segment with ordinal $newest is missing"

as_it_was
wipe "$needed_offset"
result "first needed segment missing" is_refused "segment with ordinal ($needed|$((needed + 1))) is missing"

as_it_was
dd if="$DISKS/log-alpha-r" of="$log" bs=1M conv=notrunc,fsync status=none
result "another store's log" is_refused "belong to another store"
ktap_finished
