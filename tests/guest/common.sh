# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Two nodes in one kernel, in network namespaces: sourced by in-guest tests.
#
#	namespace alpha                    namespace beta
#	agent alpha, kernel resource       agent beta (, kernel resource after
#	/dev/reprise*                      a promotion)
#	10.9.0.1 ---------- veth --------- 10.9.0.2
#
# Whatever a test leaves behind goes away at its end, the module too, so that
# several tests run in one boot.
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$TOP/${REPRISE_BUILD:-build}
HERE=$TOP/tests/guest
# shellcheck source=/dev/null
. "$BUILD/kselftest/ktap_helpers.sh"
# shellcheck source=tests/common.sh
. "$TOP/tests/common.sh"
PATH=$BUILD:$BUILD/tests:$PATH
WORK=${WORK:-/var/tmp/reprise-test}
DISKS=/dev/shm/reprise-disks
SEED=${SEED:-$RANDOM}
NODES=(alpha beta)

load_module() {
	modprobe -q crc32c_intel || true
	modprobe -q loop
	grep -q '^reprise ' /proc/modules || insmod "$BUILD/kmod/$(uname -r)/reprise.ko"
}

# loop_disk NAME MiB [LOGICAL-BLOCK]: a disk that honours flush, discard, zeroing
loop_disk() {
	mkdir -p "$DISKS"
	truncate -s "$2M" "$DISKS/$1"
	losetup --show --direct-io=off --sector-size "${3:-512}" -f "$DISKS/$1"
}

# scsi_disks COUNT MiB [LOGICAL-BLOCK]: disks in memory that zero and unmap by
# command, so that volumes on them take discards
scsi_disks() {
	modprobe sd_mod
	modprobe scsi_debug dev_size_mb="$2" sector_size="${3:-512}" per_host_store=1 \
		add_host="$1" lbpu=1 lbpws=1 lbprz=1 delay=0 || return 1
	udevadm settle 2>/dev/null
	for _ in $(seq 100); do
		[ "$(scsi_names | wc -l)" = "$1" ] && break
		sleep 0.1
	done
	scsi_names
}

scsi_names() {
	for d in /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*; do
		[ -e "$d" ] && echo "/dev/${d##*/}"
	done
}

net_up() {
	local n

	for n in alpha beta; do
		ip netns add "$n"
		ip -n "$n" link set lo up
	done
	ip link add va netns alpha type veth peer name vb netns beta
	ip -n alpha addr add 10.9.0.1/24 dev va
	ip -n beta addr add 10.9.0.2/24 dev vb
	ip -n alpha link set va up
	ip -n beta link set vb up
}

# The same with "mangle.py" between them: alpha finds it at beta's address.
net_up_mangled() {
	local n

	for n in alpha between beta; do
		ip netns add "$n"
		ip -n "$n" link set lo up
	done
	ip link add va netns alpha type veth peer name vm netns between
	ip -n alpha addr add 10.9.0.1/24 dev va
	ip -n between addr add 10.9.0.2/24 dev vm
	ip -n beta addr add 10.9.0.2/24 dev lo
	ip -n alpha link set va up
	ip -n between link set vm up
}

net_cut() { ip -n alpha link set va down; }
net_heal() { ip -n alpha link set va up; }

# on NODE COMMAND...: in the node's namespace
on() {
	local node=$1

	shift
	ip netns exec "$node" "$@"
}

# rp NODE VERB...: the admin command on a node, bounded
rp() {
	local node=$1 verb=$2

	shift 2
	timeout -k 5 60 ip netns exec "$node" reprise "$verb" --config-dir "$(conf_dir "$node")" \
		--run-dir "$WORK/run-$node" --node "$node" "$@" </dev/null
}

# A node's own configuration, where a test gave it one.
conf_dir() {
	if [ -d "$WORK/etc-$1" ]; then echo "$WORK/etc-$1"; else echo "$WORK/etc"; fi
}

