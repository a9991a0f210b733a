#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tests: own-boot --mem 2048
# make install on this machine, as without DKMS: modprobe finds the module,
# everything works from where Debian looks for it; make uninstall takes it all
# back and leaves the configuration.
# shellcheck source=tests/guest/common.sh
. "$(dirname "$0")/common.sh"

# modprobe, not insmod: by name, from where depmod looks.
module_works() {
	local path

	path=$(modinfo -n reprise) && [ "$path" = "$1" ] || { echo "# $path, not $1"; return 1; }
	quietly modprobe reprise && [ -d /sys/module/reprise ] && rmmod reprise
}

version_is_told() {
	/usr/sbin/reprise version | grep -qF "$(modinfo -F version reprise)"
}

man_pages() {
	local page

	for page in 8/reprise 8/reprised 5/reprise.conf 7/reprise; do
		[ -s "/usr/share/man/man${page%/*}/${page#*/}.${page%/*}" ] || return 1
	done
}

completion() {
	# shellcheck source=/dev/null
	. /usr/share/bash-completion/completions/reprise
	[ "$(complete -p reprise)" = "complete -F _reprise reprise" ]
}

units() {
	systemd-analyze verify --man=no /lib/systemd/system/reprise{d,-resources,@pg}.service 2>&1 |
		grep -i reprise | grep . && return 1
	[ "$(grep -v '^#' /usr/lib/modules-load.d/reprise.conf)" = reprise ] &&
		[ -s /lib/udev/rules.d/59-reprise.rules ]
}

# As far as it can be read without the disks that it names.
example() {
	install -D -m 0600 -t /etc/reprise /usr/share/doc/reprise/examples/pg.conf
	/usr/sbin/reprise status --node alpha | grep -q '^pg: '
}

nothing_left() {
	find /usr/sbin /usr/share/man /usr/share/bash-completion /usr/lib/systemd /usr/lib/udev \
		/usr/lib/modules-load.d "/lib/modules/$(uname -r)/updates" /usr/src \
		/usr/share/doc/reprise -maxdepth 3 -name '*reprise*' 2>/dev/null >"$WORK/left"
	sed 's/^/# left: /' "$WORK/left"
	[ ! -s "$WORK/left" ] && [ -s /etc/reprise/pg.conf ] && ! modinfo -n reprise 2>/dev/null
}

ktap_print_header
ktap_set_plan 8
mkdir -p "$WORK"
result "make install" quietly make -C "$TOP" DKMS= install
result "modprobe reprise" module_works "/lib/modules/$(uname -r)/updates/reprise.ko"
result "version" version_is_told
result "man pages" man_pages
result "completion" completion
result "units, udev rule, modules-load" units
result "example of a configuration" example
quietly make -C "$TOP" DKMS= uninstall
result "uninstall leaves the configuration only" nothing_left
ktap_finished
