#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# packages.txt names all that building and testing need, in order.
# shellcheck source=tests/static/common.sh
. "$(dirname "$0")/common.sh"

packages() {
	files 'agent/*' 'utils/*' 'tests/*' '.ci/*' | /usr/bin/python3 -B tests/static/packages.py "$1"
}

ktap_print_header
ktap_set_plan 3
clean "in order" packages order
clean "headers" packages headers
clean "commands" packages commands
ktap_finished
