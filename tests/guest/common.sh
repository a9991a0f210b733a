# SPDX-License-Identifier: GPL-2.0
# Two nodes in one kernel, in network namespaces: sourced by in-guest tests.
#
#	namespace alpha                    namespace beta
#	agent alpha, kernel resource       agent beta (, kernel resource after
#	/dev/reprise*                      a promotion)
#	10.9.0.1 ---------- veth --------- 10.9.0.2
#
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=/dev/null
. "$TOP/build/kselftest/ktap_helpers.sh"
PATH=$TOP/build:$PATH
WORK=${WORK:-/var/tmp/reprise-test}
AGENT_PIDS=()

load_module() {
	modprobe -q crc32c_intel || true
	modprobe -q loop
	grep -q '^reprise ' /proc/modules || insmod "$TOP/build/kmod/$(uname -r)/reprise.ko"
}

# loop_disk NAME MiB: a disk that honours flush, discard and zeroing
loop_disk() {
	mkdir -p /dev/shm/disks
	truncate -s "$2M" "/dev/shm/disks/$1"
	losetup --show --direct-io=off -f "/dev/shm/disks/$1"
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

net_cut() { ip -n alpha link set va down; }
net_heal() { ip -n alpha link set va up; }

# on NODE COMMAND...: in the node's namespace, with its agent's socket
on() {
	local node=$1

	shift
	ip netns exec "$node" "$@"
}

# rp NODE VERB...: the admin command on a node
rp() {
	local node=$1 verb=$2

	shift 2
	ip netns exec "$node" reprise "$verb" --config-dir "$WORK/etc" --run-dir "$WORK/run-$node" \
		--node "$node" "$@"
}

agent_start() {
	local node=$1

	mkdir -p "$WORK/run-$node"
	ip netns exec "$node" reprised --config-dir "$WORK/etc" --run-dir "$WORK/run-$node" \
		--node "$node" >>"$WORK/log-$node" 2>&1 &
	echo $! >"$WORK/pid-$node"
	AGENT_PIDS+=($!)
	for _ in $(seq 100); do
		[ -S "$WORK/run-$node/control.sock" ] && rp "$node" version >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	echo "# agent $node did not start"
	return 1
}

agent_kill() {
	local node=$1 signal=${2:-KILL}

	kill "-$signal" "$(cat "$WORK/pid-$node")"
	while kill -0 "$(cat "$WORK/pid-$node")" 2>/dev/null; do sleep 0.05; done
}

# resource_new NAME ALPHA-DEVICE BETA-DEVICE [SED...]: configuration, created on both
resource_new() {
	local name=$1 a=$2 b=$3

	shift 3
	mkdir -p "$WORK/etc"
	reprise new "$name" --config-dir "$WORK/etc" \
		--node "alpha=10.9.0.1:7799,$a,$(loop_disk "log-alpha-$name" 64)" \
		--node "beta=10.9.0.2:7799,$b,$(loop_disk "log-beta-$name" 64)" >/dev/null || return 1
	sed -i '/^#* *log-size/d; /^#* *segment-size/d; /^unapplied/d' "$WORK/etc/$name.conf"
	sed -i '1a log-size = "64MiB"\nsegment-size = "8MiB"\nunapplied = "8MiB"' "$WORK/etc/$name.conf"
	for e in "$@"; do sed -i "$e" "$WORK/etc/$name.conf"; done
	rp alpha create "$name" --yes >"$WORK/create" 2>&1 || { cat "$WORK/create"; return 1; }
	rp beta create "$name" --yes >"$WORK/create" 2>&1 || { cat "$WORK/create"; return 1; }
}

# wait_for SECONDS WORDS COMMAND...: until it succeeds
wait_for() {
	local limit=$1 words=$2

	shift 2
	local end=$((SECONDS + limit))

	while [ $SECONDS -le $end ]; do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	echo "# gave up waiting: $words"
	return 1
}

# status_is NODE RESOURCE JQ-LIKE-PYTHON: r is the resource, p its first peer
status_is() {
	rp "$1" status "$2" --json | /usr/bin/python3 -c '
import json, sys
s = json.load(sys.stdin)
r = s["resources"][0]
p = r["peers"][0] if r.get("peers") else {}
sys.exit(0 if eval(sys.argv[1]) else 1)' "$3"
}

# field NODE RESOURCE EXPRESSION: print it
field() {
	rp "$1" status "$2" --json | /usr/bin/python3 -c '
import json, sys
s = json.load(sys.stdin)
r = s["resources"][0]
p = r["peers"][0] if r.get("peers") else {}
print(eval(sys.argv[1]))' "$3"
}

# settled NODE RESOURCE: the peer has applied everything
settled() {
	status_is "$1" "$2" 'p["applied"] == r["seq"]'
}

# content DEVICE: digest of the volume, metadata excepted
content() {
	local bytes

	bytes=$(blockdev --getsize64 "$1")
	dd if="$1" bs=1M count=$((bytes / 1048576 - 1)) iflag=direct status=none | sha256sum
}

identical() {
	local a b

	a=$(content "$1")
	b=$(content "$2")
	[ "$a" = "$b" ] || { echo "# $1 $a"; echo "# $2 $b"; return 1; }
}

result() {
	local name=$1

	shift
	if "$@"; then
		ktap_test_pass "$name"
	else
		ktap_test_fail "$name"
	fi
}

show_logs() {
	for n in alpha beta; do
		echo "# --- log of agent $n"
		tail -n 40 "$WORK/log-$n" | sed 's/^/# /'
	done
}

# must NAME COMMAND...: as result, but without it the rest makes no sense
must() {
	result "$@"
	[ "${KTAP_CNT_FAIL:-0}" -eq 0 ] || exit 1
}

clean_up() {
	local code=$?

	[ "${KTAP_CNT_FAIL:-0}" -gt 0 ] && show_logs
	for pid in "${AGENT_PIDS[@]}"; do kill -TERM "$pid" 2>/dev/null; done
	exit $code
}
trap clean_up EXIT
