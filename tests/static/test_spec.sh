#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The netlink specification satisfies the kernel's schema, and says the same
# as the header and the module. The kernel's own generator reads it.
# shellcheck source=tests/static/common.sh
. "$(dirname "$0")/common.sh"
spec=Documentation/netlink/specs/reprise.yaml
ynl=$TOP/$BUILD/ynl
out=$(mktemp -d /tmp/test_spec.XXXXXX)
trap 'rm -rf "$out"' EXIT

# The generator finds the schema beside the specification.
generate() {
	mkdir -p "$out/Documentation/netlink/specs" && touch "$out/MAINTAINERS" &&
	cp "$ynl"/Documentation/netlink/*.yaml "$out/Documentation/netlink/" &&
	cp "$spec" "$out/Documentation/netlink/specs/" &&
	for mode in "uapi --header -o $out/spec.h" "kernel --source -o $out/spec.c" \
		    "user --header -o $out/user.h"; do
		# shellcheck disable=SC2086
		timeout 60 /usr/bin/python3 -B "$ynl/tools/net/ynl/ynl-gen-c.py" --mode $mode \
			--spec "$out/Documentation/netlink/specs/reprise.yaml" || return 1
	done
}

ktap_print_header
ktap_set_plan 6
clean "specification satisfies the schema, code can be generated" generate
for check in names constants policies requests operations; do
	clean "$check" /usr/bin/python3 -B tests/static/spec.py "$check" "$spec" "$out/spec"
done
ktap_finished
