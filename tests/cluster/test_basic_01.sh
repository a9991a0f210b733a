#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Two machines: write on alpha, pull its plug, beta has what was flushed and takes over.
. "$(dirname "$0")/common.sh"

ktap_set_plan 7
must "two guests with module and agent" cluster_start
must "resource up" resource_up r
must "promote alpha" rp alpha promote r
# shellcheck disable=SC2016
result "write and flush" on alpha 'dd if=/dev/urandom bs=64k count=64 status=none | tee /tmp/random |
	dd of=/dev/reprise0 bs=64k iflag=fullblock oflag=direct conv=fsync status=none'
wrote=$(on alpha 'sha256sum </tmp/random')
must "alpha loses power, beta takes over" take_over r alpha beta
read_back() {
	[ "$(on beta 'dd if=/dev/reprise0 bs=64k count=64 iflag=direct status=none | sha256sum')" = "$wrote" ]
}
result "everything is there" read_back
finish
