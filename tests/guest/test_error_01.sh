#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The primary's own disk fails writes, then a flush: the application is told,
# the peer has everything, and the copy does not count as clean afterwards.
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"
DISK=failing-a

# disk_is good|bad|deaf: all works; nothing can be written below 8 MiB; no write
# and no flush ends well
disk_is() {
	local sectors=$((32 * 2048)) bad=$((8 * 2048)) table

	case $1 in
	good) table="0 $sectors linear $a 0" ;;
	bad) printf -v table '0 %d error\n%d %d linear %s %d' $bad $bad $((sectors - bad)) "$a" $bad ;;
	deaf) table="0 $sectors flakey $a 0 0 3600 1 error_writes" ;;
	esac
	echo "$table" | dmsetup reload --noudevsync $DISK &&
		dmsetup suspend --noflush --nolockfs --noudevsync $DISK &&
		dmsetup resume --noudevsync $DISK
}

test_clean_up() {
	rp alpha down r --force >/dev/null 2>&1
	agent_kill alpha KILL
	dmsetup remove --noudevsync --retry $DISK
}

make_disk() {
	modprobe -a -q dm-mod dm-flakey
	dmsetup create --noudevsync $DISK --table "0 $((32 * 2048)) linear $a 0" && dmsetup mknodes $DISK
}

# put MIB BYTE: one MiB of it
put() {
	head -c 1048576 /dev/zero | tr '\0' "$2" >"$WORK/mib"
	dd if="$WORK/mib" of="$(device "$from" r)" bs=1M seek="$1" oflag=direct conv=notrunc status=none
}

# holds NODE MIB BYTE
holds() {
	head -c 1048576 /dev/zero | tr '\0' "$3" |
		cmp - <(dd if="$(device "$1" r)" bs=1M skip="$2" count=1 iflag=direct status=none)
}

flush() {
	/usr/bin/python3 -S -E -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_WRONLY))' \
		"$(device alpha r)"
}

io_errors() { field alpha r 'r["volumes"][0]["io_errors"]'; }

# The module flushes by itself within a second: written while it was well, flushed when it is not.
own_flush_fails() {
	local before

	before=$(io_errors)
	for _ in $(seq 10); do
		put 20 x && disk_is deaf || return 1
		sleep 2.5
		disk_is good || return 1
		[ "$(io_errors)" -eq "$before" ] || return 0
	done
	echo "# no flush of the module's own met the failing disk"
	return 1
}

write_errors_are_told() {
	disk_is bad && put 9 b && refused "Input/output error" put 1 c && disk_is good &&
		wait_for 10 "health" status_is alpha r 'r["health"] == "failed"' &&
		says alpha "backing device of volume 0 of resource r failed" &&
		mirrored alpha r
}

demoted_as_lost() {
	quietly rp alpha demote r && says alpha "writes failed on its backing device" &&
		status_is alpha r 'r["state"] == "lost"' &&
		refused "writes failed" rp alpha promote r
}

peer_takes_over() {
	from=beta
	quietly rp beta promote r && holds beta 1 c && holds beta 2 a && holds beta 9 b && put 3 d
}

not_mirrored_to() {
	wait_for 10 "resync needed" status_is beta r 'p["replication"] == "resync needed"' &&
		quietly rp beta demote r && refused "writes failed" rp alpha promote r
}

goes_on_by_force() {
	from=alpha
	rp beta down r >/dev/null && quietly rp alpha promote r --force && holds alpha 2 a &&
		holds alpha 9 b && put 4 e && quietly rp alpha demote r &&
		status_is alpha r 'r["state"] == "clean"'
}

ktap_print_header
ktap_set_plan 11
load_module
net_up
a=$(loop_disk a 32) b=$(loop_disk b 32) from=alpha
must "a disk that can fail" make_disk
must "create" resource_new r /dev/mapper/$DISK "$b"
must "up, promote" pair_up r
result "the module's own flush fails" own_flush_fails
result "the next flush of the application is told" refused "Input/output error" flush
result "... and only that one" flush
put 2 a
result "a write that fails is told, and mirrored all the same" write_errors_are_told
result "demoted, the copy does not count as clean" demoted_as_lost
result "the peer takes over without force, and has everything" peer_takes_over
result "nobody mirrors to such a copy" not_mirrored_to
result "by force it goes on as it is" goes_on_by_force
ktap_finished
