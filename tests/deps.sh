#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Install what packages.txt names and is missing.  Quick when nothing is.
set -euo pipefail
list=${1:?usage: deps.sh packages.txt}
mapfile -t wanted < <(sed 's/#.*//' "$list" | awk 'NF')
missing=()
installed=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' 2>/dev/null | awk '$2 == "ii" { print $1 }')
for package in "${wanted[@]}"; do
	grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing: ${missing[*]}"
if [ "$(id -u)" -ne 0 ]; then
	echo "not root: run 'sudo make deps' first" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# A fresh machine must not start the databases' own servers, and has no use
# for initramfs images of kernels that are only booted in guests.
apt-get update -q
apt-get install -y -q --no-install-recommends "${missing[@]}"
