#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2016 # the guests' shells expand, not this one
#
# Tests of the test machine itself: what the other tests rely on when they
# believe what it says. First the power-cut disk alone (no guest), then two
# guests of different kernels, then what a killed test leaves behind, then
# tests/vm/run. Takes two to five minutes.

DIR=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/vm/lib.sh
. "$DIR/lib.sh"

BUILD=${REPRISE_BUILD:-$VM_TOP/build}
helpers=${REPRISE_KSELFTEST:-$BUILD/kselftest}/ktap_helpers.sh
if [ ! -e "$helpers" ]; then
	helpers=$BUILD/kselftest/ktap_helpers.sh
	mkdir -p "$BUILD/kselftest"
	tar -xJf /usr/src/linux-source-6.12.tar.xz --strip-components=5 \
		--occurrence=1 -C "$BUILD/kselftest" \
		linux-source-6.12/tools/testing/selftests/kselftest/ktap_helpers.sh ||
		exit 4
fi
# shellcheck disable=SC1090
. "$helpers"

# Not below /tmp: scripts in here are run in guests.
WORK=$(mktemp -d "$BUILD/vm-selftest.XXXXXX")
export REPRISE_VM_EVIDENCE=$WORK/evidence

vm_cleanup()
{
	if [ "$KTAP_CNT_FAIL" = 0 ]; then
		rm -rf "$WORK"
	else
		ktap_print_msg "the evidence is in $WORK"
	fi
}

# The power-cut disk alone

disk_control()
{
	echo "$1" | socat -t 10 - "UNIX-CONNECT:$WORK/pc.ctl"
}

# disk_scene SEED MODE: 32 overlapping writes and a zeroed range, of which the
# first 8 are flushed; then the cut. Prints the file's hash and the report.
disk_scene()
{
	local nbdkit qemu_io i commands=()

	rm -f "$WORK"/pc.*
	truncate -s 1M "$WORK/pc.file"
	nbdkit -f -U "$WORK/pc.nbd" "$BUILD/tests/vm/powercut.so" \
		file="$WORK/pc.file" control="$WORK/pc.ctl" &
	nbdkit=$!
	until [ -S "$WORK/pc.nbd" ] && [ -S "$WORK/pc.ctl" ]; do sleep 0.05; done
	for ((i = 1; i <= 32; i++)); do
		commands+=(-c "write -P $i $((i * 12))k 16k")
		[ "$i" != 8 ] || commands+=(-c flush)
	done
	# It flushes when it ends: so it must be killed.
	qemu-io -f raw -t none "${commands[@]}" -c "write -z 0 64k" \
		-c "sleep 600000" "nbd+unix:///?socket=$WORK/pc.nbd" >/dev/null &
	qemu_io=$!
	for ((i = 0; i < 100; i++)); do
		disk_control stat | grep -q 'unflushed 25 ' && break
		sleep 0.05
	done
	kill -9 $qemu_io
	wait $qemu_io 2>/dev/null
	disk_control "cut $1 $2" >"$WORK/pc.report"
	kill $nbdkit
	wait $nbdkit
	sha256sum <"$WORK/pc.file"
	cat "$WORK/pc.report"
}

test_disk_random_repeats()
{
	local first second other

	first=$(disk_scene 42 random)
	second=$(disk_scene 42 random)
	other=$(disk_scene 43 random)
	[ "$first" = "$second" ] && [ "$first" != "$other" ] &&
		[[ $first == *"unflushed 25 "* ]] &&
		[[ $first != *" kept 0 "* ]] && [[ $first != *" dropped 0 "* ]] &&
		[[ $first != *" torn 0"* ]]
}

# bytes OFFSET_KIB LENGTH_KIB: the different byte values there.
bytes()
{
	dd if="$WORK/pc.file" bs=1k skip="$1" count="$2" status=none |
		od -An -v -tu1 -w1 | tr -d ' ' | sort -nu | xargs
}

test_disk_drop_keeps_flushed()
{
	disk_scene 1 drop >/dev/null
	# Write i covers [12i, 12i + 16) KiB; the eighth was the last flushed.
	[ "$(bytes 12 12)" = 1 ] && [ "$(bytes 96 16)" = 8 ] &&
		[ "$(bytes 112 900)" = 0 ]
}

