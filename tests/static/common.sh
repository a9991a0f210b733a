# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Helpers of the static checks: sourced, from the top of the tree.
set -u
# Elsewhere in the tests to see whether a check finds a planted fault.
cd "${REPRISE_TREE:-$(dirname "${BASH_SOURCE[0]}")/../..}" || exit 1
TOP=$PWD
BUILD=${REPRISE_BUILD:-build}
# shellcheck source=/dev/null
. "$BUILD/kselftest/ktap_helpers.sh"
FLAGS=(-std=gnu11 -Wall -Wextra -D_GNU_SOURCE '-DREPRISE_VERSION="0"' -I. -Iagent)

# files PATTERN...: those of the repository, new ones included
files() {
	git ls-files --cached --others --exclude-standard -- "$@" | sort -u |
		while read -r f; do [ -f "$f" ] && echo "$f"; done
}

# clean NAME COMMAND...: passes if the command succeeds without a word
clean() {
	local name=$1 said

	shift
	if said=$("$@" 2>&1) && [ -z "$said" ]; then
		ktap_test_pass "$name"
		return
	fi
	sed 's/^/# /' <<<"$said"
	ktap_test_fail "$name"
}
