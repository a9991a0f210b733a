#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Command, manual and completion say the same: every command and option that
# `reprise --help` knows is in reprise(8) and in the completion, and the other
# way round; every setting is in reprise.conf(5); the pages format cleanly.
set -u
cd "$(dirname "$0")/../.." || exit 4
reprise=${REPRISE:-build/reprise}
reprised=${REPRISED:-build/reprised}
man=Documentation/man
# shellcheck source=/dev/null
. build/kselftest/ktap_helpers.sh
# shellcheck source=/dev/null
. utils/completion/reprise.bash

commands=$("$reprise" --help | sed -n 's/^  \([a-z]\+\) .*/\1/p')
common="config-dir help json node run-dir"

# The options that a command's own help shows, sorted.
options_of() {
	"$reprise" "$1" --help | sed -n 's/^  .. *--\([a-z-]*\).*/\1/p;s/^  -.,  *--\([a-z-]*\).*/\1/p' |
		sort -u
}

# The part of reprise(8) on a command, hyphens unescaped.
section_of() {
	awk -v command="$1" -v all=" ${commands//$'\n'/ } " '
		/^\.B[IR]? / {
			name = $2
			gsub(/"/, "", name)
			if (index(all, " " name " ") && name == $2 || $2 == "\"" name) {
				if (index(all, " " name " "))
					on = name == command
			}
		}
		/^\.SH/ { on = 0 }
		on { gsub(/\\-/, "-"); print }' "$man/reprise.8"
}

in_section() {
	grep -qE -- "--$2\\b" <<<"$(section_of "$1")"
}

specific() {
	comm -23 <(options_of "$1") <(tr ' ' '\n' <<<"$common")
}

# What a command's section documents and its help does not know.
invented() {
	comm -13 <(options_of "$1") <(section_of "$1" | grep -v '^\.B force' | grep '^\.B' |
		grep -oE -- '--[a-z-]+' | sed 's/^--//' | sort -u)
}

completed() {
	_reprise_options "$1" | tr ' ' '\n' | sed 's/^--//' | sort -u
}

check_command() {
	local option bad=0
	[ -n "$(section_of "$1")" ] || { echo "# no section"; return 1; }
	for option in $(specific "$1"); do
		in_section "$1" "$option" || { echo "# $1 --$option is not in reprise(8)"; bad=1; }
	done
	for option in $(invented "$1"); do
		echo "# reprise(8) has $1 --$option, the command has not"
		bad=1
	done
	diff <(options_of "$1") <(completed "$1") | sed 's/^/# completion: /' | grep . && bad=1
	return $bad
}

check_common() {
	local option
	for option in $common; do
		sed 's/\\-/-/g' "$man/reprise.8" | sed -n '/^.SH OPTIONS OF ALL/,/^.SH COMMANDS/p' |
			grep -q -- "--$option" || return 1
	done
}

check_completed_commands() {
	local -a COMP_WORDS=(reprise "") COMPREPLY=()
	local COMP_CWORD=1
	_reprise
	diff <(sort <<<"$commands") <(printf '%s\n' "${COMPREPLY[@]}" | grep -v '^--' | sort)
}

check_completed_names() {
	local dir
	local -a COMP_WORDS COMPREPLY=()
	local COMP_CWORD
	dir=$(mktemp -d /tmp/test_man.XXXXXX)
	printf 'node alpha {\n}\nnode "beta" {\n}\n' >"$dir/pg.conf"
	COMP_WORDS=(reprise connect --config-dir "$dir" "")
	COMP_CWORD=4
	_reprise
	[ "${COMPREPLY[*]}" = pg ] || return 1
	COMP_WORDS=(reprise connect --config-dir "$dir" pg b)
	COMP_CWORD=5
	_reprise
	rm -rf "$dir"
	[ "${COMPREPLY[*]}" = beta ]
}

check_settings() {
	local name bad=0
	for name in $(sed -n '/noted_settings\[\] = {/,/};/p' agent/conf.c | grep -o '"[^"]*"' |
		      tr -d '"' | sed 's/.*|//'); do
		sed 's/\\-/-/g' "$man/reprise.conf.5" | grep -qw -- "$name" || {
			echo "# $name is not in reprise.conf(5)"
			bad=1
		}
	done
	return $bad
}

check_agent() {
	local option bad=0
	for option in $("$reprised" --help | grep -oE -- '--[a-z-]+' | sort -u); do
		sed 's/\\-/-/g' "$man/reprised.8" | grep -q -- "$option" || {
			echo "# $option is not in reprised(8)"
			bad=1
		}
	done
	return $bad
}

check_format() {
	! groff -man -Tutf8 -ww -z "$1" 2>&1 | grep .
}

ktap_print_header
pages=("$man"/*.[1-9])
# shellcheck disable=SC2086
set -- $commands
ktap_set_plan $(($# + ${#pages[@]} + 5))
for command; do
	ktap_test_result "$command" check_command "$command"
done
for page in "${pages[@]}"; do
	ktap_test_result "format of ${page##*/}" check_format "$page"
done
ktap_test_result "common options" check_common
ktap_test_result "completion of commands" check_completed_commands
ktap_test_result "completion of resources and peers" check_completed_names
ktap_test_result "settings" check_settings
if [ -x "$reprised" ]; then
	ktap_test_result "options of the agent" check_agent
else
	ktap_test_skip "options of the agent (not built)"
fi
ktap_finished