# agent_begin NODE: starts it and does not wait
agent_begin() {
	local node=$1

	mkdir -p "$WORK/run-$node"
	ip netns exec "$node" reprised --config-dir "$(conf_dir "$node")" \
		--run-dir "$WORK/run-$node" --node "$node" >>"$WORK/log-$node" 2>&1 &
	echo $! >"$WORK/pid-$node"
}

agent_start() {
	agent_begin "$1"
	wait_for 20 "agent $1 answers" agent_answers "$1"
}

# "status" alone would answer without it, from kernel and disk.
agent_answers() {
	rp "$1" status --json | grep -q '"agent": *"running"'
}

agent_kill() {
	local node=$1 signal=${2:-KILL} pid

	pid=$(cat "$WORK/pid-$node" 2>/dev/null) || return 0
	rm -f "$WORK/pid-$node"
	kill "-$signal" "$pid" 2>/dev/null || return 0
	for _ in $(seq 100); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
}

# agent_up NODE RESOURCE...: a fresh agent, and these resources
agent_up() {
	local node=$1

	shift
	agent_start "$node" || return 1
	for r in "$@"; do rp "$node" up "$r" || return 1; done
}

# More volumes than "reprise new" writes: conf_volumes FILE NODE DEVICE...
conf_volumes() {
	local file=$1 node=$2 n=0

	shift 2
	for device in "$@"; do
		[ $n -eq 0 ] || sed -i "/^node $node {/,/^}/ s|^}|  volume $n { device = \"$device\" }\n}|" "$file"
		n=$((n + 1))
	done
}

