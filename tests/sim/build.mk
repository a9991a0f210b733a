# SPDX-License-Identifier: GPL-2.0
# The simulator: the agent's library, the module's pure files as tests/kpure
# compiles them, and the world.  The agent's memory and the one descriptor it
# closes by itself go through the linker to heap.c and process.c.
SIM_BIN := $(BUILD)/tests/sim/sim
SIM_SRC := $(wildcard tests/sim/*.c)
SIM_KERNEL_SRC := kmod/stream.c kmod/frame.c kmod/dirty.c
# These include the kernel tree's own tools/include.
SIM_MODULE_SRC := $(wildcard tests/sim/module*.c)
SIM_WRAP := malloc calloc realloc aligned_alloc strdup free close
SIM_OBJ := $(patsubst %.c,$(BUILD)/obj-sim/%.o,$(SIM_SRC) $(SIM_KERNEL_SRC) \
	tests/checker/crc.c $(BUILD)/linux-tools/tools/lib/rbtree.c)
SIM_CPPFLAGS := -D_GNU_SOURCE -I. -Iagent -Itests/sim
SIM_KERNEL_CPPFLAGS := -D_GNU_SOURCE -Itests/sim/include -Itests/kpure/include \
	-I$(BUILD)/linux-tools/tools/include -Ikmod -I. -Itests/sim
SIM_KERNEL_OBJ := $(patsubst %.c,$(BUILD)/obj-sim/%.o,$(SIM_KERNEL_SRC) $(SIM_MODULE_SRC) \
	$(BUILD)/linux-tools/tools/lib/rbtree.c)

$(SIM_KERNEL_OBJ): SIM_CPPFLAGS = $(SIM_KERNEL_CPPFLAGS)
$(SIM_KERNEL_OBJ): SIM_WARN := -Wno-sign-compare -Wno-unused-parameter

$(BUILD)/obj-sim/%.o: %.c $(BUILD)/kselftest/.done tests/sim/build.mk
	@mkdir -p $(dir $@)
	$(CC) $(SIM_CPPFLAGS) $(ALL_CFLAGS) $(SIM_WARN) -MMD -MP -c $< -o $@

$(SIM_BIN): $(SIM_OBJ) $(BUILD)/libreprise.a
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) $(addprefix -Wl$(comma)--wrap=,$(SIM_WRAP)) -o $@ $^ $(LDLIBS)

comma := ,
SEEDS ?= 1000
FIRST ?= 1
SCENARIO ?= default
sim: $(SIM_BIN)
	$(SIM_BIN) --seeds $(SEEDS) --first $(FIRST) --scenario $(SCENARIO) --jobs $(shell nproc)

TEST_TOOLS += $(SIM_BIN)
-include $(wildcard $(BUILD)/obj-sim/*/*.d $(BUILD)/obj-sim/*/*/*.d)
.PHONY: sim
