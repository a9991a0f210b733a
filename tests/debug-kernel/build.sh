#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the debug kernel of config from Debian's linux-source-6.12, unless the
# cache has it, and makes it known to this tree as build/kernels/debug:
#
#	vmlinuz  release  config	the kernel, its release, its configuration
#	modules/			what "modprobe" needs: /lib/modules/RELEASE
#	tree/				what building a module against it needs
#
# The cache is outside the tree (REPRISE_CACHE); its key is the source package's
# version and the configuration's hash. Two builds at once: the second waits.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
out=${REPRISE_BUILD:-$top/build}
cache=${REPRISE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/reprise}/debug-kernel
tarball=/usr/src/linux-source-6.12.tar.xz
jobs=${JOBS:-$(nproc)}

say()
{
	echo "# debug kernel: $*"
}

die()
{
	say "$*" >&2
	exit 1
}

# Every line of the configuration is in force, or the build says which is not.
check_config()
{
	local line name lost=0

	while read -r line; do
		name=${line#\# }
		name=${name%%[= ]*}
		[[ $name == CONFIG_* ]] || continue
		case $line in
		*=*) grep -qxF -- "$line" "$1" && continue ;;
		*) grep -q "^$name=" "$1" || continue ;;
		esac
		say "the kernel does not take over: $line" >&2
		lost=1
	done <"$here/config"
	return $lost
}

# Shows a line every hundred objects, for whoever waits.
run_make()
{
	nice -n 10 make -C "$tree" -j"$jobs" "$@" 2>&1 </dev/null | tee -a "$log" |
		awk '/^  (CC|AS) / && ++n % 100 == 0 {
			print "# debug kernel: " n " objects"
			fflush()
		}' || die "make $* failed: $(tail -n 30 "$log")"
}

# A module needs the headers, the scripts and objtool, not the 2 GiB around them.
thin_out()
{
	find "$tree" -mindepth 1 -maxdepth 1 ! -name arch ! -name include ! -name scripts \
		! -name tools ! -name Makefile ! -name .config ! -name Module.symvers -exec rm -rf {} +
	find "$tree/arch" -mindepth 1 -maxdepth 1 ! -name x86 -exec rm -rf {} +
	find "$tree/tools" -mindepth 1 -maxdepth 1 ! -name objtool -exec rm -rf {} +
	find "$tree" \( -name '*.o' -o -name '*.a' -o -name '.*.cmd' -o -name '*.c' \) \
		! -path "$tree/scripts/*" -delete
}

build()
{
	tree=$work/tree
	log=$work/log
	mkdir -p "$tree"
	say "unpacking the source"
	tar -xJf "$tarball" -C "$tree" --strip-components=1
	run_make tinyconfig
	cat "$here/config" >>"$tree/.config"
	run_make olddefconfig
	check_config "$tree/.config" || die "see $here/config"
	say "compiling with $jobs jobs, about ten minutes of two processors"
	run_make bzImage modules
	run_make INSTALL_MOD_PATH="$work/installed" modules_install
	make -s -C "$tree" kernelrelease >"$work/release"
	cp "$tree/arch/x86/boot/bzImage" "$work/vmlinuz"
	cp "$tree/.config" "$work/config"
	mv "$work/installed/lib/modules/$(<"$work/release")" "$work/modules"
	rm -rf "$work/installed" "$work/modules/build" "$work/log"
	thin_out
}

# Other trees may be using older ones: the four newest stay.
remove_old()
{
	find "$cache" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn |
		tail -n +5 | cut -d ' ' -f 2- | xargs -r rm -rf
}

[ -f "$tarball" ] || die "$tarball is missing: apt-get install linux-source-6.12"
version=$(dpkg-query -W -f '${Version}' linux-source-6.12)
key=$version-$(sha256sum "$here/config" | cut -c 1-12)
mkdir -p "$cache" "$out/kernels"
exec 9>"$cache/.lock"
flock 9
if [ ! -d "$cache/$key" ]; then
	work=$cache/.new
	rm -rf "$work"
	mkdir "$work"
	build
	mv "$work" "$cache/$key"
	say "$(<"$cache/$key/release") done in $SECONDS s"
	remove_old
fi
ln -sfn "$cache/$key" "$out/kernels/debug"
