# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Two machines of their own, driven from the host: sourced by the tests here.
#
#	guest alpha                              guest beta
#	/dev/vm/data   backing device            /dev/vm/data
#	/dev/vm/log    log store                 /dev/vm/log
#	10.77.0.1 ------------- eth0 ----------- 10.77.0.2
#
# All four disks lose what was not flushed when the power is cut (vm_cut). A
# guest's files do not outlive it, its disks do: node_boot gives a guest that
# was cut its module, configuration and agent back. What a test wants to know
# afterwards it lets vm_spawn write to a file in $WORK, which is on the host.
#
# SEED=n repeats a run's random choices; KERNEL=6.1 picks the guests' kernel, KERNEL_BETA beta's.
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${REPRISE_BUILD:-$TOP/build}
# shellcheck source=/dev/null
. "$BUILD/kselftest/ktap_helpers.sh"
# shellcheck source=tests/common.sh
. "$TOP/tests/common.sh"
# shellcheck source=tests/vm/lib.sh
. "$TOP/tests/vm/lib.sh"

SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
KERNEL=${KERNEL:-6.12}
KERNEL_BETA=${KERNEL_BETA:-$KERNEL}
# Not below /tmp: guests have their own.
WORK=$(mktemp -d "$BUILD/cluster.XXXXXX")
LOG_KIND=device
declare -A AGENT=() RESOURCES=()

