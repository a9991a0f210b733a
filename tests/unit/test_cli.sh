#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The admin command on regular files and against an agent made of canned
# answers: usage errors, new, create, destroy, dump, key, status, forwarding.
# Each line that begins with "check" is one test: description, expected exit
# code, a regular expression that the output must match, the command.
set -u
cd "$(dirname "$0")/../.." || exit 4
reprise=$(realpath "${REPRISE:-build/reprise}")
root=$PWD
# shellcheck source=/dev/null
. build/kselftest/ktap_helpers.sh

tmp=$(mktemp -d /tmp/test_cli.XXXXXX)
agent_pid=
stop_agent() {
	[ -z "$agent_pid" ] || kill "$agent_pid" 2>/dev/null
	wait 2>/dev/null
	agent_pid=
}
cleanup() {
	stop_agent
	rm -rf "$tmp"
}
trap cleanup EXIT

r() {
	local verb=$1
	shift
	"$reprise" "$verb" --config-dir "$tmp/etc" --run-dir "$tmp/run" "$@" </dev/null 2>&1
}

# The same as node alpha.
a() {
	r "$@" --node alpha
}

check() {
	local description=$1 want=$2 pattern=$3 output code
	shift 3
	output=$("$@" 2>&1)
	code=$?
	if [ "$code" -eq "$want" ] && grep -qE -- "$pattern" <<<"$output" &&
	   ! grep -q 'Sanitizer\|runtime error' <<<"$output"; then
		ktap_test_pass "$description"
		return
	fi
	# shellcheck disable=SC2001 # every line gets the mark
	sed 's/^/# /' <<<"exit code $code, wanted $want; wanted: $pattern; got: $output"
	ktap_test_fail "$description"
}

# A log segment of three frames, the second damaged if wanted.
make_segment() {
	python3 - "$@" <<'PY'
import struct, sys
path, damage = sys.argv[1], sys.argv[2]
table = []
for i in range(256):
    c = i
    for _ in range(8):
        c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
    table.append(c)
def crc(data):
    c = 0xffffffff
    for b in data:
        c = c >> 8 ^ table[(c ^ b) & 255]
    return c ^ 0xffffffff
assert crc(b"123456789") == 0xe3069283
res, timeline = bytes(range(16)), bytes(range(100, 116))
def frame(seq, nops, commit):
    payload = b"".join(bytes([seq + i]) * 1024 for i in range(nops))
    ops = b"".join(struct.pack("<QIIHBBI", 8 * i, 2, crc(bytes([seq + i]) * 1024), 0, 1, 0, 0)
                   for i in range(nops)).ljust(14 * 24, b"\0")
    def head(c):
        h = struct.pack("<IHHIHH", 0x46505252, 1, 512, 512 + len(payload), nops, 1)
        h += res + timeline + struct.pack("<QQQQQQII", 3, seq, commit, 0, 0, 10**18, 0, c)
        return (h + bytes(24) + ops).ljust(512, b"\0")
    return head(crc(head(0))) + payload
def seg(c):
    h = b"RPRLOG\0\1" + struct.pack("<II", 1, c) + bytes(range(50, 66)) + res
    h += struct.pack("<QQQQ", 7, 8 << 20, 42, 7) + timeline + struct.pack("<Q", 3) + bytes(16)
    h += struct.pack("<QQQI", 10, 11, 10, 4096)
    return h.ljust(4096, b"\0")
frames = [frame(11, 2, 10), frame(13, 1, 12), frame(14, 0, 13)]
if damage == "payload":
    frames[1] = frames[1][:600] + b"X" + frames[1][601:]
if damage == "tail":
    frames[2] = frames[2][:40] + b"X" + frames[2][41:]
head = seg(crc(seg(0)))
if damage == "head":
    head = head[:60] + b"X" + head[61:]
open(path, "wb").write((head + b"".join(frames)).ljust(8 << 20, b"\0"))
PY
}

