# SPDX-License-Identifier: GPL-2.0
# The independent checker: shares nothing with the agent but the formats.
TEST_TOOLS += $(BUILD)/tests/tag-writer $(BUILD)/tests/log-check $(BUILD)/tests/fake-replica

checker-obj = $(patsubst %,$(BUILD)/obj-checker/%.o,$(1))

$(BUILD)/obj-checker/%.o: tests/checker/%.c tests/checker/build.mk
	@mkdir -p $(dir $@)
	$(CC) -D_GNU_SOURCE -I. $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/tests/tag-writer: $(call checker-obj,tag_writer tag crc)
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) -o $@ $^ -luring

$(BUILD)/tests/log-check: $(call checker-obj,log_check stream record tag crc)
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) -o $@ $^

$(BUILD)/tests/fake-replica: $(call checker-obj,fake_replica tag crc)
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) -o $@ $^

-include $(wildcard $(BUILD)/obj-checker/*.d)
