# SPDX-License-Identifier: GPL-2.0
# Helpers of the in-guest tests of the module: sourced.
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
KTOOL=$TOP/build/tests/ktool
# shellcheck source=/dev/null
. "$TOP/build/kselftest/ktap_helpers.sh"
# shellcheck source=tests/common.sh
. "$TOP/tests/common.sh"

MODULE=$TOP/build/kmod/$(uname -r)/reprise.ko

load_module() {
	modprobe -q crc32c_intel || true
	modprobe -q libcrc32c || true
	insmod "$MODULE"
}

# A disk in memory with a write cache.  null_disk NAME MiB [block size]
null_disk() {
	local dir=/sys/kernel/config/nullb/$1

	modprobe null_blk nr_devices=0 2>/dev/null
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
	mkdir "$dir"
	echo "$2" >"$dir/size"
	echo "${3:-512}" >"$dir/blocksize"
	echo 1 >"$dir/memory_backed"
	echo 16 >"$dir/cache_size"
	echo 1 >"$dir/discard"
	echo 1 >"$dir/power"
	echo "/dev/$1"
}

# A disk that can discard and zero: a loop device on a file in memory.
# loop_disk NAME MiB
loop_disk() {
	modprobe -q loop
	truncate -s "$2M" "/dev/shm/$1"
	losetup --show -f "/dev/shm/$1"
}

same() {
	cmp "$1" "$2"
}

# Allocations can be made to fail, also those that may wait; without a trace of
# each in the kernel's log.
need_faults() {
	local attr

	[ -w /proc/self/fail-nth ] || {
		ktap_skip_all "this kernel does not fail allocations on demand"
		exit "$KSFT_SKIP"
	}
	for attr in failslab fail_page_alloc; do
		echo N >"/sys/kernel/debug/$attr/ignore-gfp-wait"
		echo 0 >"/sys/kernel/debug/$attr/verbose"
	done
	echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
}

# fail_below START END: only allocations with code from START to END among their
# callers can fail
fail_below() {
	local attr

	for attr in failslab fail_page_alloc; do
		echo "$1" >/sys/kernel/debug/$attr/require-start
		echo "$2" >/sys/kernel/debug/$attr/require-end
	done
}

fail_anywhere() {
	fail_below 0 0xffffffffffffffff
}

# Where a function of the kernel begins and ends, for fail_below. Not all of
# kallsyms is read, which is in order: it would take the debug kernel a minute.
range_of() {
	awk -v name="$1" '
		start && $1 != start { print "0x" start, "0x" $1; exit }
		$3 == name { start = $1 }' /proc/kallsyms
}

# Which of an operation's allocations fail: all in the long run, else one in
# $1 (REPRISE_PART chooses; the group takes tests/seed).
fault_share() {
	[ -z "${REPRISE_LONG:-}" ] || { echo "part=0 parts=1"; return; }
	echo "part=$((${REPRISE_PART:-0} % $1)) parts=$1"
}

# each_fails ONE-IN OPERATION NAME DEVICE [IMAGE]: in turn. IMAGE, what DEVICE is
# of, or the module that takes its place are on a tmpfs.
each_fails() {
	local share

	read -ra share <<<"$(fault_share "$1")"
	shift
	echo "# $1: ${share[*]}"
	"$KTOOL" fail "$1" "$2" "$3" "${share[@]}" ${4:+image=$4}
}
