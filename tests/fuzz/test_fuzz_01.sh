#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every kept input of every fuzz target, then new ones for FUZZ_SECONDS each,
# two targets side by side, by the seed of tests/seed; one line a target says
# how much was tried. Longer, and by chance: "make fuzz".
set -u
cd "$(dirname "$0")/../.." || exit 1
exec tests/fuzz/run --seconds "${FUZZ_SECONDS:-60}" --seed "$(tests/seed)"
