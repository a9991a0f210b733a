#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2016 # the guests' shells expand, not this one
#
# The main job, shown: a PostgreSQL on /dev/reprise0 loses its machine under
# load; the other machine takes over, and every acknowledged transaction is
# there. Its steps are those of tests/cluster/test_postgres_01.sh, with words.

usage() {
	cat <<-END
	usage: tests/demo/demo.sh [--mode write|flush] [--kernel 6.12|6.1] [--transactions N]

	--mode write	a write is complete when it is durable on both machines (default)
	--mode flush	a write is complete at once, an fsync when everything before it is
	        	durable on both machines
	"make demo" builds what is needed and runs this; MODE=flush make demo works, too.
	Exit code: 0 if nothing was lost.
	END
	exit "$1"
}

MODE=${MODE:-write} KERNEL=${KERNEL:-6.12} WANTED=200
while [ $# -gt 0 ]; do
	case $1 in
	--mode) MODE=${2:-} ;;
	--kernel) KERNEL=${2:-} ;;
	--transactions) WANTED=${2:-} ;;
	-h | --help) usage 0 ;;
	*) usage 2 ;;
	esac
	[ $# -ge 2 ] || usage 2
	shift 2
done
[[ $MODE =~ ^(write|flush)$ && $WANTED =~ ^[1-9][0-9]*$ ]] || usage 2

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${REPRISE_BUILD:-$top/build}
[ "$(id -u)" = 0 ] || { echo "demo: root is needed, for the two virtual machines' network" >&2; exit 1; }
for file in "$build/reprise" "$build/reprised" "$build/kselftest/ktap_helpers.sh"; do
	[ -e "$file" ] || { echo "demo: $file is missing; 'make demo' builds it" >&2; exit 1; }
done
# shellcheck disable=SC2034 # read by what is sourced
NO_KTAP=1 VM_TITLE=demo
# shellcheck source=tests/cluster/common.sh
. "$top/tests/cluster/common.sh"
# shellcheck source=tests/cluster/postgres.sh
. "$top/tests/cluster/postgres.sh"

STEP=0 DONE= WHAT=
BEGAN=$SECONDS

step() {
	STEP=$((STEP + 1))
	WHAT=$1
	printf '\n[%d:%02d] %d. %s\n' $(((SECONDS - BEGAN) / 60)) $(((SECONDS - BEGAN) % 60)) $STEP "$1"
}

say() { fold -s -w 88 <<<"$*" | sed 's/^/       /'; }

fail() {
	printf '\nFAILED in step %d (%s): %s\n' "$STEP" "$WHAT" "$*"
	exit 1
}

# shown PROMPT WORDS COMMAND...: what a person would type, what it prints, its exit code
shown() {
	local prompt=$1 words=$2

	shift 2
	echo "       $prompt $words"
	"$@" 2>&1 | sed 's/^/         | /'
	return "${PIPESTATUS[0]}"
}

# type_on NODE COMMAND: as root
type_on() { shown "$1#" "$2" on "$1" "PATH=\$0:\$PATH; $2" "$BUILD"; }

vm_cleanup() {
	if [ -n "$DONE" ]; then
		rm -rf "$WORK"
	else
		show_logs
		echo "what was recorded: $WORK"
	fi
}

progress() {
	local n last=-1 idle=0

	while n=$(ledger_count) && [ "$n" -lt "$WANTED" ]; do
		printf '       %d transactions acknowledged\n' "$n"
		idle=$((n == last ? idle + 1 : 0))
		last=$n
		[ $idle -lt 20 ] || fail "the load stands still: $(tail -n 2 "$LEDGER")"
		sleep 3
	done
}

[ -n "$PG_BIN" ] || { echo "demo: PostgreSQL is not installed; 'make deps' installs it" >&2; exit 1; }
echo "Reprise: a PostgreSQL on a mirrored device loses its machine. Mode: $MODE. Two or three minutes."

step "Two machines boot: alpha and beta (QEMU, Debian's kernel $KERNEL)"
say "Each has a disk for the data and one for the log. When their power is cut, what they" \
	"had not flushed is lost or torn, at random."
cluster_start --mem 1536 --data 512M || fail "the machines did not come up"

step "The resource \"pg\": one configuration, on both machines"
resource_up pg "durability=$MODE" >"$WORK/output" || fail "$(cat "$WORK/output")"
say "Done: reprise new pg, its file copied; on both: reprise create pg; reprise up pg"
type_on alpha "reprise promote pg" || fail "alpha cannot become primary"
type_on alpha "reprise status pg"
status_is alpha pg "r['durability'] == '$MODE' and p['replication'] == 'mirroring'" ||
	fail "not mirroring in mode $MODE"

step "PostgreSQL on /dev/reprise0"
type_on alpha "mkfs.ext4 -q /dev/reprise0" || fail "no file system"
shown "alpha#" "mount /dev/reprise0 $PG_MOUNT" pg_mount alpha || fail "cannot be mounted"
shown "alpha\$" "initdb" pg_init alpha || fail "no database"
shown "alpha\$" "pg_ctl start" pg_start alpha || fail "PostgreSQL does not start"
shown "alpha\$" "pgbench -i" pg_tables alpha || fail "no tables"

step "pgbench: four clients"
say "As soon as a COMMIT has returned, the client writes the transaction's number to a file" \
	"outside of both machines: the list of what was promised."
pg_load alpha 4
progress

step "alpha's plug is pulled, in the middle of the load"
vm_cut alpha "$SEED" >/dev/null || fail "the power was not cut"
say "alpha is dead. Acknowledged until then: $(ledger_count) transactions."
wait_for 60 "beta notices" status_is beta pg 'r["health"] == "degraded"' || fail "beta did not notice"
type_on beta "reprise status pg"

step "beta takes over"
type_on beta "reprise promote pg" && fail "promoted without --force"
say "Rightly refused: beta sees only silence. The setting on-peer-loss is \"alone\" (the" \
	"default), so for all that beta knows alpha may live, cut off, and go on taking" \
	"transactions by itself; then two machines would be primary. Whoever knows that alpha is" \
	"dead - we pulled its plug - says so with --force."
type_on beta "reprise promote pg --force" || fail "beta cannot become primary"

step "PostgreSQL on beta: its own crash recovery, as after a reset"
shown "beta#" "mount /dev/reprise0 $PG_MOUNT" pg_mount beta || fail "cannot be mounted"
shown "beta\$" "pg_ctl start" pg_recover beta || fail "PostgreSQL does not recover"

step "Is everything there?"
shown "beta\$" "pg_amcheck --all --install-missing --heapallindexed" pg_amcheck beta ||
	fail "pg_amcheck found damage"
say "pg_amcheck: clean."
pg_balanced beta >"$WORK/output" || fail "a transaction is there in part: $(cat "$WORK/output")"
say "Every transaction is there wholly or not at all: $(cat "$WORK/output")"
ledger_kept "$WANTED" pg_numbers beta >"$WORK/output" || fail "$(cat "$WORK/output")"
vm_check_dmesg || fail "a kernel complained"

acked=$(wc -l <"$WORK/promised")
DONE=1
printf '\nnothing lost: %d acknowledged transactions, all %d found (%d:%02d minutes)\n' \
	"$acked" "$acked" $(((SECONDS - BEGAN) / 60)) $(((SECONDS - BEGAN) % 60))
