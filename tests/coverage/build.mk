# SPDX-License-Identifier: GPL-2.0
# What the unit tests and the kept fuzz inputs reach: everything once more without optimisation, for
# gcov.  "make coverage" builds, runs the tests and prints the table.
COV_CFLAGS := -std=gnu11 -O0 -g --coverage $(WARN) $(TEST_WARN) -Wno-format-truncation
COV_TESTS := $(filter-out test_nl_kernel,$(patsubst tests/unit/%.c,%,$(UNIT_SRC)))
cov-obj = $(patsubst %.c,$(BUILD)/cov/obj/%.o,$(1))

$(BUILD)/cov/obj/%.o: %.c $(BUILD)/kselftest/.done
	@mkdir -p $(dir $@)
	$(CC) $(TEST_CPPFLAGS) -Itests/fuzz $(COV_CFLAGS) -MMD -MP -c $< -o $@

# The module's pure files, on the stubs of tests/kpure.
$(BUILD)/cov/kpure/%.o: %.c $(BUILD)/kselftest/.done
	@mkdir -p $(dir $@)
	$(CC) -Itests/kpure/include -I$(BUILD)/linux-tools/tools/include -Ikmod -I. $(COV_CFLAGS) \
		-MMD -MP -c $< -o $@

$(BUILD)/cov/rbtree.o: $(BUILD)/kselftest/.done
	@mkdir -p $(dir $@)
	$(CC) -I$(BUILD)/linux-tools/tools/include -c $(BUILD)/linux-tools/tools/lib/rbtree.c -o $@

$(BUILD)/cov/libreprise.a: $(call cov-obj,$(AGENT_SRC) \
		$(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c)))
	rm -f $@
	$(AR) rcs $@ $^

COV_KPURE := $(addprefix $(BUILD)/cov/,test_ack test_dirty test_frame test_stream)
$(COV_KPURE): $(BUILD)/cov/test_%: \
		$(BUILD)/cov/kpure/tests/kpure/test_%.o \
		$(addprefix $(BUILD)/cov/kpure/,kmod/stream.o kmod/frame.o kmod/dirty.o \
			tests/checker/crc.o) $(BUILD)/cov/rbtree.o
	$(CC) --coverage -o $@ $^

$(BUILD)/cov/test_%: $(BUILD)/cov/obj/tests/unit/test_%.o $(BUILD)/cov/obj/tests/coverage/exit.o \
		$(BUILD)/cov/libreprise.a
	$(CC) --coverage -Wl,--wrap=_exit -o $@ $^ $(LDLIBS)

# The fuzz targets with what is kept for them.
COV_FUZZ := $(filter-out ack,$(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c)))
$(BUILD)/cov/replay_%: $(call cov-obj,tests/fuzz/fuzz_%.c tests/fuzz/input.c tests/fuzz/json.c \
		tests/fuzz/agent_env.c tests/coverage/replay.c) $(BUILD)/cov/libreprise.a
	$(CC) --coverage -o $@ $^ $(LDLIBS)

$(BUILD)/cov/reprised: $(call cov-obj,agent/main.c) $(BUILD)/cov/libreprise.a
	$(CC) --coverage -o $@ $^ $(LDLIBS)

$(BUILD)/cov/reprise: $(BUILD)/reprise
	cp $< $@

.PRECIOUS: $(BUILD)/cov/obj/%.o $(BUILD)/cov/kpure/%.o
-include $(wildcard $(BUILD)/cov/*/*/*.d $(BUILD)/cov/*/*/*/*.d)

coverage-build: $(COV_TESTS:%=$(BUILD)/cov/%) $(COV_KPURE) \
	$(COV_FUZZ:%=$(BUILD)/cov/replay_%) $(BUILD)/cov/reprised $(BUILD)/cov/reprise
coverage: coverage-build
	tests/coverage/run tests/unit/test_reprised.sh
.PHONY: coverage coverage-build
