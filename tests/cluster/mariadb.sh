# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2016 # the guests' shells expand, not this one
#
# Debian's MariaDB on a mirrored device. The load moves money between accounts:
# in each transaction two balances change and a row with its number is written.
# shellcheck source=tests/cluster/ledger.sh
. "$TOP/tests/cluster/ledger.sh"
DB_MOUNT=/mnt/db
DB_ACCOUNTS=1000

# In the order of the accounts: no two transactions wait for each other.
cat >"$WORK/load.awk" <<AWK
BEGIN {
	srand(seed)
	for (n = 1;; n++) {
		from = 1 + int(rand() * ($DB_ACCOUNTS - 1))
		to = from + 1 + int(rand() * ($DB_ACCOUNTS - from))
		sum = int(rand() * 2000) - 1000
		number = sprintf("%d%014d", client, n)
		print "BEGIN;"
		print "UPDATE account SET balance = balance - (" sum "), moves = moves + 1 WHERE id = " from ";"
		print "UPDATE account SET balance = balance + (" sum "), moves = moves + 1 WHERE id = " to ";"
		print "INSERT INTO history VALUES (" number ", " from ", " to ", " sum ", REPEAT('r', 200));"
		print "COMMIT;"
		print "SELECT " number ";"
	}
}
AWK

# db_sql NODE STATEMENTS
db_sql() {
	vm_exec "$1" --timeout 120 mariadb --no-defaults -u root -S /tmp/mariadb.sock -N -B -e "$2"
}

db_mount() {
	on "$1" 'mkdir -p "$0" && mount /dev/reprise0 "$0"' "$DB_MOUNT"
}

# Aria writes the system's tables without syncing them: what the installation wrote is settled first.
db_init() {
	LIMIT=240 on "$1" 'mkdir -p "$0/data" && chown mysql: "$0/data" &&
		{ mariadb-install-db --no-defaults --user=mysql --datadir="$0/data" --skip-test-db \
			--innodb-log-file-size=16M --auth-root-authentication-method=normal \
			>/tmp/install.log 2>&1 || { tail /tmp/install.log; exit 1; } } && sync -f "$0"' "$DB_MOUNT"
}

# db_start NODE: small buffers; what makes a COMMIT durable is as Debian has it
db_start() {
	vm_spawn "$1" "$WORK/mariadb-$1" mariadbd --no-defaults --user=mysql \
		--datadir="$DB_MOUNT/data" --socket=/tmp/mariadb.sock --skip-networking \
		--innodb-buffer-pool-size=16M --innodb-log-file-size=16M >/dev/null
	wait_for 120 "MariaDB on $1" db_sql "$1" "SELECT 1"
}

# db_recover NODE: starts on what the cut left, and says what MariaDB said about it
db_recover() {
	db_start "$1" && grep -E "crash recovery|ready for connections|ERROR" "$WORK/mariadb-$1" | cut -c1-200
	grep -q "crash recovery" "$WORK/mariadb-$1"
}

db_tables() {
	db_sql "$1" "CREATE DATABASE bank; USE bank;
		CREATE TABLE account (id INT PRIMARY KEY, balance BIGINT, moves BIGINT) ENGINE=InnoDB;
		CREATE TABLE history (number BIGINT PRIMARY KEY, source INT, target INT, amount INT,
			filler CHAR(200)) ENGINE=InnoDB;
		INSERT INTO account SELECT seq, 0, 0 FROM seq_1_to_$DB_ACCOUNTS"
}

# db_load NODE CLIENTS: begins it, in the background
db_load() {
	local i

	vm_exec "$1" --stdin "cat >/tmp/load.awk" <"$WORK/load.awk"
	for ((i = 1; i <= $2; i++)); do
		vm_spawn "$1" "$LEDGER" "awk -v seed=$((SEED + i)) -v client=$i -f /tmp/load.awk |
			mariadb --no-defaults -u root -S /tmp/mariadb.sock -N -B -n bank" >/dev/null
	done
}

# db_numbers NODE: of the transactions that its database holds
db_numbers() { db_sql "$1" "SELECT number FROM bank.history"; }

# db_balanced NODE: every transaction is there wholly or not at all
db_balanced() {
	local sums

	sums=$(db_sql "$1" "SELECT SUM(balance), SUM(moves), (SELECT 2 * COUNT(*) FROM bank.history),
		COUNT(*) FROM bank.account" | tr '\t' ' ') || return 1
	echo "balance, moves, twice the transactions, accounts: $sums"
	[[ $sums =~ ^0\ ([0-9]+)\ ([0-9]+)\ $DB_ACCOUNTS$ ]] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
}

# db_check NODE: every row and index of every table
db_check() {
	LIMIT=200 on "$1" 'mariadb-check --no-defaults -u root -S /tmp/mariadb.sock --all-databases \
		--extended >/tmp/check; status=$?; grep -v " OK$" /tmp/check; echo "$(grep -c " OK$" /tmp/check) tables in order"
		[ $status = 0 ] && ! grep -qvE " OK$" /tmp/check'
}
