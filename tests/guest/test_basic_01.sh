#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Create, up, promote, write, demote, promote on the other side.
. "$(dirname "$0")/common.sh"

ktap_print_header
ktap_set_plan 9
load_module
net_up
a=$(loop_disk a 64) b=$(loop_disk b 64)
must "configuration and create" resource_new r "$a" "$b"
agent_start alpha
agent_start beta
must "up on alpha" rp alpha up r
must "up on beta" rp beta up r
wait_for 10 "contact" status_is alpha r 'p["connection"] == "connected"'
must "promote alpha" rp alpha promote r
rp alpha status r | sed 's/^/# /'
dev=$(field alpha r 'r["volumes"][0]["device"]')
load() {
	fio --name=v --filename="$dev" --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
		--bsrange=512-128k --blockalign=512 --size=40m --io_size=30m --verify=crc32c --fdatasync=16 \
		--verify_fatal=1 --output="$WORK/fio" >/dev/null 2>&1
}
result "load with verification" load
result "replica applied everything" wait_for 10 "applied" settled alpha r
result "identical" identical "$a" "$b"
result "demote alpha" rp alpha demote r
result "promote beta" rp beta promote r
rp beta status r | sed 's/^/# /'
ktap_finished
