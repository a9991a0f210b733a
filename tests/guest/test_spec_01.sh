#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The kernel's own netlink tool, which knows only the specification, talks to
# the module: state in words, commands, events, refusals.
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"

ynl() {
	on alpha /usr/bin/python3 -B "$BUILD/ynl/tools/net/ynl/cli.py" --no-schema --output-json \
		--spec "$TOP/Documentation/netlink/specs/reprise.yaml" "$@"
}

# state_is PYTHON: of what "get" says about resource r
state_is() {
	ynl --do get --json '{"name": "r"}' >"$WORK/state" || return 1
	/usr/bin/python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
sys.exit(not eval("(" + sys.argv[2] + ")"))' "$WORK/state" "$1" || { sed 's/^/# /' "$WORK/state"; return 1; }
}

dumped() {
	ynl --dump get | /usr/bin/python3 -c '
import json, sys
sys.exit([r["name"] for r in json.load(sys.stdin)] != ["r"])'
}

# What the specification has no name for would come as a number.
events_in_words() {
	ynl --subscribe events --sleep 5 >"$WORK/events" 2>&1 &
	local listener=$!

	while kill -0 "$listener" 2>/dev/null; do
		rp alpha freeze r
		rp alpha resume r
		sleep 0.5
	done >/dev/null
	wait "$listener" || return 1
	grep -q '"event": "resumed"' "$WORK/events" || { sed 's/^/# /' "$WORK/events"; return 1; }
}

ktap_print_header
ktap_set_plan 9
load_module
net_up
agent_start alpha
agent_start beta
a=$(loop_disk a 16) b=$(loop_disk b 16)
must "create" resource_new r "$a" "$b"
must "up, promote" pair_up r
result "dump" dumped
result "state in words" state_is 'r["durability"] in ("write", "flush") and "frozen" not in r'
result "nests" state_is '[p["state"] for p in r["peer"]] == ["connected"] and
	r["peer"][0]["name"] == "beta" and r["volume"][0]["logical-block"] in (512, 4096) and
	len(r["volume"][0]["latency"]) == 2 * 256'
result "a command" ynl --do freeze --json '{"name": "r"}'
result "had effect" state_is 'r["frozen"]'
result "events" events_in_words
result "refused in words" grep -q "not primary here" <(ynl --do get --json '{"name": "s"}' 2>&1)
ktap_finished
