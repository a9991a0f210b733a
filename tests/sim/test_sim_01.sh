#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The cluster in the simulator: all kept seeds, then as many new ones, of all
# scenarios, as fit into SIM_SECONDS (300).  SIM_FIRST repeats a run's seeds.
# tests: time 900
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
seconds=${SIM_SECONDS:-300}
first=${SIM_FIRST:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
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

# A new seed for each scenario; the default one gets half of the time.
storm()
{
	timeout $(($2 + 120)) tests/sim/run --seconds "$2" --first "$first" --scenario "$1" \
		--jobs "$jobs"
}

echo "TAP version 13"
echo "1..6"
echo "# first seed $first"
kept
result $? "kept seeds"
storm default $((seconds / 2))
result $? "default"
for scenario in crash partition disk admin; do
	storm $scenario $((seconds / 8))
	result $? "$scenario"
done
[ "$failed" -eq 0 ]
