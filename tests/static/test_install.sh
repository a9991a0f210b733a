#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make install below a DESTDIR: all is there, DKMS can build and install the
# module from what is there, make uninstall takes it back.
# shellcheck source=tests/static/common.sh
. "$(dirname "$0")/common.sh"
dest=$(mktemp -d /tmp/test_install.XXXXXX)
trap 'rm -rf "$dest"' EXIT
kernel=$(basename "$(dirname "$(printf '%s\n' /lib/modules/*/build | sort -V | tail -n 1)")")
version=$(sed -n 's/^VERSION := //p' Makefile)
root=$dest/root

# quietly COMMAND...: its output only if it fails
quietly() {
	"$@" >"$dest/out" 2>&1 || { tail -n 20 "$dest/out"; return 1; }
}

make_it() {
	quietly make BUILD="$BUILD" DESTDIR="$root" INSTALL_KERNELS="$kernel" "$@"
}

# What Debian expects where; one of each kind.
complete_install() {
	local f

	for f in usr/sbin/reprise{,d} usr/share/man/man{8/reprise.8,8/reprised.8,7/reprise.7} \
		usr/share/man/man5/reprise.conf.5 usr/share/bash-completion/completions/reprise \
		lib/systemd/system/reprise{d,@,-resources}.service lib/udev/rules.d/59-reprise.rules \
		usr/lib/modules-load.d/reprise.conf usr/share/doc/reprise/examples/pg.conf \
		"lib/modules/$kernel/updates/reprise.ko" "usr/src/reprise-$version/dkms.conf"; do
		[ -s "$root/$f" ] || echo "$f is missing"
	done
	[ -d "$root/etc/reprise" ] || echo "etc/reprise is missing"
}

# Every file of the module, and nothing that is built.
dkms_source() {
	diff <(cd "$root/usr/src/reprise-$version" && find . -type f | sort) \
		<({ files 'kmod/*'; printf '%s\n' Kbuild dkms.conf; } | sed 's|^|./|' | sort)
}

example() {
	install -D -m 0600 -t "$dest/etc" "$root/usr/share/doc/reprise/examples/pg.conf"
	"$root/usr/sbin/reprise" status --config-dir "$dest/etc" --run-dir "$dest" --node alpha |
		grep -q '^pg: '
}

dkms_with() {
	local verb=$1

	shift
	quietly dkms "$verb" "reprise/$version" -k "$kernel" --dkmstree "$dest/dkms" \
		--sourcetree "$root/usr/src" --installtree "$dest/modules" "$@"
}

dkms_works() {
	mkdir -p "$dest/dkms" "$dest/modules/$kernel"
	dkms_with add && dkms_with build --no-clean-kernel && dkms_with install --no-depmod || return 1
	find "$dest/modules" -name 'reprise.ko*' | grep -q . || echo "DKMS installed nothing"
}

uninstalled() {
	make_it uninstall
	find "$root" -type f -o -type l
}

ktap_print_header
ktap_set_plan 6
clean "make install" make_it install
clean "everything is there" complete_install
clean "source for DKMS" dkms_source
clean "the example is a configuration" example
if command -v dkms >/dev/null; then
	clean "DKMS builds and installs it" dkms_works
else
	ktap_test_skip "DKMS builds and installs it (no dkms)"
fi
clean "make uninstall" uninstalled
ktap_finished