# start_agent MODE: answers like an agent, one connection after the other.
start_agent() {
	stop_agent
	mkdir -p "$tmp/run"
	rm -f "$tmp/run/control.sock"
	python3 - "$tmp/run/control.sock" "$1" <<'PY' &
import json, socket, sys, time
path, mode = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen(5)
def status(health, role):
    return {"ok": True, "version": "9.9", "node": "alpha", "resources": [{
        "name": "pg", "role": role, "state": "clean", "state_text": "fine",
        "durability": "write", "on_peer_loss": "alone", "frozen": mode == "failed",
        "timeline": {"generation": 4, "id": "ab" * 16}, "seq": 1000, "health": health,
        "health_text": "beta is away since noon", "log": {"bytes": 1 << 29, "used_bytes": 4096},
        "volumes": [{"number": 0, "minor": 0, "device": "/dev/reprise0", "backing": "/dev/vdb",
                     "size_bytes": 3 << 29, "openers": 1, "io_errors": 2}],
        "peers": [{"name": "beta", "connection": "refused", "role": "unknown",
                   "replication": "resync needed", "text": "it was left behind",
                   "dirty_blocks": 256}]}]}
while True:
    c, _ = s.accept()
    line = c.makefile().readline()
    if not line:
        continue
    q = json.loads(line)
    def say(o):
        c.sendall((json.dumps(o) + "\n").encode())
    if mode == "hang":
        time.sleep(60)
    elif mode == "garbage":
        c.sendall(b"[1, 2\n")
    elif mode == "mute":
        pass
    elif q["cmd"] == "version":
        say({"ok": True, "version": "9.9"})
    elif q["cmd"] == "status":
        say(status(mode, "primary"))
    elif q["cmd"] == "log":
        say({"ok": True, "resources": [{"name": "pg", "position": 77, "timelines": [
            {"generation": 0, "id": "0" * 32, "parent": "0" * 32, "fork_seq": 0,
             "kind": "origin", "opener": 0, "opened_realtime_ns": 0},
            {"generation": 1, "id": "c" * 32, "parent": "0" * 32, "fork_seq": 5,
             "kind": "clean", "opener": 2, "opened_realtime_ns": 10**18}]}]})
    elif q["cmd"] == "events":
        for name in "pg", "other":
            say({"time_ns": 10**18, "resource": name, "event": "peer-lost", "peer": "beta",
                 "text": "no word for 6 s"})
    elif q["cmd"] == "promote" and not q.get("force"):
        say({"progress": "waiting for beta", "percent": 50})
        say({"ok": False, "error": "peer beta is out of contact", "code": "no-contact",
             "hint": "with --force it may be left behind"})
    else:
        say({"ok": True, "echo": q})
    c.close()
PY
	agent_pid=$!
	for _ in $(seq 100); do
		[ -S "$tmp/run/control.sock" ] && return
		sleep 0.05
	done
}

ktap_print_header
ktap_set_plan "$(grep -c '^check ' "$root/tests/unit/test_cli.sh")"

# --- the command line ---------------------------------------------------
check "no command" 2 "usage: reprise COMMAND" "$reprise"
check "help" 0 "^  promote " "$reprise" --help
check "unknown command" 2 "no such command: frobnicate" "$reprise" frobnicate
check "unknown option" 2 "create: no such option: --fast" r create pg --fast
check "option of another command" 2 "no such option: --check" r create pg --check
check "resource missing" 2 "expected: RESOURCE" r create
check "too much" 2 "one argument too many: y" r create x y
check "value missing" 2 "needs a value" "$reprise" status --run-dir
check "bad number" 2 "whole number" r promote pg --timeout soon
check "zero" 2 "whole number" r promote pg --timeout 0
check "resource and --all" 2 "either a resource or --all" r up pg --all
check "help of a command" 0 "--keep-data" r create --help
check "dump of what" 2 "not one of frames, log, meta" r dump dust /dev/null
check "key what" 2 "rotate" r key steal pg
check "exclusive options" 2 "exclude each other" r create pg --blank --keep-data
check "path as a name" 1 "no resource's name" r create ../pg

