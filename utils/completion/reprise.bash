# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2207
# Completion of reprise(8): commands, their options, resources, peers.
# tests/unit/test_man.sh compares the words here with what the command says.

_reprise_config_dir() {
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == --config-dir ]]; then
			printf '%s\n' "${COMP_WORDS[i + 1]}"
			return
		fi
	done
	printf '%s\n' /etc/reprise
}

_reprise_resources() {
	local file dir
	dir=$(_reprise_config_dir)
	for file in "$dir"/*.conf; do
		[[ -e $file ]] || continue
		file=${file##*/}
		printf '%s\n' "${file%.conf}"
	done
}

# The nodes of a resource; own is among them, which does not hurt.
_reprise_nodes() {
	local dir
	dir=$(_reprise_config_dir)
	sed -n 's/^[[:space:]]*node[[:space:]]\+"\?\([A-Za-z0-9_.-]*\)"\?.*/\1/p' \
		"$dir/$1.conf" 2>/dev/null
}

_reprise_options() {
	local common="--json --config-dir --run-dir --node --help"
	case $1 in
	create) echo "--keep-data --blank --force --yes $common" ;;
	destroy) echo "--force --yes $common" ;;
	up) echo "--all $common" ;;
	down) echo "--all --force --timeout $common" ;;
	promote | demote) echo "--force --timeout $common" ;;
	status) echo "--watch --check $common" ;;
	dump) echo "--segment-size $common" ;;
	*) echo "$common" ;;
	esac
}

# Arguments so far, without options and their values: into the array "arguments".
_reprise_arguments() {
	local i
	arguments=()
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--config-dir | --run-dir | --node | --timeout | --segment-size | -n) ((i++)) ;;
		-*) ;;
		*) arguments+=("${COMP_WORDS[i]}") ;;
		esac
	done
}

_reprise_words() {
	local command=$1
	case $command,${#arguments[@]} in
	dump,0) echo "frames log meta" ;;
	key,0) echo "rotate" ;;
	key,1) _reprise_resources ;;
	connect,1 | disconnect,1) _reprise_nodes "${arguments[0]}" ;;
	new,* | events,[1-9]* | version,* | dump,*) ;;
	*,0) _reprise_resources ;;
	esac
}

_reprise() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]}
	local commands="new create destroy up down reload connect disconnect status promote
		demote freeze resume events log dump key version"
	local -a arguments

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W "$commands --help --version" -- "$cur"))
		return
	fi
	case $prev in
	--config-dir | --run-dir)
		COMPREPLY=($(compgen -d -- "$cur"))
		return
		;;
	--node | -n | --timeout | --segment-size)
		return
		;;
	esac
	_reprise_arguments
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$(_reprise_options "$command")" -- "$cur"))
	elif [[ $command == dump && ${#arguments[@]} -eq 1 ]]; then
		COMPREPLY=($(compgen -f -- "$cur"))
	else
		COMPREPLY=($(compgen -W "$(_reprise_words "$command")" -- "$cur"))
	fi
}

complete -F _reprise reprise
