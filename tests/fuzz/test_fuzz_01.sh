#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every kept input of every fuzz target, then new ones for FUZZ_SECONDS each
# (tests/fuzz/run: two targets side by side); one line a target says how much
# was tried. FUZZ_SECONDS=60 costs five minutes; longer: "make fuzz".
set -u
cd "$(dirname "$0")/../.." || exit 1
exec tests/fuzz/run --seconds "${FUZZ_SECONDS:-30}"