# conf_new NAME "ALPHA-DEVICE..." "BETA-DEVICE..." [SED...]: the configuration
conf_new() {
	local name=$1 file=$WORK/etc/$1.conf n e
	local -a a b

	read -ra a <<<"$2"
	read -ra b <<<"$3"
	shift 3
	mkdir -p "$WORK/etc"
	reprise new "$name" --config-dir "$WORK/etc" \
		--node "alpha=10.9.0.1:7799,${a[0]},$(loop_disk "log-alpha-$name" "${LOG_MIB:-64}")" \
		--node "beta=10.9.0.2:7799,${b[0]},$(loop_disk "log-beta-$name" "${LOG_MIB:-64}")" \
		>/dev/null || return 1
	sed -i "s/^log-size.*/log-size = \"${LOG_MIB:-64}MiB\"/; s/^segment-size.*/segment-size = \"8MiB\"/
		s/^unapplied.*/unapplied = \"8MiB\"/" "$file"
	for ((n = ${#a[@]} - 1; n > 0; n--)); do sed -i "s/^volume 0 { }/&\nvolume $n { }/" "$file"; done
	conf_volumes "$file" alpha "${a[@]}"
	conf_volumes "$file" beta "${b[@]}"
	for e in "$@"; do sed -i "$e" "$file"; done
}

quietly() {
	"$@" >"$WORK/said" 2>&1 || { sed 's/^/# /' "$WORK/said"; return 1; }
}

# resource_new NAME "ALPHA-DEVICE..." "BETA-DEVICE..." [SED...]: created on both
resource_new() {
	conf_new "$@" && quietly rp alpha create "$1" --yes && quietly rp beta create "$1" --yes
}

# pair_up NAME: both agents run, alpha is primary and mirrors
pair_up() {
	local n

	for n in alpha beta; do
		[ -e "$WORK/pid-$n" ] || agent_start "$n" || return 1
		quietly rp "$n" up "$1" || return 1
	done
	wait_for 20 "contact" status_is alpha "$1" 'p["connection"] == "connected"' || return 1
	quietly rp alpha promote "$1" && mirrored alpha "$1"
}

# device NODE RESOURCE [VOLUME]
device() { field "$1" "$2" "r['volumes'][${3:-0}]['device']"; }

# status_is NODE RESOURCE PYTHON: s the answer, r the resource, p its first peer
status_is() {
	[ "$(field "$1" "$2" "bool($3)" 2>/dev/null)" = True ]
}

# field NODE RESOURCE PYTHON: print it
field() {
	rp "$1" status "$2" --json | /usr/bin/python3 -S -E -c '
import json, sys
s = json.load(sys.stdin)
r = s["resources"][0]
p = r["peers"][0] if r.get("peers") else {}
print(eval(sys.argv[1]))' "$3"
}

# settled NODE RESOURCE: the peer has applied everything
settled() {
	wait_for "${3:-60}" "everything applied" status_is "$1" "$2" 'p["applied"] == r["seq"]' &&
		return 0
	rp "$1" status "$2" | sed 's/^/# /'
	return 1
}

mirrored() {
	wait_for "${3:-20}" "mirroring" status_is "$1" "$2" 'p["replication"] == "mirroring"'
}

# says NODE WORDS: its agent's log has them (a grep expression)
says() {
	grep -aEq -- "$2" "$WORK/log-$1" || { echo "# log of $1 lacks: $2"; return 1; }
}

# content DEVICE: digest of the volume, metadata excepted
content() {
	local bytes

	bytes=$(blockdev --getsize64 "$1")
	dd if="$1" bs=1M count=$((bytes / 1048576 - 1)) iflag=direct status=none | sha256sum
}

# identical A B: and not all zeros, which would prove nothing
identical() {
	local a b

	a=$(content "$1")
	b=$(content "$2")
	[ "$a" = "$b" ] || { echo "# $1 $a"; echo "# $2 $b"; return 1; }
	[ -n "$(dd if="$1" bs=1M count=4 iflag=direct status=none | tr -d '\0' | head -c 1 | od)" ] ||
		{ echo "# $1 is empty"; return 1; }
}

# refused WORDS COMMAND...: fails, and says WORDS (a grep expression)
refused() {
	local words=$1

	shift
	if "$@" >"$WORK/said" 2>&1; then
		echo "# not refused: $*"
		return 1
	fi
	grep -Eqi -- "$words" "$WORK/said" || { echo "# expected: $words"; sed 's/^/# /' "$WORK/said"; return 1; }
}

# must NAME COMMAND...: as result, but without it the rest makes no sense
must() {
	local failed=${KTAP_CNT_FAIL:-0}

	result "$@"
	[ "${KTAP_CNT_FAIL:-0}" -eq "$failed" ] || exit 1
}

show_logs() {
	for n in "${NODES[@]}"; do
		[ -f "$WORK/log-$n" ] || continue
		echo "# --- log of agent $n"
		tail -n 40 "$WORK/log-$n" | sed 's/^/# /'
	done
}

# Resources first, by whoever can; then processes, network, disks, module.
stop_everything() {
	local n conf

	for n in "${NODES[@]}"; do
		[ -d "$WORK/run-$n" ] || continue
		agent_kill "$n" KILL
		for conf in "$(conf_dir "$n")"/*.conf; do
			rp "$n" down "$(basename "$conf" .conf)" --force >/dev/null 2>&1
		done
	done
	for n in $(ip netns list | cut -d' ' -f1); do
		ip netns pids "$n" | xargs -r kill -KILL
		ip netns del "$n"
	done
	for n in $(losetup --noheadings -O NAME,BACK-FILE | awk -v d="$DISKS" 'index($2, d) { print $1 }'); do
		losetup -d "$n"
	done
	modprobe -qr scsi_debug
	rm -rf "$DISKS" "$WORK"
	for _ in $(seq 50); do
		rmmod reprise 2>/dev/null
		grep -q '^reprise ' /proc/modules || return 0
		sleep 0.1
	done
	echo "# the module cannot be removed: $(grep '^reprise ' /proc/modules)"
	return 1
}

clean_up() {
	local code=$?

	trap - EXIT
	[ "${KTAP_CNT_FAIL:-0}" -gt 0 ] && show_logs
	declare -F test_clean_up >/dev/null && test_clean_up
	stop_everything || code=1
	exit $code
}

[ -e "$WORK" ] && stop_everything
mkdir -p "$WORK"
trap clean_up EXIT
trap 'exit 143' TERM
