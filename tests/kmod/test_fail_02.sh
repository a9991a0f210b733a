#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: faults
# tests: time 1200
# I/O with each of the submitter's allocations failing in turn, and of those of
# the session's threads: done, or refused with ENOMEM and then possible; the
# session lives, the backing device is not blamed, the replica is identical.
. "$(dirname "$0")/common.sh"

need_faults
ktap_print_header
ktap_set_plan 17
load_module || exit 1
work=$(mktemp -d)

# Most have so few that all can fail each time.
one_in() {
	case $1 in
	write-big | sender) echo 10 ;;
	*) echo 1 ;;
	esac
}

for operation in write write-big flush zero discard read sender receiver absent; do
	image=$work/$operation
	truncate -s 64M "$image"
	backing=$(loop_disk "$operation" 64)
	result "$operation" each_fails "$(one_in $operation)" $operation r "$backing" "$image"
	[ $operation = absent ] || result "$operation: identical" same "$backing" "$image"
	losetup -d "$backing"
	rm "$image" "/dev/shm/$operation"
done
rmmod reprise
ktap_finished