# --- new ----------------------------------------------------------------
alpha="alpha=10.77.0.1:7799,$tmp/a.img,$tmp/log/a"
beta="beta=[fd77::2]:7799,$tmp/b.img,$tmp/log/b"
check "new, node unclear" 2 "expected NAME=ADDRESS" r new pg --node alpha
check "new, address bad" 1 "numeric address" r new pg --node "alpha=host,/a,/b" --node "$beta"
check "new leaves nothing behind" 2 "cannot access" ls "$tmp/etc/pg.conf"
check "new, one node" 1 "needs two nodes" r new pg --node "$alpha"
check "new, bad name" 1 "resource's name" r new .pg --node "$alpha" --node "$beta"
check "new" 0 "next: |then on each node" r new pg --node "$alpha" --node "$beta"
check "new, mode" 0 "^600$" stat -c %a "$tmp/etc/pg.conf"
check "new never overwrites" 1 "stays as it is" r new pg --node "$alpha" --node "$beta"
check "new, as JSON" 1 '"code":"exists"' r new pg --json --node "$alpha" --node "$beta"
sed -i 's/^log-size.*/log-size = "32MiB"/; s/^segment-size.*/segment-size = "8MiB"/; s/^unapplied.*/unapplied = "8MiB"/' "$tmp/etc/pg.conf"

# --- create -------------------------------------------------------------
check "create without a device" 1 "truncate -s" a create pg
truncate -s 1M "$tmp/a.img"
check "create, too small" 1 "too small" a create pg
dd if=/dev/urandom of="$tmp/a.img" bs=1M count=20 status=none
check "create as nobody" 1 'no node "gamma"' r create pg --node gamma
check "create, unreadable configuration" 1 "not configured" a create other
(flock 9; check_busy() { a create pg; }; check_busy >"$tmp/busy") 9<>"$tmp/a.img"
check "create, device in use" 0 "is in use: another program" cat "$tmp/busy"
check "create" 0 "pg: created on alpha, all zeros" a create pg
check "create zeroed the volume" 0 "" cmp -n $((19 << 20)) "$tmp/a.img" /dev/zero
check "log segments" 0 "^4$" bash -c "ls '$tmp/log/a' | grep -c '^segment.000[0-3]$'"
check "log segments are written, not holes" 0 "^(8192|82..)[^0-9]" du -k "$tmp/log/a/segment.0003"
check "create again" 1 "already holds volume 0 of resource pg \(node alpha\)" a create pg
check "create --force" 0 "created" a create pg --force
check "small log is remarked" 0 "may fill up" a create pg --force
check "dump meta" 0 "record 1, valid" r dump meta "$tmp/a.img"
check "dump meta, state" 0 "state clean, applied 0" r dump meta "$tmp/a.img"
check "dump meta, as JSON" 0 '"state":"clean"' r dump meta "$tmp/a.img" --json
check "probe" 0 "^ID_FS_TYPE=reprise_member$" r probe "$tmp/a.img"
check "probe of something else" 1 "^$" r probe /etc/hostname
printf X | dd of="$tmp/a.img" bs=1 seek=$((19 << 20 | 200)) conv=notrunc status=none
check "dump meta, one copy damaged" 0 "copy 0 .*: invalid: .*checksum" r dump meta "$tmp/a.img"
check "one damaged copy still protects" 1 "already holds" a create pg
check "status from the disk" 0 "store: clean" a status pg
check "status of another node" 0 "none of its nodes" r status pg --node gamma
check "log from the disk" 0 "the beginning, all zeros; current, at 0" a log pg
check "destroy" 0 "no longer on alpha" a destroy pg
check "destroy took the log" 0 "^0$" bash -c "ls '$tmp/log/a' | wc -l"
check "destroy again" 1 "holds no valid metadata" a destroy pg
check "destroy --force" 0 "no longer" a destroy pg --force
check "dump of nothing" 1 "copy 1 .*: invalid" r dump meta "$tmp/a.img"

