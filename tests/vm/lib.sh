# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The test machine for tests that run on the host and drive one to three guests:
#
#	. tests/vm/lib.sh
#	vm_init --guests 2
#	vm_start a --disk data:256M:powercut
#	vm_start b --kernel 6.1
#	vm_exec a "ping -c 1 $(vm_ip b)"
#
# Each function is described in README. All state is in the session's process
# (session.py), which ends with this shell, however that ends.

VM_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VM_TOP=$(cd "$VM_DIR/../.." && pwd)
VM_PYTHON=(/usr/bin/python3 -B)
VM_SOCKET=
VM_SESSION_PID=

trap vm_end EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

vm_say()
{
	echo "# vm: $*" >&2
}

# Ends the test: the machine failed, which is not a result of the test.
vm_fatal()
{
	vm_say "$*"
	exit 125
}

# vm_init [--guests N] [--time-limit S]: waits for the guests' slots. The limit
# counts from when they are there. vm_start does it for one guest if need be.
vm_init()
{
	local guests=1 limit=${REPRISE_VM_TIME_LIMIT:-1200}

	while [ $# -gt 0 ]; do
		case $1 in
		--guests) guests=$2 ;;
		--time-limit) limit=$2 ;;
		*) vm_fatal "vm_init: unknown option $1" ;;
		esac
		shift 2
	done
	[ -z "$VM_SOCKET" ] || vm_fatal "vm_init: the session exists"
	[ "$(id -u)" = 0 ] || {
		vm_say "root is needed"
		exit 4
	}
	vm_build
	local title=${VM_TITLE:-$(basename "$0")} fd
	exec {fd}< <(exec "${VM_PYTHON[@]}" "$VM_DIR/session.py" $$ "$guests" \
		"$limit" "$title" </dev/null)
	VM_SESSION_PID=$!
	read -r VM_SOCKET <&"$fd" || vm_fatal "the session did not start"
	exec {fd}<&-
}

# The compiled parts, once per tree at a time.
vm_build()
{
	local dir=${REPRISE_BUILD:-$VM_TOP/build}

	mkdir -p "$dir/tests/vm"
	(
		flock 9
		make -s -C "$VM_TOP" -f tests/vm/Makefile O="$dir" vm-tools
	) 9>"$dir/tests/vm/.lock" || vm_fatal "cannot build the test machine"
}

# vm_close [STATUS]: ends the session now; 125 if a guest died unnoticed. The
# evidence is kept if STATUS is not 0.
vm_close()
{
	local status=0

	[ -n "$VM_SOCKET" ] || return 0
	vm_request quit "${1:-0}" || status=125
	wait "$VM_SESSION_PID" || :
	VM_SOCKET=
	return $status
}

# The trap. A test that has more to clean up defines vm_cleanup.
vm_end()
{
	local status=$?

	trap - EXIT
	if [ "$BASHPID" = $$ ]; then
		if declare -F vm_cleanup >/dev/null; then
			vm_cleanup || :
		fi
		vm_close "$status" || {
			[ "$status" != 0 ] || status=125
		}
	fi
	exit "$status"
}

vm_request()
{
	"${VM_PYTHON[@]}" "$VM_DIR/client.py" "$VM_SOCKET" "$@"
}

vm_start()
{
	[ -n "$VM_SOCKET" ] || vm_init --guests 1
	vm_request start "$@"
}

vm_boot() { vm_request boot "$@"; }
vm_exec() { vm_request exec "$@"; }
vm_spawn() { vm_request spawn "$@"; }
vm_wait() { vm_request wait "$@"; }
vm_kill() { vm_request kill "$@"; }
vm_cut() { vm_request cut "$@"; }
vm_stop() { vm_request stop "$@"; }
vm_pause() { vm_request pause "$@"; }
vm_resume() { vm_request resume "$@"; }
vm_alive() { vm_request alive "$@"; }
vm_expect_end() { vm_request expect_end "$@"; }
vm_wait_end() { vm_request wait_end "$@"; }
vm_net() { vm_request net "$@"; }
vm_ip() { vm_request ip "$@"; }
vm_info() { vm_request info; }
vm_disk_file() { vm_request disk_file "$@"; }
vm_disk_control() { vm_request disk_control "$@"; }
vm_expect_dmesg() { vm_request expect_dmesg "$@"; }
vm_check_dmesg() { vm_request check_dmesg "$@"; }

# The log of a guest that runs, or what the console kept of one that does not.
vm_dmesg()
{
	if vm_alive "$1"; then
		vm_exec "$1" --timeout 60 dmesg
	else
		vm_request console "$1"
	fi
}
