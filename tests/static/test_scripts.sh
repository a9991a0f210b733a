#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Scripts: shellcheck, and Python that Python can read and that has no name
# which is not defined.
# shellcheck source=tests/static/common.sh
. "$(dirname "$0")/common.sh"

# interpreted WORD: files of the repository with it in their first line
interpreted() {
	files '*' | while read -r f; do
		head -c 64 "$f" | head -n 1 | tr -d '\0' | grep -q "^#!.*\b$1\b" && echo "$f"
	done
}

# SC1091: a file that is sourced and only there once it is built.
# SC1007: an empty value.
# SC2015: A && B || C, where B is an assignment or says something.
# SC2016: programs of awk and python in single quotes.
# SC2001, SC2012, SC2119: sed, ls and a function's arguments where they are meant.
# SC2115: variables that are set, or set -u ends it.
# SC2034, SC2154: variables of files that source each other.
shell_clean() {
	{ interpreted '\(ba\)\?sh'; files 'tests/*common.sh' tests/vm/lib.sh 'tests/*.sh' \
		'utils/completion/*'; } | sort -u |
		xargs shellcheck -s bash -x -P SCRIPTDIR -f gcc \
			-e SC1007,SC1091,SC2001,SC2012,SC2015,SC2016,SC2034,SC2115,SC2119,SC2154
}

python_clean() {
	{ interpreted python3; files '*.py'; } | sort -u | xargs /usr/bin/python3 -B -c '
import ast, sys
for path in sys.argv[1:]:
	ast.parse(open(path).read(), path)'
}

# Python of the machine, not one that happens to be first in the path.
python_of_debian() {
	interpreted python3 | xargs -r grep -LE '^#!/usr/bin/python3( |$)'
}

ktap_print_header
ktap_set_plan 3
clean "shellcheck" shell_clean
clean "Python syntax" python_clean
clean "Debian's Python" python_of_debian
ktap_finished
