#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The documentation against the tree: links lead somewhere, files that are
# named exist, every command, state, event, error code and member of the JSON
# that the code knows is explained, and spelling.
# shellcheck disable=SC2016 # backquotes are what is looked for
set -u
cd "$(dirname "$0")/../.." || exit 4
reprise=${REPRISE:-build/reprise}
operating=Documentation/operating.md
formats=Documentation/formats.md
# shellcheck source=/dev/null
. build/kselftest/ktap_helpers.sh

pages=(README.md Documentation/*.md)

# What a heading's anchor is, as the usual viewers make it.
anchors() {
	grep -E '^#+ ' "$1" | sed -E 's/^#+ //; s/`//g' | tr '[:upper:]' '[:lower:]' |
		sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

links() {
	sed '/^```/,/^```/d' "$1" | grep -oE '\]\([^)]+\)' | sed -E 's/^\]\(//; s/\)$//' |
		grep -vE '^(https?|mailto):'
}

check_links() {
	local page=$1 link file bad=0

	while read -r link; do
		file=${link%%#*}
		file=$(dirname "$page")/$file
		[ -n "${link%%#*}" ] || file=$page
		if [ ! -e "$file" ]; then
			echo "# $page: $link does not exist"
			bad=1
		elif [[ $link == *#* ]] && ! anchors "$file" | grep -qxF -- "${link#*#}"; then
			echo "# $page: $link: no such heading"
			bad=1
		fi
	done < <(links "$page")
	return $bad
}

# `kmod/stream.c`, `tests/vm/README`: paths of the tree, patterns excepted.
check_paths() {
	local page=$1 path bad=0

	while read -r path; do
		[ -e "$path" ] && continue
		echo "# $page names $path, which does not exist"
		bad=1
	done < <(grep -oE '`(kmod|agent|utils|tests|Documentation)/[A-Za-z0-9_./-]+`' "$page" |
		 tr -d '`' | sort -u)
	return $bad
}

# `reprise_stream_submit()` in kmod/stream.c: every function that is named is there.
check_functions() {
	local page=$1 name bad=0

	while read -r name; do
		grep -qrw -- "$name" kmod agent utils tests --include='*.[ch]' --include='*.sh' &&
			continue
		echo "# $page names $name(), which does not exist"
		bad=1
	done < <(grep -oE '`[a-z_0-9]+\(\)`' "$page" | tr -d '`()' | sort -u)
	return $bad
}

# has FILE WORD...: each stands in the page as `WORD`
has() {
	local file=$1 word bad=0

	shift
	for word; do
		grep -qF -- "\`$word\`" "$file" && continue
		echo "# '$word' is not explained in $file"
		bad=1
	done
	return $bad
}

quoted() {
	grep -oE '"[^"]+"' | tr -d '"'
}

# The words between a function's braces in a file: in_function NAME FILE
in_function() {
	sed -n "/^[a-z].*\b$1(/,/^}/p" "$2"
}

check_commands() {
	local name bad=0

	for name in $("$reprise" --help | sed -n 's/^  \([a-z]\+\) .*/\1/p'); do
		grep -qx "### $name" $operating || {
			echo "# $operating has no section on 'reprise $name'"
			bad=1
		}
	done
	return $bad
}

check_options() {
	local name option bad=0

	for name in $("$reprise" --help | sed -n 's/^  \([a-z]\+\) .*/\1/p'); do
		for option in $("$reprise" "$name" --help |
				sed -n 's/^  .. *\(--[a-z-]*\).*/\1/p; s/^  -.,  *\(--[a-z-]*\).*/\1/p'); do
			case $option in
			--json | --config-dir | --run-dir | --node | --help) continue ;;
			esac
			sed -n "/^### $name\$/,/^##* /p" $operating | grep -q -- "$option" && continue
			[ "$option" = --force ] && grep -q "$name.* --force" $operating && continue
			echo "# $operating: 'reprise $name $option' is not explained"
			bad=1
		done
	done
	return $bad
}

# Commands in examples and in text are commands that exist.
check_invented() {
	local name bad=0

	while read -r name; do
		"$reprise" --help | grep -q "^  $name " && continue
		echo "# 'reprise $name' is documented and does not exist"
		bad=1
	done < <(grep -ohE '(^|[`# ])reprise [a-z]+ (--[a-z]|pg|RES|rotate|meta|log|frames)' "${pages[@]}" |
		 sed -E 's/.*reprise ([a-z]+) .*/\1/' | sort -u)
	return $bad
}

words_of() {
	local -a words

	mapfile -t words < <("$@" | sort -u)
	[ ${#words[@]} -gt 0 ] || { echo "# no words found: $*"; return 1; }
	has "$page" "${words[@]}"
}

states() { in_function meta_state_name agent/meta.c | quoted; }
forks() { in_function meta_fork_name agent/meta.c | quoted; }
connections() { in_function connection_name agent/status.c | quoted; }
replications() {
	in_function replication_name agent/status.c | quoted
	in_function kernel_peer utils/status_local.c | grep -E '^\s*\[REPRISE_PEER' | quoted
}
healths() { in_function status_json agent/status.c | grep 'words\[\] = ' | quoted; }
settings() {
	in_function durability_name agent/conf.c | quoted
	in_function on_peer_loss_name agent/conf.c | quoted
}
events() {
	grep -hoE 'node_say\([^"]*"[a-z-]+"' agent/*.c | quoted
	grep -hoE '"(frozen|resumed)"' agent/node.c | quoted
	in_function say_decision agent/node.c | grep -E '^\s*\[MEET' | quoted
}
codes() {
	grep -hoE '(ctl_fail\(req|\bfail\(node|\bfail\(store, [^,]+|set_error\(node|refuse\(v|say_error\(), *"[a-z-]+"' \
		agent/*.c utils/*.c | grep -oE '"[a-z-]+"$' | quoted
	grep -hoE 'say_error\($' -A1 utils/*.c | grep -oE '"[a-z-]+"' | quoted
	grep -hoE 'say_error\( *"[a-z-]+"' utils/*.c | quoted
}
members() {
	grep -hoE '(set_u64|set_text|json_object_set_new)\([a-z]+, "[a-z_0-9]+"' agent/status.c | quoted
}

ktap_print_header
ktap_set_plan $((3 * ${#pages[@]} + 13))
for page in "${pages[@]}"; do
	ktap_test_result "links of $page" check_links "$page"
	ktap_test_result "paths in $page" check_paths "$page"
	ktap_test_result "functions in $page" check_functions "$page"
done
ktap_test_result "every command has its section" check_commands
ktap_test_result "every option is explained" check_options
ktap_test_result "no command is invented" check_invented
page=$operating
ktap_test_result "states of a store" words_of states
ktap_test_result "kinds of forks" words_of forks
ktap_test_result "words for connections" words_of connections
ktap_test_result "words for replication" words_of replications
ktap_test_result "words for health" words_of healths
ktap_test_result "words for settings" words_of settings
ktap_test_result "events" words_of events
ktap_test_result "codes of errors" words_of codes
page=$formats
ktap_test_result "members of the status" words_of members
if command -v codespell >/dev/null; then
	ktap_test_result "spelling" codespell "${pages[@]}"
else
	ktap_test_skip "spelling (codespell is not installed)"
fi
ktap_finished
