# SPDX-License-Identifier: GPL-2.0
# Helpers of the in-guest tests of the module: sourced.
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
KTOOL=$TOP/build/tests/ktool
# shellcheck source=/dev/null
. "$TOP/build/kselftest/ktap_helpers.sh"
# shellcheck source=tests/common.sh
. "$TOP/tests/common.sh"

load_module() {
	modprobe -q crc32c_intel || true
	modprobe -q libcrc32c || true
	insmod "$TOP/build/kmod/$(uname -r)/reprise.ko"
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