test_disk_keep_keeps_all()
{
	disk_scene 1 keep >/dev/null
	[ "$(bytes 0 64)" = 0 ] && [ "$(bytes 384 16)" = 32 ] &&
		[ "$(bytes 108 12)" = 9 ]
}

# Two guests

test_kernels()
{
	[[ $(vm_exec a uname -r) == 6.12.* ]] &&
		[[ $(vm_exec b uname -r) == 6.1.* ]]
}

test_exec()
{
	local out status

	out=$(vm_exec a 'echo out; echo err >&2; exit 7' 2>"$WORK/err")
	status=$?
	[ $status = 7 ] && [ "$out" = out ] && [ "$(<"$WORK/err")" = err ] &&
		[ "$(vm_exec a printf '%s|' 'a  b' '*' '$x')" = 'a  b|*|$x|' ] &&
		[ "$(echo hello | vm_exec a --stdin tr a-z A-Z)" = HELLO ] &&
		[ "$(vm_exec a 'head -c 20000000 /dev/zero' | wc -c)" = 20000000 ]
}

test_exec_timeout()
{
	vm_exec a --timeout 1 'sleep 4242' 2>/dev/null
	[ $? = 124 ] || return 1
	sleep 0.5
	! vm_exec a pgrep -f 'sleep 424[2]' >/dev/null
}

test_exec_concurrent()
{
	local one two three

	one=$(vm_spawn a "$WORK/one" 'sleep 2; echo 1; exit 11')
	two=$(vm_spawn a "$WORK/two" 'sleep 2; echo 2; exit 12')
	three=$(vm_spawn b "$WORK/three" 'sleep 1000')
	vm_wait "$one"
	[ $? = 11 ] || return 1
	vm_wait "$two"
	[ $? = 12 ] || return 1
	vm_kill "$three"
	sleep 0.5
	[ "$(cat "$WORK/one" "$WORK/two" | xargs)" = "1 2" ] &&
		! vm_exec b pgrep -f 'sleep 100[0]'
}

test_root()
{
	vm_exec a "touch /usr/vm-was-here && touch '$WORK/guest'" &&
		[ ! -e /usr/vm-was-here ] && [ ! -e "$WORK/guest" ] &&
		[ "$(vm_exec a "cat '$DIR/lib.sh'" | sha256sum)" = \
			"$(sha256sum <"$DIR/lib.sh")" ]
}

test_clock()
{
	local guest host

	guest=$(vm_exec a date +%s%3N)
	host=$(date +%s%3N)
	[ $((host - guest)) -lt 1000 ] && [ $((host - guest)) -gt -1000 ]
}

# The first packets after a cut may be spent on finding the neighbour again.
reaches()
{
	vm_exec "$1" "ping -c 5 -i 0.5 -W 2 $2 >/dev/null"
}

ping_lost()
{
	! vm_exec "$1" "ping -c 1 -W 2 $2 >/dev/null"
}

received()
{
	vm_exec "$1" cat /sys/class/net/eth0/statistics/rx_packets
}

test_network()
{
	reaches a 10.77.0.2 && reaches b 10.77.0.1 && reaches a fd77::2 &&
		reaches a vm2
}

test_network_cut()
{
	local before

	vm_net a cut && ping_lost a 10.77.0.2 && ping_lost b 10.77.0.1 || return 1
	vm_net a heal && reaches a 10.77.0.2 || return 1

	# Towards a only: its questions arrive at b, the answers do not.
	vm_net a cut-in
	before=$(received b)
	ping_lost a 10.77.0.2 && [ "$(received b)" -gt "$before" ] || return 1
	vm_net a heal && reaches a 10.77.0.2 || return 1

	# From a only: b's questions arrive.
	vm_net a cut-out
	before=$(received a)
	ping_lost b 10.77.0.1 && [ "$(received a)" -gt "$before" ] || return 1
	vm_net a heal && reaches b 10.77.0.1
}

