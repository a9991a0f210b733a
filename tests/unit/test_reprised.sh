#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The agent as a process, without a module: its options, what it says when it
# cannot begin, a resource brought up and down through the command, a
# configuration read again on SIGHUP, and an orderly end on SIGTERM.
set -u
cd "$(dirname "$0")/../.." || exit 4
build=${REPRISE_BUILD:-build}
# shellcheck source=/dev/null
. build/kselftest/ktap_helpers.sh

tmp=$(mktemp -d /var/tmp/test_reprised.XXXXXX)
pid=
cleanup() {
	[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
	rm -rf "$tmp"
}
trap cleanup EXIT

# check NAME EXIT_CODE PATTERN COMMAND...
check() {
	local name=$1 want=$2 pattern=$3 output code

	shift 3
	output=$(timeout 20 "$@" 2>&1 </dev/null)
	code=$?
	if [ "$code" -eq "$want" ] && grep -qE -- "$pattern" <<<"$output"; then
		ktap_test_pass "$name"
		return
	fi
	echo "# exit code $code, wanted $want and $pattern: $output"
	ktap_test_fail "$name"
}

agent() {
	"$build/reprised" --config-dir "$tmp/etc" --run-dir "$tmp/run" "$@"
}
export -f agent
export build tmp

r() {
	local verb=$1

	shift
	"$build/reprise" "$verb" --config-dir "$tmp/etc" --run-dir "$tmp/run" "$@"
}
export -f r

# said PATTERN: the agent's log has it, soon
said() {
	for _ in {1..50}; do
		grep -qE -- "$1" "$tmp/log" && return 0
		sleep 0.1
	done
	return 1
}
export -f said

resource() {
	local port=$((20000 + $$ % 1500 * 8))

	mkdir -p "$tmp/etc" "$tmp/log1" && truncate -s 8M "$tmp/disk"
	cat >"$tmp/etc/pg.conf" <<-CONF
		id = "0123456789abcdef0123456789abcdef"
		key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
		log-size = "32MiB"
		segment-size = "8MiB"
		unapplied = "8MiB"
		volume 0 { }
		node alpha {
			id = 1 address = "127.0.0.1:$port" log = "$tmp/log1"
			volume 0 { device = "$tmp/disk" }
		}
		node beta {
			id = 2 address = "127.0.0.1:$((port + 1))" log = "/log"
			volume 0 { device = "/disk" }
		}
	CONF
	chmod 600 "$tmp/etc/pg.conf"
}

# Ended, with success, and nothing left behind.
ended() {
	kill -TERM "$pid" && wait "$pid" && pid= && [ ! -e "$tmp/run/control.sock" ]
}

ktap_print_header
ktap_set_plan 15
check "--version" 0 '^reprised [0-9]' bash -c 'agent --version'
check "--help" 0 '--config-dir' bash -c 'agent --help'
check "an unknown option" 2 'usage|--config-dir' bash -c 'agent --no-such-option'
check "an argument too many" 2 'unexpected argument "pg"' bash -c 'agent pg'
check "a name that is none" 2 "not a node's name" bash -c 'agent --node ""'
# shellcheck disable=SC2016 # exported
check "a run directory that cannot be" 1 'cannot be created' \
	bash -c '"$build/reprised" --run-dir /proc/none/run'
resource
check "create" 0 '' bash -c 'r create pg --node alpha --yes'
"$build/reprised" --config-dir "$tmp/etc" --run-dir "$tmp/run" --node alpha --debug 2>"$tmp/log" &
pid=$!
check "begins" 0 '' bash -c 'for i in {1..50}; do r status && break; sleep 0.1; done'
check "only one in a directory" 1 'another agent' bash -c 'agent --node alpha'
check "up" 0 '' bash -c 'r up pg'
check "up: it is a secondary" 0 'secondary' bash -c 'r status pg; true'
echo nonsense >>"$tmp/etc/pg.conf"
kill -HUP "$pid"
check "SIGHUP reads the configuration again" 0 '' bash -c 'said "old configuration stays in force"'
check "promotion without a module is refused" 1 'module|contact|refused|cannot' \
	bash -c 'r promote pg --force'
check "down" 0 '' bash -c 'r down pg'
if ended; then
	ktap_test_pass "SIGTERM ends it"
else
	sed 's/^/# /' "$tmp/log"
	ktap_test_fail "SIGTERM ends it"
fi
ktap_finished
