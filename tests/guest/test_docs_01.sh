#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What Documentation/operating.md says to do works: an upgrade of the replica's
# agent while the primary is frozen, a rotated key, and getting a second copy
# back through a fresh resource after a peer was left behind.
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"

put() {
	dd if=/dev/urandom of="$1" bs=64k count="$2" seek="$3" oflag=direct conv=fsync status=none
}

# "Upgrading": frozen, restarted, mirrored again, resumed; nothing needs a resync.
upgrade() {
	rp alpha freeze r >/dev/null && agent_kill beta TERM && quietly agent_up beta r &&
		mirrored alpha r 30 && rp alpha resume r >/dev/null && put "$dev" 4 4 &&
		status_is alpha r 'p["replication"] == "mirroring"'
}

# "Rotating the key", its four steps; both nodes share a directory here.
rotate() {
	rp alpha key rotate r >/dev/null && rp alpha reload r >/dev/null &&
		rp beta reload r >/dev/null && wait_for 20 "contact" status_is alpha r \
			'p["connection"] == "connected"' || return 1
	sed -i '/^previous-key/d' "$WORK/etc/r.conf"
	rp alpha reload r >/dev/null && rp beta reload r >/dev/null && wait_for 20 "contact" \
		status_is alpha r 'p["connection"] == "connected"' && put "$dev" 4 8 &&
		status_is alpha r 'p["replication"] == "mirroring"'
}

left_behind() {
	agent_kill beta KILL
	put "$dev" 16 32 && quietly agent_up beta r && wait_for 20 "words" status_is alpha r \
		'p["replication"] == "resync needed"'
}

fresh() {
	resource_new s "$(loop_disk c 17)" "$(loop_disk d 17)" && pair_up s
}

copy() {
	dd if="$dev" of="$(device alpha s)" bs=1M iflag=direct oflag=direct conv=fsync status=none
}

same() {
	local bytes

	bytes=$(blockdev --getsize64 "$dev")
	cmp -n "$bytes" "$dev" "$(device alpha s)" && settled alpha s
}

old_goes() {
	quietly rp alpha demote r && quietly rp alpha down r && quietly rp beta down r &&
		quietly rp alpha destroy r --yes && quietly rp beta destroy r --yes
}

ktap_print_header
ktap_set_plan 12
load_module
net_up
must "create" resource_new r "$(loop_disk a 16)" "$(loop_disk b 16)"
must "up, promote" pair_up r
dev=$(device alpha r)
must "write" put "$dev" 4 0
must "the replica's agent is upgraded while the primary is frozen" upgrade
must "the key is rotated" rotate
must "a peer is left behind" left_behind
must "a fresh resource" fresh
must "the data is copied" copy
result "both hold it" wait_for 20 "copy" same
result "a second copy exists" status_is alpha s 'p["replication"] == "mirroring"'
result "the old resource goes" old_goes
result "the new one switches over" eval 'quietly rp alpha demote s && quietly rp beta promote s && mirrored beta s 30'
ktap_finished
