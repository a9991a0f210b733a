#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: faults
# tests: time 1200
# Loading the module, and every command to it, with each of its allocations
# failing in turn: refused with nothing changed and then possible, or done.
# vm-expect-dmesg: kmem_cache_create\w*\(.*\) failed with error
. "$(dirname "$0")/common.sh"

need_faults
ktap_print_header
ktap_set_plan 11
work=$(mktemp -d)
image=$work/image
truncate -s 64M "$image"
backing=$(loop_disk fail 64)

# Most of its allocations are the kernel's own, when it takes a module in.
result "load" each_fails 100 load - "$TOP/build/kmod/$(uname -r)/reprise.ko"
load_module || exit 1
for operation in start set get list attach detach freeze resume stop force; do
	result "$operation" each_fails 10 $operation r "$backing" "$image"
done
rmmod reprise
losetup -d "$backing"
ktap_finished
