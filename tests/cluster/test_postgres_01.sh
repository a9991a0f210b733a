#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: time 450
# tests: mixed
#
# PostgreSQL under pgbench loses its machine; the other one takes over. Every
# acknowledged transaction is there. Durability "write", or as MODE says.
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/cluster/postgres.sh
. "$(dirname "$0")/postgres.sh"

[ -n "$PG_BIN" ] || skip "PostgreSQL is not installed"
ktap_set_plan 18
must "two guests with module and agent" cluster_start --mem 1536 --data 512M
must "resource up, durability ${MODE:=write}" resource_up pg "durability=$MODE"
must "promote alpha" rp alpha promote pg
must "durability $MODE is in force" status_is alpha pg "r['durability'] == '$MODE'"
must "file system" pg_mkfs alpha
must "mount" pg_mount alpha
must "initdb" pg_init alpha
must "PostgreSQL starts" pg_start alpha
must "tables" pg_tables alpha
# A thin line: much is under way when the power goes.
vm_net alpha rate 3mbit
pg_load alpha 4
must "load runs" wait_for 120 "transactions" ledger_at_least $((80 + SEED % 80))
must "alpha loses power, beta takes over" take_over pg alpha beta
must "mount" pg_mount beta
must "PostgreSQL recovers" pg_recover beta
result "every acknowledged transaction is there" ledger_kept 80 pg_numbers beta
result "a missing transaction would be noticed" ledger_notices_loss
result "every transaction is whole" pg_balanced beta
result "pg_amcheck" pg_amcheck beta
finish
