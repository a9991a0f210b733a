# SPDX-License-Identifier: GPL-2.0
# The debug kernel, from the cache or made now, and the module for it.
check check-all check-debug: debug-kernel

debug-kernel: deps-quiet
	REPRISE_BUILD=$(abspath $(BUILD)) tests/debug-kernel/build.sh
	$(MAKE) $(BUILD)/kmod/$$(cat $(BUILD)/kernels/debug/release)/reprise.ko \
		KERNEL_BUILD=$(abspath $(BUILD))/kernels/debug/tree
.PHONY: debug-kernel
