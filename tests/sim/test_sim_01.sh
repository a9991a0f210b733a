#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The cluster in the simulator: all kept seeds, then seeds of all scenarios: the
# same in each run, or with SIM_SECONDS=n as many new ones as fit into that (then
# SIM_FIRST repeats a run's seeds).
#
# Without failing writes: a copy that they leave different is recorded as clean
# when its primary is demoted, see "Open" in Documentation/simulator.md.
# tests: time 900
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
seconds=${SIM_SECONDS:-0}
if [ "$seconds" -gt 0 ]; then
	first=${SIM_FIRST:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
else
	first=${SIM_FIRST:-1001}
fi
jobs=$(nproc)
failed=0 tests=0

result()
{
	tests=$((tests + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tests $2"
	else
		echo "not ok $tests $2"
		failed=$((failed + 1))
	fi
}

kept()
{
	local seed options _ status=0

	while IFS=$'\t' read -r seed options _; do
		[[ $seed =~ ^[0-9]+$ ]] || continue
		# shellcheck disable=SC2086
		timeout 120 tests/sim/run --seed "$seed" $options || status=1
	done <tests/sim/seeds
	return $status
}

# storm SCENARIO SHARE: of the time, or of 8,000 seeds, in eighths
storm()
{
	local amount=(--seeds $((1000 * $2)))

	[ "$seconds" -eq 0 ] || amount=(--seconds $((seconds * $2 / 8)))
	timeout $((seconds + 300)) tests/sim/run "${amount[@]}" --first "$first" \
		--scenario "$1" --without io-error --jobs "$jobs"
}

echo "TAP version 13"
echo "1..6"
echo "# first seed $first"
kept
result $? "kept seeds"
storm default 4
result $? "default"
for scenario in crash partition disk admin; do
	storm $scenario 1
	result $? "$scenario"
done
[ "$failed" -eq 0 ]
