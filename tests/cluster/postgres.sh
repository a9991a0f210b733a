# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2012,SC2016 # the guests' shells expand, not this one
#
# Debian's PostgreSQL on a mirrored device: sourced by tests and by the demo.
#
# The load is pgbench's own (TPC-B), each transaction with a number of its own in
# its row of the history.
# shellcheck source=tests/cluster/ledger.sh
. "$TOP/tests/cluster/ledger.sh"
PG_MOUNT=/mnt/pg
PG_BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)

cat >"$WORK/load.sql" <<'SQL'
\set number random(100000000000000, 999999999999999)
\set aid random(1, 100000 * :scale)
\set bid random(1, 1 * :scale)
\set tid random(1, 10 * :scale)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime, filler)
	VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP, :number);
COMMIT;
\shell echo :number
SQL

# pg NODE COMMAND [ARGUMENT...]: by a shell of the user postgres
pg() {
	local node=$1

	shift
	vm_exec "$node" --timeout 240 runuser -u postgres -- env -C / "PATH=$PG_BIN:/usr/bin:/bin" \
		PGHOST=/tmp "PGDATA=$PG_MOUNT/data" bash -c "$@"
}

pg_sql() { pg "$1" 'psql -XAtq -v ON_ERROR_STOP=1 -c "$0"' "$2"; }

pg_mkfs() { on "$1" 'mkfs.ext4 -q /dev/reprise0'; }

pg_mount() {
	on "$1" 'mkdir -p "$0" && mount /dev/reprise0 "$0" && mkdir -p "$0/data" &&
		chown postgres: "$0/data"' "$PG_MOUNT"
}

pg_init() {
	pg "$1" 'initdb -A trust -E UTF8 --locale=C >/tmp/initdb.out 2>&1 || { cat /tmp/initdb.out; exit 1; }'
}

pg_start() {
	pg "$1" 'pg_ctl -s -w -t 200 -l /tmp/postgres.log \
		-o "-c shared_buffers=16MB -c unix_socket_directories=/tmp" start || { cat /tmp/postgres.log; exit 1; }'
}

# pg_recover NODE: starts on what the cut left, and says what PostgreSQL said about it
pg_recover() {
	pg_start "$1" &&
		on "$1" 'grep -E "not properly shut down|redo starts|redo done|ready to" /tmp/postgres.log' &&
		on "$1" 'grep -q "not properly shut down" /tmp/postgres.log'
}

pg_tables() { pg "$1" 'pgbench -q -i -I dtGvp -s 1 2>&1 | tail -n 1'; }

# pg_load NODE CLIENTS: begins it, in the background
pg_load() {
	vm_exec "$1" --stdin "cat >/tmp/load.sql" <"$WORK/load.sql"
	vm_spawn "$1" "$LEDGER" runuser -u postgres -- env -C / PGHOST=/tmp "$PG_BIN/pgbench" -n \
		-c "$2" -T 600 --random-seed="$SEED" -f /tmp/load.sql >/dev/null
}

# pg_numbers NODE: of the transactions that its database holds
pg_numbers() { pg_sql "$1" "SELECT trim(filler) FROM pgbench_history"; }

# pg_balanced NODE: every transaction is there wholly or not at all
pg_balanced() {
	local sums

	sums=$(pg_sql "$1" "SELECT (SELECT sum(abalance) FROM pgbench_accounts),
		(SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches),
		(SELECT sum(delta) FROM pgbench_history)") || return 1
	echo "accounts, tellers, branches, history: $sums"
	[[ $sums =~ ^(-?[0-9]+)\|(-?[0-9]+)\|(-?[0-9]+)\|(-?[0-9]+)$ ]] &&
		[ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ] &&
		[ "${BASH_REMATCH[2]}" = "${BASH_REMATCH[3]}" ] &&
		[ "${BASH_REMATCH[3]}" = "${BASH_REMATCH[4]}" ]
}

pg_amcheck() { pg "$1" 'pg_amcheck --all --install-missing --heapallindexed'; }

