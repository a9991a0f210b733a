# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What a database promised, kept outside of the guests. Each transaction has a
# number of 15 digits, in the database and, as soon as COMMIT has returned, in a
# line of $LEDGER. What else is in that file, such as a client's last words or
# half a number, promises nothing.
LEDGER=$WORK/acknowledged
: >"$LEDGER"

# ledger_count: how many transactions have been acknowledged so far
ledger_count() { grep -cE '^[0-9]{15}$' "$LEDGER" || :; }

ledger_at_least() { [ "$(ledger_count)" -ge "$1" ]; }

# ledger_lost [LIST]: the acknowledged numbers that the database does not hold
ledger_lost() { comm -23 "${1:-$WORK/promised}" "$WORK/found"; }

# ledger_kept MINIMUM COMMAND...: nothing is lost, of enough to mean something. The command prints
# the numbers that the database holds.
ledger_kept() {
	local minimum=$1 promised

	shift
	grep -E '^[0-9]{15}$' "$LEDGER" | sort -u >"$WORK/promised"
	"$@" >"$WORK/found.raw" || return 1
	sort -u "$WORK/found.raw" >"$WORK/found"
	promised=$(wc -l <"$WORK/promised")
	echo "$promised acknowledged, $(wc -l <"$WORK/found") found, $(ledger_lost | wc -l) lost"
	ledger_lost | head -n 5 | sed 's/^/lost: transaction /'
	[ "$promised" -ge "$minimum" ] && [ -z "$(ledger_lost)" ]
}

# ledger_notices_loss: a number that nobody committed is reported as lost
ledger_notices_loss() {
	{ cat "$WORK/promised"; echo planted; } | sort >"$WORK/planted"
	[ "$(ledger_lost "$WORK/planted")" = planted ]
}