mkfs.ext4 -q -F -L data "$tmp/a.img" >/dev/null 2>&1
check "create over a file system" 1 'a.img holds: ext4 "data"' a create pg
check "keeping one that is too large" 1 "reaches into the last 1 MiB" a create pg --keep-data
truncate -s 21M "$tmp/a.img"
cp "$tmp/a.img" "$tmp/before"
check "create --keep-data" 0 "keeping the data" a create pg --keep-data
check "data is kept" 0 "" cmp -n $((20 << 20)) "$tmp/a.img" "$tmp/before"
check "timeline 1 is opened" 0 "timeline 1: .*, origin after 0 .* opened by node 1" r dump meta "$tmp/a.img"
check "destroy keeps data" 0 "" bash -c "'$reprise' destroy pg --config-dir '$tmp/etc' --node alpha </dev/null >/dev/null && cmp -n $((20 << 20)) '$tmp/a.img' '$tmp/before'"
check "create --blank" 0 "blank" a create pg --blank --force
check "blank has no timeline" 0 "state blank" r dump meta "$tmp/a.img"
sed 's/^id = .*/id = "0123456789abcdef0123456789abcdef"/' "$tmp/etc/pg.conf" >"$tmp/etc/other.conf"
chmod 600 "$tmp/etc/other.conf"
check "destroy of another resource's" 1 "belongs to another resource: pg" a destroy other
rm "$tmp/etc/other.conf"
check "dump log, unused segments" 0 "segment.0003: unused" r dump log "$tmp/log/a"
check "dump frames, unused segments" 0 "log/a: no segment is in use" r dump frames "$tmp/log/a"
check "log exists already" 0 "already holds a log" bash -c "'$reprise' destroy pg --config-dir '$tmp/etc' --node alpha </dev/null >/dev/null; touch '$tmp/log/a/segment.0000'; '$reprise' create pg --config-dir '$tmp/etc' --node alpha --keep-data </dev/null 2>&1; true"

# --- dump log, frames ---------------------------------------------------
mkdir "$tmp/seg"
make_segment "$tmp/seg/segment.0000" good
check "dump log" 0 "3 frames, operations 11 to 13" r dump log "$tmp/seg"
check "dump log, end" 0 "offset 8704: end of the frames" r dump log "$tmp/seg/segment.0000"
check "dump log, as JSON" 0 '"last_seq":13' r dump log "$tmp/seg" --json
check "dump frames" 0 "12: write, volume 0, sector 8 \+ 2, crc" r dump frames "$tmp/seg"
check "dump frames, as JSON" 0 '"first_seq":11' r dump frames "$tmp/seg" --json
make_segment "$tmp/seg/segment.0000" tail
check "torn tail" 0 "offset 8192: end of the frames, or a torn tail .*checksum" r dump log "$tmp/seg"
make_segment "$tmp/seg/segment.0000" payload
check "damage" 1 "offset 6656: DAMAGED.*" r dump log "$tmp/seg"
check "damage, what is wrong" 1 "DAMAGED: good frames follow \(.*checksum" r dump frames "$tmp/seg"
check "damage, what follows" 1 "offset 8192: a good frame again, seq 14" r dump log "$tmp/seg"
make_segment "$tmp/seg/segment.0000" head
check "damaged header" 1 "invalid: the checksum of the segment header is wrong" r dump log "$tmp/seg"
check "dump of an empty directory" 1 "holds no log segment" r dump log "$tmp/etc"
check "dump of nothing there" 1 "cannot be read" r dump log "$tmp/nowhere"