test_disk_properties()
{
	[ "$(vm_exec a cat /sys/block/vda/queue/{write_cache,logical_block_size} \
		/sys/block/vdb/queue/{write_cache,logical_block_size} | xargs)" = \
		"write back 512 write back 4096" ] &&
		[ "$(vm_exec a readlink -f /dev/vm/data /dev/vm/big | xargs)" = \
			"/dev/vda /dev/vdb" ]
}

# Block 0 is written and flushed, block 1 written; block 2 is zeroed unflushed.
write_blocks()
{
	vm_exec a "set -e
		fill() { tr '\0' \"\$1\" </dev/zero | dd of=/dev/vm/$1 bs=4k count=1 \
			iflag=fullblock seek=\$2 oflag=direct status=none \$3; }
		fill A 2; fill A 0 conv=fsync; fill B 1
		blkdiscard -z -o 8192 -l 4096 /dev/vm/$1"
}

# The first letter of each of three blocks, by a reader given as a command.
letters()
{
	local n

	for n in 0 1 2; do
		"$@" "dd if=$FROM bs=4k skip=$n count=1 status=none iflag=direct |
			head -c 1 | tr '\0' -"
	done
}

test_cut_drop()
{
	write_blocks data && write_blocks big || return 1
	vm_cut a 1 drop 2>"$WORK/cut" && grep -q 'dropped [1-9]' "$WORK/cut" &&
		vm_boot a || return 1
	[ "$(FROM=/dev/vm/data letters vm_exec a)" = A-A ] &&
		[ "$(FROM=/dev/vm/big letters vm_exec a)" = A-A ] &&
		[ "$(FROM=$(vm_disk_file a data) letters bash -c)" = A-A ]
}

test_cut_keep_and_stream()
{
	local id

	write_blocks data || return 1
	id=$(vm_spawn a "$WORK/stream" \
		'i=0; while :; do echo $((i += 1)); sleep 0.1; done')
	sleep 2
	vm_cut a 1 keep 2>/dev/null
	vm_wait "$id"
	[ $? = 125 ] && [ "$(head -n 3 "$WORK/stream" | xargs)" = "1 2 3" ] &&
		[ "$(FROM=$(vm_disk_file a data) letters bash -c)" = AB- ]
}

# A file system that syncs its files, beside direct writes that nobody flushes;
# the delay widens the window between a write and its flush.
test_cut_under_load()
{
	local id file n

	vm_boot a && vm_disk_control a data 'delay 2000' >/dev/null || return 1
	id=$(vm_spawn a "$WORK/load" 'mkfs.ext4 -q /dev/vm/data &&
		mount /dev/vm/data /mnt && fallocate -l 4M /mnt/noise && sync || exit
		while :; do dd if=/dev/urandom of=/mnt/noise bs=16k count=256 \
			oflag=direct conv=notrunc status=none; done &
		i=0; while :; do i=$((i + 1)); head -c 40000 /dev/urandom >/mnt/$i &&
			sync /mnt/$i && sync /mnt && echo $i; done')
	for ((n = 0; n < 300; n++)); do
		[ "$(wc -l <"$WORK/load")" -lt 20 ] || break
		sleep 0.2
	done
	vm_cut a 7 random 2>"$WORK/cut"
	vm_wait "$id" 2>/dev/null
	grep -q 'unflushed [1-9]' "$WORK/cut" || return 1
	n=$(grep -cx '[0-9]*' "$WORK/load")
	file=$(vm_disk_file a data)
	cp --sparse=always "$file" "$WORK/ext4"
	# The journal is replayed, then nothing may be left to repair.
	e2fsck -fy -E journal_only "$WORK/ext4" >/dev/null 2>&1
	[ "$n" -ge 20 ] && e2fsck -fn "$WORK/ext4" >"$WORK/fsck" 2>&1 &&
		debugfs -R "ls -p /" "$WORK/ext4" 2>/dev/null |
		grep -q "/$n/40000/"
}

test_stop_settles()
{
	vm_boot a && vm_exec a 'printf Z | dd of=/dev/vm/big bs=4k conv=sync \
		oflag=direct status=none' && vm_stop a && ! vm_alive a &&
		[ "$(head -c 1 "$(vm_disk_file a big)")" = Z ]
}

test_dmesg()
{
	vm_check_dmesg || return 1
	vm_exec b 'echo "<4>WARNING: CPU: 0 at selftest" >/dev/kmsg'
	! vm_check_dmesg b 2>/dev/null && vm_check_dmesg b || return 1
	vm_expect_dmesg 'at selftest'
	vm_exec b 'echo "<4>WARNING: CPU: 0 at selftest" >/dev/kmsg'
	vm_check_dmesg b
}

test_panic()
{
	vm_expect_end b
	vm_exec b --timeout 60 'echo c >/proc/sysrq-trigger' 2>/dev/null
	[ $? = 125 ] && vm_wait_end b 60 && ! vm_check_dmesg b 2>"$WORK/panic" &&
		grep -q 'Kernel panic' "$WORK/panic" &&
		vm_dmesg b | grep -q 'Kernel panic'
}

# What a killed test leaves behind

# Starts a test of its own with a guest; prints its process and its directory.
start_victim()
{
	cat >"$WORK/victim.sh" <<-VICTIM
		#!/bin/bash
		. "$DIR/lib.sh"
		$1
		vm_start victim --disk d:16M:powercut
		vm_spawn victim "$WORK/victim.out" 'sleep 1000' >/dev/null
		vm_info | sed -n 's/^dir //p' >"$WORK/victim.dir"
		while :; do sleep 1; done
	VICTIM
	rm -f "$WORK/victim.dir"
	bash "$WORK/victim.sh" 2>"$WORK/victim.err" &
	victim=$!
	until [ -s "$WORK/victim.dir" ]; do
		kill -0 $victim || return 1
		sleep 0.2
	done
}

# Nothing that names the session's directory may be left: processes, sockets.
nothing_left()
{
	local dir n

	dir=$(<"$WORK/victim.dir")
	for ((n = 0; n < 50; n++)); do
		pgrep -f "$dir" >/dev/null || break
		sleep 0.1
	done
	! pgrep -af "$dir" && [ ! -e "$dir/disks" ] && [ ! -e "$dir/run" ]
}

test_kill_driver()
{
	start_victim || return 1
	pgrep -f "$(<"$WORK/victim.dir")" >/dev/null || return 1
	kill -9 $victim
	wait $victim 2>/dev/null
	nothing_left
}

test_terminate_driver()
{
	start_victim || return 1
	kill -TERM $victim
	wait $victim
	[ $? = 143 ] && nothing_left
}

test_time_limit()
{
	start_victim "vm_init --time-limit 20" || return 1
	wait $victim
	[ $? = 143 ] && grep -q 'is over' "$WORK/victim.err" && nothing_left
}

# The session's process itself, the one in its own namespaces: the next session
# removes the files.
test_kill_session()
{
	local pid

	start_victim || return 1
	pid=$(pgrep -f "session.py $victim " | tail -n 1)
	kill -9 "$pid"
	kill -9 $victim
	wait $victim 2>/dev/null
	bash -c ". '$DIR/lib.sh'; vm_init --guests 1" && nothing_left
}

# What the machine says of its own failures

test_boot_death()
{
	local dir

	REPRISE_VM_BOOT_TRIES=2 VM_TITLE=boot-death bash -c "
		. '$DIR/lib.sh'
		vm_start dead --append rdinit=/nonexistent || {
			vm_info | sed -n 's/^dir //p' >'$WORK/death.dir'
			exit 125
		}" 2>"$WORK/death.err"
	[ $? = 125 ] || return 1
	dir=$(<"$WORK/death.dir")
	[ "$(grep -c 'EVENT.*did not boot' "$WORK/death.err")" = 2 ] &&
		grep -q '2 guest death(s)' "$WORK/death.err" &&
		grep -q 'Kernel panic' "$dir/dead.1.console"
}

# QEMU is stopped behind the session's back. The test does not look.
test_hang()
{
	local dir

	REPRISE_VM_HANG_LIMIT=12 VM_TITLE=hang bash -c "
		. '$DIR/lib.sh'
		vm_start hung || exit 1
		vm_info | sed -n 's/^dir //p' >'$WORK/hang.dir'
		(echo '{\"execute\":\"qmp_capabilities\"}{\"execute\":\"stop\"}'
			sleep 1) | socat - UNIX:\$(dirname \$VM_SOCKET)/hung.1.qmp
		vm_exec hung sleep 1000
		exit 0" >/dev/null 2>"$WORK/hang.err"
	[ $? = 125 ] || return 1
	dir=$(<"$WORK/hang.dir")
	grep -q 'EVENT.*hung: no answer' "$WORK/hang.err" &&
		grep -q RIP= "$dir"/hung.1.qemu.registers
}

# tests/vm/run

in_guest()
{
	printf '#!/bin/bash\n%s\n' "$2" >"$WORK/$1"
	chmod +x "$WORK/$1"
}

test_run()
{
	local status

	in_guest pass 'echo "ok 1 $*"'
	in_guest fail 'exit 3'
	in_guest skip 'exit 4'
	in_guest warns 'echo "<4>WARNING: at here" >/dev/kmsg'
	in_guest expected '# vm-expect-dmesg: at here
echo "<4>WARNING: at here" >/dev/kmsg'
	in_guest slow 'sleep 1000'
	cd "$WORK" || return 1
	"$DIR/run" --udev --timeout 10 --disk x:16M --script 'pass 1 2' \
		--script fail --script skip --script warns --script expected \
		--script slow --script pass >run.out 2>run.err
	status=$?
	cd "$VM_TOP" || return 1
	cat >"$WORK/run.expected" <<-'END'
		TAP version 13
		1..7
		# ok 1 1 2
		ok 1 pass
		not ok 2 fail # exit=3
		ok 3 skip # SKIP
		not ok 4 warns # exit=1
		ok 5 expected
		not ok 6 slow # TIMEOUT 10 seconds
		# ok 1 
		ok 7 pass
	END
	[ $status = 1 ] && diff "$WORK/run.expected" "$WORK/run.out"
}

test_run_one()
{
	in_guest exits 'ls -l /dev/disk/by-id/virtio-x >&2 && exit 5'
	"$DIR/run" --kernel 6.1 --udev --disk x:16M "$WORK/exits" 2>/dev/null
	[ $? = 5 ]
}

# A failure shows its last commands.
run_test()
{
	local status

	[ -z "$ONLY" ] || [[ $1 =~ $ONLY ]] || {
		ktap_test_skip "$1"
		return
	}
	exec 9>"$WORK/trace"
	BASH_XTRACEFD=9
	set -x
	"$1"
	status=$?
	{ set +x; } 2>/dev/null
	unset BASH_XTRACEFD
	if [ $status = 0 ]; then
		ktap_test_pass "$1"
	else
		tail -n 12 "$WORK/trace" | sed 's/^/# /'
		ktap_test_fail "$1"
	fi
}

machine_tests=(test_kernels test_exec test_exec_timeout test_exec_concurrent
	test_root test_clock test_network test_network_cut test_disk_properties
	test_cut_drop test_cut_keep_and_stream test_cut_under_load
	test_stop_settles test_dmesg test_panic)
disk_tests=(test_disk_random_repeats test_disk_drop_keeps_flushed
	test_disk_keep_keeps_all)
last_tests=(test_kill_driver test_terminate_driver test_time_limit
	test_kill_session test_boot_death test_hang test_run test_run_one)

# selftest.sh [REGEX]: only the tests whose names match.
ONLY=$1
vm_build
ktap_print_header
ktap_set_plan $((${#machine_tests[@]} + ${#disk_tests[@]} + ${#last_tests[@]}))
for t in "${disk_tests[@]}"; do
	run_test "$t"
done

if [ -z "$ONLY" ] || [[ ${machine_tests[*]} =~ $ONLY ]]; then
	VM_TITLE=selftest vm_init --guests 2
	vm_start a --number 1 --disk data:64M:powercut \
		--disk big:64M:powercut:4k &
	first=$!
	vm_start b --number 2 --kernel 6.1 && wait $first || exit 125
fi
for t in "${machine_tests[@]}"; do
	run_test "$t"
done
vm_close "$KTAP_CNT_FAIL" || exit
for t in "${last_tests[@]}"; do
	run_test "$t"
done
ktap_finished
