# SPDX-License-Identifier: GPL-2.0
# The module's pure files, compiled for userspace with the kernel tree's own
# tools/include (from Debian's source package) and a page of stubs.
KPURE_CFLAGS := -std=gnu11 -O1 -g $(WARN) -Wno-sign-compare -Wno-unused-parameter -fsanitize=address,undefined \
	-Itests/kpure/include -I$(BUILD)/linux-tools/tools/include -Ikmod -I.
KPURE_SRC := kmod/stream.c kmod/frame.c kmod/dirty.c tests/checker/crc.c
KPURE_BIN := $(addprefix $(BUILD)/tests/unit/,test_ack test_dirty test_frame test_stream)

$(KPURE_BIN): $(BUILD)/tests/unit/test_%: \
		tests/kpure/test_%.c $(KPURE_SRC) $(wildcard kmod/*.h kmod/uapi/*.h tests/kpure/*.h tests/kpure/include/*/*.h) \
		$(BUILD)/kselftest/.done
	@mkdir -p $(dir $@)
	$(CC) $(KPURE_CFLAGS) -o $@ $< $(KPURE_SRC) $(BUILD)/linux-tools/tools/lib/rbtree.c

unit: $(KPURE_BIN)
