# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What every group of tests can use: sourced by the groups' common.sh.

# result NAME COMMAND...: one line of KTAP
result() {
	local name=$1

	shift
	if "$@"; then
		ktap_test_pass "$name"
	else
		ktap_test_fail "$name"
	fi
}

# wait_for SECONDS WORDS COMMAND...: until it succeeds
wait_for() {
	local limit=$1 words=$2

	shift 2
	local end=$((SECONDS + limit))

	while [ $SECONDS -le $end ]; do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	echo "# gave up waiting $limit s: $words"
	return 1
}
