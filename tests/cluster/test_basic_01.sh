#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: smoke
# Two machines: write on alpha, pull its plug, beta has what was flushed and takes over.
. "$(dirname "$0")/common.sh"

ktap_set_plan 8
must "two guests with module and agent" cluster_start
must "resource up" resource_up r
must "promote alpha" rp alpha promote r
# shellcheck disable=SC2016
result "write and flush" on alpha 'dd if=/dev/urandom bs=64k count=64 status=none | tee /tmp/random |
	dd of=/dev/reprise0 bs=64k iflag=fullblock oflag=direct conv=fsync status=none'
wrote=$(on alpha 'sha256sum </tmp/random')
vm_cut alpha "$SEED"
result "beta says so" wait_for 30 "a degraded replica" status_is beta r \
	'r["health"] == "degraded" and p["replication"] == "none" and "no contact" in p["text"]'
must "beta takes over" rp beta promote r --force
read_back() {
	[ "$(on beta 'dd if=/dev/reprise0 bs=64k count=64 iflag=direct status=none | sha256sum')" = "$wrote" ]
}
result "everything is there" read_back
finish
