#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Nodes that do not fit together: another key, size, configuration or protocol
# version: no connection, and both sides say why.  A broken file is named with
# its line; strangers and noise change nothing.
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"

set_logs_aside() {
	cat "$WORK"/log-* >>"$WORK/all-logs"
	rm -f "$WORK"/log-*
}

# Of all agents so far: each began, none broke off.
nobody_crashed() {
	grep -q "begins" "$WORK/all-logs" && ! grep -aiE 'assert|abort|signal' "$WORK/all-logs"
}

# differs NAME WORDS-ON-ALPHA WORDS-ON-BETA: in the status and the log of each
differs() {
	local name=$1 bad=0 node words

	agent_up alpha r || return 1
	agent_up beta r || return 1
	for node in alpha beta; do
		words=$2
		[ $node = alpha ] || words=$3
		wait_for 15 "$name on $node" says "$node" "$words" && says "$node" "$words" || bad=1
		rp "$node" status r >"$WORK/status"
		grep -Eq "$words" "$WORK/status" || { echo "# status of $node lacks: $words"
			sed 's/^/# /' "$WORK/status"; bad=1; }
	done
	refused "contact|refused|connect|peer" rp alpha promote r || bad=1
	agent_kill alpha TERM
	agent_kill beta TERM
	set_logs_aside
	rm -rf "$WORK/etc-beta"
	return $bad
}

# beta's own configuration, changed
beta_has() {
	cp -r "$WORK/etc" "$WORK/etc-beta"
	sed -i "$1" "$WORK/etc-beta/r.conf"
}

broken() {
	beta_has '$a colour = "red"'
	agent_start beta
	local words

	words="r\.conf:$(wc -l <"$WORK/etc-beta/r.conf"):.*colour"
	refused "$words" rp beta up r && refused "$words" rp beta status r &&
		rp beta status | grep -Eq "$words" &&
		says beta "left out: .*$words" && says beta "not taken up: .*$words"
}

# version_99: what a node of a later version sends first, or answers
version_99() {
	/usr/bin/python3 -c '
import socket, struct, sys
def head(kind, length): return struct.pack("<IHHII", 0x4d505252, 99, kind, length, 0)
if sys.argv[1] == "dial":
    s = socket.create_connection(("10.9.0.2", 7799), 5)
    s.settimeout(10)
    s.sendall(head(1, 80) + bytes(80))
    answer = s.recv(64)
    sys.exit(not (answer[:4] == b"RRPM" and struct.unpack_from("<H", answer, 6)[0] == 5
        and struct.unpack_from("<H", answer, 16)[0] == 1))
s = socket.create_server(("10.9.0.2", 7799))
s.settimeout(20)
c, _ = s.accept()
c.recv(16)
c.sendall(head(2, 40) + bytes(40))
c.recv(4096)
' "$1"
}

newer_dials() {
	on alpha timeout 30 bash -c "$(declare -f version_99); version_99 dial" &&
		wait_for 5 "log" says beta "version 99"
}

newer_answers() {
	agent_up alpha r
	on beta timeout 30 bash -c "$(declare -f version_99); version_99 answer" &
	wait_for 20 "log" says alpha "version 99"
	wait $!
	says alpha "version 99" && rp alpha status r | grep -q "version 99"
}

noise() {
	for n in 1 7 16 100 4096 100000; do
		head -c $n /dev/urandom | on alpha timeout 5 bash -c 'cat >/dev/tcp/10.9.0.2/7799' 2>/dev/null
	done
	agent_answers beta
}

other_size() {
	agent_kill beta KILL
	losetup -d "$b"
	truncate -s 9M "$DISKS/b"
	losetup --direct-io=off "$b" "$DISKS/b"
	losetup --set-capacity "$b"
	rp beta destroy r --yes --force >/dev/null 2>&1
	quietly rp beta create r --yes --force
}

ktap_print_header
ktap_set_plan 10
load_module
net_up
a=$(loop_disk a 8) b=$(loop_disk b 8)
must "create" resource_new r "$a" "$b"
key=$(sed -n 's/^key = "\(.*\)"/\1/p' "$WORK/etc/r.conf")
beta_has "s/$key/$(tr 0-9a-f 1-9a-f0 <<<"$key")/"
result "another key" differs key "wrong key" "wrong key"
beta_has 's/^timeout.*/timeout = "9s"/'
result "another configuration" differs configuration "configuration .*differs.*timeout" \
	"configuration .*differs.*timeout"
result "a broken file: named with its line" broken
rm -rf "$WORK/etc-beta"
agent_kill beta TERM
agent_up beta r
result "a newer version dials: refused, named" newer_dials
result "noise" noise
agent_kill beta TERM
result "a newer version answers: named" newer_answers
agent_kill alpha TERM
set_logs_aside
must "another size" other_size
result "another size: refused, named" differs size "volume 0 .*7340032 bytes.*8388608 bytes" \
	"volume 0 .*8388608 bytes.*7340032 bytes"
result "nobody crashed" nobody_crashed
ktap_finished
