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
ktap_set_plan 12
work=$(mktemp -d)
image=$work/image
truncate -s 64M "$image"
backing=$(loop_disk fail 64)

# Those that the kernel makes below the module's initialisation; there are some.
load_own() {
	local range

	read -ra range <<<"$(range_of do_one_initcall)"
	fail_below "${range[@]}"
	each_fails 10 load - "$1" >"$work/own" || { cat "$work/own"; return 1; }
	fail_anywhere
	cat "$work/own"
	grep -q "load: [1-9][0-9]* failed" "$work/own"
}

cp "$MODULE" "$work/"
result "load" each_fails 100 load - "$work/reprise.ko"
result "load, the module's own" load_own "$work/reprise.ko"
rm "$work/reprise.ko"
load_module || exit 1
for operation in start set get list attach detach freeze resume stop force; do
	result "$operation" each_fails 10 $operation r "$backing" "$image"
done
rmmod reprise
losetup -d "$backing"
ktap_finished
