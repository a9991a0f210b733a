# SPDX-License-Identifier: GPL-2.0
# Tools of the in-guest tests: one source file each.
GUEST_TOOLS := $(patsubst tests/guest/%.c,$(BUILD)/tests/%,$(wildcard tests/guest/*.c))
test-guest-tools: $(GUEST_TOOLS)
.PHONY: test-guest-tools
TEST_TOOLS += $(GUEST_TOOLS)
$(GUEST_TOOLS): $(BUILD)/tests/%: tests/guest/%.c
	@mkdir -p $(dir $@)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $< -lmnl -lpthread
