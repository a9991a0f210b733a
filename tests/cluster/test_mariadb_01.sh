#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: long
# tests: time 450
#
# MariaDB under load loses its machine; the other one takes over. Every
# acknowledged transaction is there. Durability "write", or as MODE says.
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/cluster/mariadb.sh
. "$(dirname "$0")/mariadb.sh"

command -v mariadbd >/dev/null || skip "MariaDB is not installed"
ktap_set_plan 17
must "two guests with module and agent" cluster_start --mem 1536 --data 512M
must "resource up, durability ${MODE:=write}" resource_up db "durability=$MODE"
must "promote alpha" rp alpha promote db
must "file system" on alpha "mkfs.xfs -q /dev/reprise0"
must "mount" db_mount alpha
must "install" db_init alpha
must "MariaDB starts" db_start alpha
must "tables" db_tables alpha
# A thin line: much is under way when the power goes.
vm_net alpha rate 3mbit
db_load alpha 4
must "load runs" wait_for 120 "transactions" ledger_at_least $((100 + SEED % 100))
must "alpha loses power, beta takes over" take_over db alpha beta
must "mount" db_mount beta
must "MariaDB recovers" db_recover beta
result "every acknowledged transaction is there" ledger_kept 100 db_numbers beta
result "a missing transaction would be noticed" ledger_notices_loss
result "every transaction is whole" db_balanced beta
result "every table is in order" db_check beta
finish
