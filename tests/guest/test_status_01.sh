#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A primary whose agent is dead: status, check, freeze, resume and down --force
# come from the kernel; a restarted agent with no more capabilities than the
# service unit leaves it adopts what runs.
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"

check_code() {
	local want=$1 code

	shift
	"$@" >"$WORK/check" 2>&1
	code=$?
	sed 's/^/# /' "$WORK/check"
	[ "$code" -eq "$want" ]
}

says() {
	rp alpha status r >"$WORK/status" 2>&1
	grep -q -- "$1" "$WORK/status" || { sed 's/^/# /' "$WORK/status"; return 1; }
}

write_completes() {
	dd if=/dev/zero of="$dev" bs=4k count=1 oflag=direct,sync conv=notrunc status=none
}

# What waits for frozen I/O cannot be killed: it is left behind, and must end later.
write_waits() {
	write_completes &
	waiting=$!
	sleep 2
	kill -0 "$waiting"
}

# The unit's bounding set, from the unit itself.
agent_with_few_capabilities() {
	local set

	set=$(sed -n 's/^CapabilityBoundingSet=//p' "$TOP/utils/units/reprised.service" |
		sed 's/CAP_/+/g; s/ /,/g' | tr '[:upper:]' '[:lower:]')
	ip netns exec alpha setpriv --bounding-set="-all,$set" --inh-caps=-all \
		reprised --config-dir "$WORK/etc" --run-dir "$WORK/run-alpha" --node alpha \
		>>"$WORK/log-alpha" 2>&1 &
	echo $! >"$WORK/pid-alpha"
	AGENT_PIDS+=($!)
	wait_for 10 "agent" rp alpha version
}

ktap_print_header
ktap_set_plan 20
load_module
net_up
a=$(loop_disk a 64) b=$(loop_disk b 64)
resource_new r "$a" "$b" || exit 1
agent_start alpha
agent_start beta
rp alpha up r
rp beta up r
wait_for 10 "contact" status_is alpha r 'p["connection"] == "connected"'
result "promote" rp alpha promote r
result "check: ok" check_code 0 rp alpha status --check
dev=$(field alpha r 'r["volumes"][0]["device"]')
result "write" write_completes

agent_kill alpha
result "says who is missing" says "the agent is not running; this is from the kernel"
result "knows the role" says "^r: primary, degraded"
result "knows the device" says "volume 0: $dev"
result "knows the peer" says "peer beta: connected, secondary, mirroring"
result "check: warning" check_code 1 rp alpha status --check
result "writes go on" write_completes
result "freeze by the kernel" rp alpha freeze r
result "says so" says "I/O IS FROZEN"
result "check: critical" check_code 2 rp alpha status --check
result "nothing completes" write_waits
result "resume by the kernel" rp alpha resume r
result "what waited has completed" wait "$waiting"

agent_with_few_capabilities
result "a restarted agent adopts it" wait_for 10 "adoption" status_is alpha r 'r["role"] == "primary"'
agent_kill alpha
result "down --force by the kernel" rp alpha down r --force
result "device is gone" [ ! -e "/sys/block/${dev##*/}" ]
result "the disk says it crashed" says "store: unclean"
agent_with_few_capabilities
result "up again" rp alpha up r
ktap_finished