# cluster_start [--mem MIB] [--cpus N] [--data SIZE] [--log SIZE] [--log-kind device|directory]
#               [--time-limit SECONDS] [--disk SPEC]...: both guests, module loaded, agents running
cluster_start() {
	local mem=1024 cpus=1 data=256M log=256M limit=600 extra=() ids=() kernel

	while [ $# -gt 0 ]; do
		case $1 in
		--mem) mem=$2 ;;
		--cpus) cpus=$2 ;;
		--data) data=$2 ;;
		--log) log=$2 ;;
		--log-kind) LOG_KIND=$2 ;;
		--time-limit) limit=$2 ;;
		--disk) extra+=(--disk "$2") ;;
		*) ktap_exit_fail_msg "cluster_start: unknown option $1" ;;
		esac
		shift 2
	done
	vm_init --guests 2 --time-limit "$limit"
	for node in alpha beta; do
		[ "$node" = alpha ] && kernel=$KERNEL || kernel=$KERNEL_BETA
		vm_start "$node" --number $((${#ids[@]} + 1)) --kernel "$kernel" --mem "$mem" \
			--cpus "$cpus" --disk "data:$data:powercut" --disk "log:$log:powercut" \
			"${extra[@]}" &
		ids+=($!)
	done
	wait "${ids[0]}" || vm_fatal "alpha did not start"
	wait "${ids[1]}" || vm_fatal "beta did not start"
	if [ "$LOG_KIND" = directory ]; then
		for node in alpha beta; do on "$node" mkfs.ext4 -q /dev/vm/log || return 1; done
	fi
	node_ready alpha && node_ready beta
}

# node_ready NODE: what a freshly booted guest lacks
node_ready() {
	local node=$1 name

	# shellcheck disable=SC2016 # the guest's shell expands
	on "$node" 'modprobe -q crc32c_intel; insmod "$0/kmod/$(uname -r)/reprise.ko" &&
		mkdir -p /etc/reprise /run/reprise' "$BUILD" || return 1
	if [ "$LOG_KIND" = directory ]; then
		on "$node" 'mkdir -p /mnt/log && mount /dev/vm/log /mnt/log' || return 1
	fi
	for name in "${!RESOURCES[@]}"; do conf_send "$node" "$name" || return 1; done
	agent_start "$node"
}

# node_boot NODE: a guest that was cut comes back, its resources not yet up
node_boot() {
	vm_boot "$1" && node_ready "$1"
}

# on NODE COMMAND [ARGUMENT...]: by the guest's bash, the arguments are $0, $1 ...
on() {
	local node=$1

	shift
	vm_exec "$node" --timeout "${LIMIT:-120}" /bin/bash -c "$@"
}

# rp NODE VERB...: the admin command on a node
rp() {
	local node=$1

	shift
	vm_exec "$node" --timeout "${LIMIT:-120}" "$BUILD/reprise" "$@"
}

agent_start() {
	local node=$1

	# shellcheck disable=SC2016
	AGENT[$node]=$(vm_spawn "$node" "$WORK/log-$node" \
		"echo \$\$ >/run/reprised.pid; exec '$BUILD/reprised'")
	wait_for 30 "the agent of $node" agent_answers "$node"
}

agent_answers() { rp "$1" version | grep -q '^agent *[0-9]'; }

# agent_kill NODE [SIGNAL]: returns when it is gone
agent_kill() {
	# shellcheck disable=SC2016
	on "$1" 'kill -"$0" "$(</run/reprised.pid)"' "${2:-KILL}" || return 1
	vm_wait "${AGENT[$1]}" --timeout 30
	[ $? -ne 124 ]
}

# conf_send NODE RESOURCE
conf_send() {
	vm_exec "$1" --stdin "umask 77; cat >/etc/reprise/$2.conf" <"$WORK/etc/$2.conf"
}

# conf_set RESOURCE KEY=VALUE...: in the host's copy
conf_set() {
	local file=$WORK/etc/$1.conf setting

	shift
	for setting; do
		sed -i "/^${setting%%=*} *=/d" "$file"
		sed -i "1i ${setting%%=*} = \"${setting#*=}\"" "$file"
	done
}

# resource_up NAME [KEY=VALUE...]: configured, created, up and in contact on both nodes
resource_up() {
	local name=$1 log=/dev/vm/log node

	shift
	[ "$LOG_KIND" = device ] || log=/mnt/log/$name
	mkdir -p "$WORK/etc"
	"$BUILD/reprise" new "$name" --config-dir "$WORK/etc" \
		--node "alpha=$(vm_ip alpha),/dev/vm/data,$log" \
		--node "beta=$(vm_ip beta),/dev/vm/data,$log" >/dev/null || return 1
	conf_set "$name" log-size=192MiB segment-size=16MiB unapplied=16MiB "$@"
	RESOURCES[$name]=1
	for node in alpha beta; do
		conf_send "$node" "$name" || return 1
		rp "$node" create "$name" --yes >"$WORK/create" 2>&1 || { cat "$WORK/create"; return 1; }
		rp "$node" up "$name" >"$WORK/up" 2>&1 || { cat "$WORK/up"; return 1; }
	done
	in_contact alpha "$name"
}

# resource_renew NAME: created anew on both nodes, as if there had been nothing
resource_renew() {
	local node

	for node in alpha beta; do
		rp "$node" down "$1" --force >"$WORK/down" 2>&1
		rp "$node" create "$1" --force --yes >"$WORK/create" 2>&1 ||
			{ cat "$WORK/down" "$WORK/create"; return 1; }
		rp "$node" up "$1" >"$WORK/up" 2>&1 || { cat "$WORK/up"; return 1; }
	done
	in_contact alpha "$1"
}

in_contact() {
	wait_for 60 "contact" status_is "$1" "$2" 'p["connection"] == "connected"'
}

# field NODE RESOURCE PYTHON: prints it; r is the resource, p its peer, v its first volume
field() {
	rp "$1" status "$2" --json | /usr/bin/python3 -c '
import json, sys
r = json.load(sys.stdin)["resources"][0]
p = (r.get("peers") or [{}])[0]
v = (r.get("volumes") or [{}])[0]
print(eval(sys.argv[1]))' "$3"
}

# status_is NODE RESOURCE PYTHON: whether it is true
status_is() { [ "$(field "$@" 2>/dev/null)" = True ]; }

# settled PRIMARY RESOURCE: the peer has applied everything
settled() {
	wait_for 60 "the peer has applied everything" status_is "$1" "$2" 'p["applied"] == r["seq"]'
}

# content NODE: digest of the backing device, metadata excepted, read past the cache
content() {
	# shellcheck disable=SC2016
	on "$1" 'dd if=/dev/vm/data bs=1M iflag=direct status=none \
		count=$(($(blockdev --getsize64 /dev/vm/data) / 1048576 - 1)) | sha256sum'
}

identical() {
	local a b

	a=$(content alpha)
	b=$(content beta)
	[ -n "$a" ] && [ "$a" = "$b" ] && return 0
	echo "alpha $a, beta $b"
	return 1
}

# take_over RESOURCE LOST SURVIVOR: the plug of LOST is pulled, SURVIVOR becomes primary. By force:
# with on-peer-loss = alone the lost primary may have gone on without the survivor for a while.
take_over() {
	vm_cut "$2" "$SEED" >/dev/null
	wait_for 60 "$3 misses $2" status_is "$3" "$1" 'p["connection"] != "connected"' &&
		rp "$3" promote "$1" --force
}

# result NAME COMMAND...: one line of the report; what the command prints goes before it
result() {
	local name=$1 status

	shift
	"$@" >"$WORK/output"
	status=$?
	sed '/^#/!s/^/# /' "$WORK/output"
	if [ $status -eq 0 ]; then
		ktap_test_pass "$name"
	else
		ktap_test_fail "$name"
	fi
}

# must NAME COMMAND...: as result, but without it the rest makes no sense
must() {
	result "$@"
	[ "$KTAP_CNT_FAIL" -eq 0 ] || exit 1
}

# skip WORDS: the whole test
skip() {
	ktap_set_plan 1
	ktap_test_skip "$*"
	ktap_finished
}

# finish: the last line of every test (count it in the plan)
finish() {
	result "no kernel warnings" vm_check_dmesg
	ktap_finished
}

show_logs() {
	local node

	for node in alpha beta; do
		[ -e "$WORK/log-$node" ] || continue
		echo "# --- the agent of $node"
		tail -n 40 "$WORK/log-$node" | sed 's/^/# /'
		echo "# --- the kernel of $node"
		vm_dmesg "$node" 2>&1 | tail -n 30 | sed 's/^/# /'
	done
}

vm_cleanup() {
	if [ "$KTAP_CNT_FAIL" -eq 0 ] && [ $((KTAP_CNT_PASS + KTAP_CNT_SKIP)) -eq "$KSFT_NUM_TESTS" ]; then
		rm -rf "$WORK"
	else
		show_logs
		echo "# records of this run are in $WORK; SEED=$SEED"
	fi
}

# The demo is no test, it speaks to people.
[ -n "${NO_KTAP:-}" ] || {
	ktap_print_header
	echo "# SEED=$SEED KERNEL=$KERNEL KERNEL_BETA=$KERNEL_BETA"
}
