# SPDX-License-Identifier: GPL-2.0
# The kernel's netlink tools, from Debian's source package.  They look for the
# tree that they are part of by its file MAINTAINERS.

TEST_TOOLS += $(BUILD)/ynl/.done
$(BUILD)/ynl/.done: $(LINUX_TAR)
	@mkdir -p $(BUILD)/ynl
	tar -xJf $< -C $(BUILD)/ynl --strip-components=1 --wildcards \
		'linux-source-6.12/Documentation/netlink/*.yaml' linux-source-6.12/tools/net/ynl \
		linux-source-6.12/MAINTAINERS
	@touch $@
