#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The cluster in the simulator: all kept seeds, then as many seeds of all
# scenarios as fit into SIM_SECONDS. They are new with each change (tests/seed
# names the first); SIM_FIRST chooses.
# tests: time 900
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
seconds=${SIM_SECONDS:-300}
first=${SIM_FIRST:-$(tests/seed)}
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

# storm SCENARIO SHARE: of the time, in eighths
storm()
{
	timeout $((seconds + 300)) tests/sim/run --seconds $((seconds * $2 / 8)) \
		--first "$first" --scenario "$1" --jobs "$jobs"
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
