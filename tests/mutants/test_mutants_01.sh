#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every seeded bug is caught by the harness that says so.
exec "$(dirname "$0")/run"
