#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: time 450
# As test_postgres_01.sh with durability "flush": a write is local, a COMMIT is not.
MODE=flush
. "$(dirname "$0")/test_postgres_01.sh"