# --- key ----------------------------------------------------------------
old=$(sed -n 's/^key = //p' "$tmp/etc/pg.conf")
check "key rotate" 0 "reprise reload pg" r key rotate pg
check "old key is the previous one" 0 "^previous-key = $old$" cat "$tmp/etc/pg.conf"
check "comments stay" 0 "# Resource pg" cat "$tmp/etc/pg.conf"
check "mode stays" 0 "^600$" stat -c %a "$tmp/etc/pg.conf"
check "rotate again" 0 "fresh key" r key rotate pg
check "nothing is left behind" 0 "^pg.conf$" ls -A "$tmp/etc"
sed -i 's/^durability/queue = "8MiB" key = "x"\n#&/' "$tmp/etc/pg.conf"
check "a broken file is refused" 1 "pg.conf:[0-9]+: 'key' was already set" r key rotate pg
sed -i '/^queue/d; s/^#durability/durability/' "$tmp/etc/pg.conf"

# --- without an agent ---------------------------------------------------
rm -f "$tmp/run/control.sock"
check "promote without an agent" 1 "agent is not running.*" a promote pg
check "and what to do" 1 "systemctl start reprised" a promote pg
check "check without an agent" 2 "^REPRISE CRITICAL - pg secondary: the agent is not" bash -c "'$reprise' destroy pg --force --config-dir '$tmp/etc' --node alpha </dev/null >/dev/null; '$reprise' create pg --config-dir '$tmp/etc' --node alpha --force </dev/null >/dev/null 2>&1; '$reprise' status pg --check --config-dir '$tmp/etc' --run-dir '$tmp/run' --node alpha"
check "check of nothing" 2 "REPRISE CRITICAL - nothing unknown" a status nothing --check
check "version without an agent" 0 "agent   is not running" r version
check "freeze without anything" 1 "kernel" a freeze pg
check "down --force without anything" 1 "kernel" a down pg --force

# --- with an agent ------------------------------------------------------
start_agent degraded
check "status" 0 "^pg: primary, degraded$" r status
check "status, health" 0 "beta is away since noon" r status
check "status, volume" 0 "volume 0: /dev/reprise0, 1.5 GiB, on /dev/vdb, in use, 2 I/O ERRORS" r status
check "status, peer" 0 "peer beta: refused, role unknown, resync needed, lacks 1 MiB" r status
check "status, as JSON" 0 '"agent":"running"' r status --json
check "status --watch" 124 "every|node alpha" timeout 3 "$reprise" status --watch 1 --run-dir "$tmp/run"
check "check: warning" 1 "^REPRISE WARNING - pg primary: beta is away since noon$" r status --check
check "log" 0 "timeline 1 \(cccccccc\): opened by node 2 at .*, clean after 5 .*current, at 77" r log
check "refusal" 1 "^reprise: pg: peer beta is out of contact" r promote pg
check "refusal, what to do" 1 "^ +with --force it may" r promote pg
check "refusal, as JSON" 1 '^\{.*"code":"no-contact"' r promote pg --json
check "promote --force" 0 "pg: is primary here" r promote pg --force
check "what is sent" 0 '"echo":\{"cmd":"promote","resource":"pg","force":true,"timeout_ms":7000\}' r promote pg --force --timeout 7 --json
check "peer is sent" 0 '"cmd":"disconnect","resource":"pg","peer":"beta"' r disconnect pg beta --json
check "up --all" 0 "pg: is up" r up --all
check "events, then the agent ends" 1 "pg  peer-lost  no word for 6 s" r events
check "events of one resource" 1 "agent has ended" r events none
check "version" 0 "agent   9.9" r version
start_agent ok
check "check: ok" 0 "^REPRISE OK - pg primary$" r status --check
start_agent failed
check "check: critical" 2 "^REPRISE CRITICAL" r status --check
check "frozen is said" 0 "I/O IS FROZEN" r status
start_agent garbage
check "garbage" 1 "cannot be understood" r promote pg
check "status in spite of garbage" 0 "cannot be understood; this is from the kernel" a status pg
start_agent mute
check "agent breaks off" 1 "broke off" r promote pg
start_agent hang
check "status while the agent hangs" 0 "does not answer; this is from the kernel" a status pg

ktap_finished
