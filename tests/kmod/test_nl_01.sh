#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The agent's netlink client against the module: every command, errors in
# words, events, a claim that never lapses.
. "$(dirname "$0")/common.sh"

modprobe loop
load_module || exit 1
"$TOP/build/tests/unit/test_nl_kernel"
status=$?
rmmod reprise || status=1
exit $status
