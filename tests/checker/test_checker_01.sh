#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The checker itself: it accepts what a crash may leave, and nothing else.
# Needs no kernel of its own.
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${REPRISE_BUILD:-$TOP/build}
# shellcheck source=/dev/null
. "$BUILD/kselftest/ktap_helpers.sh"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# verdict FAULT WORDS ARGUMENT...: log-check's answer is as expected
verdict() {
	local fault=$1 words=$2

	shift 2
	"$BUILD/tests/fake-replica" "$WORK" "$fault" || return 1
	"$BUILD/tests/log-check" --log "$WORK/log" --segment-kib 8192 --store "$WORK/store" \
		--record "$WORK/record" "$@" >"$WORK/out"
	if [ -z "$words" ]; then
		grep -q 'complaints=0 ' "$WORK/out" && ! grep -q '^#' "$WORK/out"
	else
		grep -q 'complaints=[1-9]' "$WORK/out" && grep -q "^# .*$words" "$WORK/out"
	fi && return 0
	sed 's/^/# /' "$WORK/out"
	return 1
}

# try NAME FAULT WORDS ARGUMENT...
try() {
	local name=$1

	shift
	if verdict "$@"; then
		ktap_test_pass "$name"
	else
		ktap_test_fail "$name"
	fi
}

ktap_print_header
ktap_set_plan 18
try "a good copy" none ""
try "bytes behind the last frame" torn-tail ""
try "a torn frame that nobody relied on" torn-frame ""
try "as much as was acknowledged" none "" --acked 300
try "less than was acknowledged" none "301 acknowledged" --acked 301
try "not settled" none "not the stream's content" --exact 300
try "another tip than told" none "told was 299" --exact 299
try "a sector has rotted" store-rot "what no seq wrote"
try "an applied write is not there" store-behind "not the stream's content"
try "a write that is not final is there" store-ahead "holds seq 300"
try "a frame has rotted" log-rot "was applied"
try "a completed write is lost" lost-frame "had completed, but is not in the log"
try "a committed write is lost" committed-lost "behind says that"
try "a segment's header has rotted" header-rot "is not in the log"
try "a write without a submission" never-submitted "never submitted"
try "an unflushed write is lost in mode flush" lost-frame "" --mode flush
try "a write stands before an earlier one" order "stands behind it"
try "a write is there twice" twice "more than once"
ktap_finished
