# SPDX-License-Identifier: GPL-2.0
# Fuzzing: one target a file, fuzz_TARGET.c, with libFuzzer and the address and
# undefined-behaviour sanitizers; the code under test is built the same way.
#
#	make fuzz [SECONDS=600] [TARGET=frame]
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SAN := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
FUZZ_CFLAGS := -std=gnu11 -O1 -g $(WARN) $(FUZZ_SAN)
fuzz-obj = $(patsubst %.c,$(BUILD)/obj-fuzz/%.o,$(1))
FUZZ_SHARED := $(call fuzz-obj,tests/fuzz/input.c tests/fuzz/json.c tests/fuzz/agent_env.c $(addprefix tests/unit/env_,mem.c model.c kernel.c))
FUZZ_KMOD := $(addprefix kpure/,kmod/stream.c kmod/frame.c kmod/dirty.c)

$(BUILD)/obj-fuzz/%.o: %.c $(BUILD)/kselftest/.done
	@mkdir -p $(dir $@)
	clang $(TEST_CPPFLAGS) -Itests/fuzz $(FUZZ_CFLAGS) $(TEST_WARN) -MMD -MP -c $< -o $@

# The module's pure files, on the stubs of tests/kpure.
$(BUILD)/obj-fuzz/kpure/%.o: %.c $(BUILD)/kselftest/.done
	@mkdir -p $(dir $@)
	clang -D_GNU_SOURCE $(filter -I%,$(KPURE_CFLAGS)) -Itests/fuzz $(FUZZ_CFLAGS) $(TEST_WARN) \
		-MMD -MP -c $< -o $@

$(BUILD)/obj-fuzz/kpure/rbtree.o: $(BUILD)/kselftest/.done
	@mkdir -p $(dir $@)
	clang -I$(BUILD)/linux-tools/tools/include -O1 -g $(FUZZ_SAN) \
		-c $(BUILD)/linux-tools/tools/lib/rbtree.c -o $@

$(BUILD)/libfuzzed.a: $(call fuzz-obj,$(AGENT_SRC)) $(FUZZ_SHARED)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/fuzz/ack: $(call fuzz-obj,kpure/tests/fuzz/fuzz_ack.c $(FUZZ_KMOD) \
		tests/fuzz/input.c) $(BUILD)/obj-fuzz/kpure/rbtree.o
	@mkdir -p $(dir $@)
	clang $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $^

$(BUILD)/fuzz/%: $(BUILD)/obj-fuzz/tests/fuzz/fuzz_%.o $(BUILD)/libfuzzed.a
	@mkdir -p $(dir $@)
	clang $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

.PRECIOUS: $(BUILD)/obj-fuzz/%.o
-include $(wildcard $(BUILD)/obj-fuzz/*/*.d $(BUILD)/obj-fuzz/*/*/*.d $(BUILD)/obj-fuzz/*/*/*/*.d)

tests-build: fuzz-build
fuzz-build: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)
fuzz: fuzz-build
	tests/fuzz/run --seconds $(or $(SECONDS),600) $(TARGET)
.PHONY: fuzz fuzz-build
