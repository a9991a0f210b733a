#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the tests reach, by gcov: pure files 100 % of branches or a written
# reason, the agent 90 % of lines (tests/coverage/run says how it counts).
# tests: long
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. build/kselftest/ktap_helpers.sh
ktap_print_header
ktap_set_plan 2
report=$(make -s coverage 2>&1)
code=$?
# shellcheck disable=SC2001 # every line gets the mark
sed 's/^/# /' <<<"$report"
if grep -q '^agent: ' <<<"$report"; then
	ktap_test_pass "measured"
else
	ktap_test_fail "measured"
fi
if [ "$code" -eq 0 ]; then
	ktap_test_pass "above the thresholds"
else
	ktap_test_fail "above the thresholds"
fi
ktap_finished
