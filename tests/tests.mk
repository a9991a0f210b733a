# SPDX-License-Identifier: GPL-2.0
# Tests: what they need built, and the targets.  `make check` is everything
# that fits a coffee break and a half; `make check-GROUP` is one group.

SAN := -fsanitize=address,undefined -fno-omit-frame-pointer -O1
TEST_CPPFLAGS := $(CPPFLAGS) -isystem $(BUILD)/kselftest -Itests/unit
# What the harness expands to in a test.
TEST_WARN := -Wno-unused-parameter -Wno-sign-compare
UNIT_OBJ := $(patsubst %.c,$(BUILD)/obj-unit/%.o,$(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c)))
UNIT_BIN := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(UNIT_SRC))
UNIT_ASAN_BIN := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit-asan/%,$(UNIT_SRC))
ASAN_OBJ := $(patsubst %.c,$(BUILD)/obj-asan/%.o,$(AGENT_SRC) \
	$(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c)))

$(BUILD)/obj-unit/%.o: %.c $(BUILD)/kselftest/.done
	@mkdir -p $(dir $@)
	$(CC) $(TEST_CPPFLAGS) $(ALL_CFLAGS) $(TEST_WARN) -MMD -MP -c $< -o $@

$(BUILD)/obj-asan/%.o: %.c $(BUILD)/kselftest/.done
	@mkdir -p $(dir $@)
	$(CC) $(TEST_CPPFLAGS) $(ALL_CFLAGS) $(TEST_WARN) $(SAN) -MMD -MP -c $< -o $@

$(BUILD)/tests/unit/%: $(BUILD)/obj-unit/tests/unit/%.o $(UNIT_OBJ) $(BUILD)/libreprise.a
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/tests/unit-asan/%: $(BUILD)/obj-asan/tests/unit/%.o $(ASAN_OBJ)
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) $(SAN) -o $@ $^ $(LDLIBS)

.PRECIOUS: $(BUILD)/obj-unit/%.o $(BUILD)/obj-asan/%.o
-include $(wildcard $(BUILD)/obj-unit/*/*.d $(BUILD)/obj-unit/*/*/*.d \
	$(BUILD)/obj-asan/*/*.d $(BUILD)/obj-asan/*/*/*.d)

TEST_TOOLS := $(BUILD)/tests/ktool
$(BUILD)/tests/ktool: $(wildcard tests/kmod/ktool*.c) tests/kmod/ktool.h $(BUILD)/libreprise.a
	@mkdir -p $(dir $@)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $(filter-out %.h,$^) -lmnl -lpthread

include $(wildcard tests/*/build.mk)

unit: $(UNIT_BIN) $(UNIT_ASAN_BIN)
test-tools: $(TEST_TOOLS) $(BUILD)/kselftest/.done
	$(MAKE) -f tests/vm/Makefile vm-tools
tests-build: agent utils modules-all unit test-tools

check: deps-quiet
	$(MAKE) -j$(shell nproc) tests-build
	tests/run

check-all: deps-quiet
	$(MAKE) -j$(shell nproc) tests-build
	tests/run --all

check-%: deps-quiet
	$(MAKE) -j$(shell nproc) tests-build
	tests/run $*

demo: deps-quiet
	$(MAKE) agent utils modules-all test-tools
	tests/demo/demo.sh

.PHONY: unit test-tools tests-build
