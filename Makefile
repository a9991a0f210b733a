# SPDX-License-Identifier: GPL-2.0
# Reprise.  `make demo` shows it, `make check` tests it, `make install`
# installs it.  Everything that is built goes to build/.

VERSION := 0.1.0
BUILD := build
CC ?= gcc
PKGS := liburing libmnl libconfuse jansson libcrypto libisal blkid libsystemd

CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Werror
CPPFLAGS += -D_GNU_SOURCE -DREPRISE_VERSION='"$(VERSION)"' -I. -Iagent
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) $(SANITIZE)
LDLIBS = $(shell pkg-config --libs $(PKGS)) -lpthread

AGENT_SRC := $(filter-out agent/main.c,$(wildcard agent/*.c))
UTIL_SRC := $(wildcard utils/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
KMOD_SRC := $(wildcard kmod/*.c kmod/*.h kmod/uapi/*.h) Kbuild

obj = $(patsubst %.c,$(BUILD)/obj$(SUFFIX)/%.o,$(1))

.PHONY: all agent utils module modules-all deps check check-all demo install clean
all: deps-quiet agent utils module

agent: $(BUILD)/reprised
utils: $(BUILD)/reprise

# --- userspace ---------------------------------------------------------
$(BUILD)/obj$(SUFFIX)/%.o: %.c
	@mkdir -p $(dir $@)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(EXTRA_$(firstword $(subst /, ,$*))) -MMD -MP -c $< -o $@

$(BUILD)/libreprise$(SUFFIX).a: $(call obj,$(AGENT_SRC))
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/reprised: $(call obj,agent/main.c) $(BUILD)/libreprise.a
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/reprise: $(call obj,$(UTIL_SRC)) $(BUILD)/libreprise.a
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDLIBS)

-include $(wildcard $(BUILD)/obj*/*/*.d $(BUILD)/obj*/*/*/*.d)

# --- the module, one build tree per kernel -----------------------------
KERNELS := $(notdir $(patsubst %/build,%,$(wildcard /lib/modules/*/build)))
RUNNING := $(shell uname -r)
KERNEL_BUILD = /lib/modules/$*/build

$(BUILD)/kmod/%/reprise.ko: $(KMOD_SRC)
	@mkdir -p $(BUILD)/kmod/$*/kmod
	@ln -sfn $(CURDIR)/Kbuild $(BUILD)/kmod/$*/Kbuild
	@for f in $(CURDIR)/kmod/*.[ch]; do ln -sfn $$f $(BUILD)/kmod/$*/kmod/$${f##*/}; done
	@ln -sfn $(CURDIR)/kmod/uapi $(BUILD)/kmod/$*/kmod/uapi
	$(MAKE) -C $(KERNEL_BUILD) M=$(CURDIR)/$(BUILD)/kmod/$* $(KMOD_ARGS) modules
	@touch $@

modules-all: $(KERNELS:%=$(BUILD)/kmod/%/reprise.ko)

module:
ifneq ($(wildcard /lib/modules/$(RUNNING)/build),)
	$(MAKE) $(BUILD)/kmod/$(RUNNING)/reprise.ko
else
	@echo "no headers for the running kernel $(RUNNING): module not built (make modules-all builds for: $(KERNELS))"
endif

# --- tests: the kernel's own harness, from Debian's source package ------
LINUX_TAR := /usr/src/linux-source-6.12.tar.xz
$(BUILD)/kselftest/.done: $(LINUX_TAR)
	@mkdir -p $(BUILD)/kselftest $(BUILD)/linux-tools
	tar -xJf $< -C $(BUILD)/linux-tools --strip-components=1 \
		linux-source-6.12/tools/include linux-source-6.12/tools/lib/rbtree.c \
		linux-source-6.12/tools/testing/selftests/kselftest \
		linux-source-6.12/tools/testing/selftests/kselftest.h \
		linux-source-6.12/tools/testing/selftests/kselftest_harness.h \
		linux-source-6.12/scripts/checkpatch.pl linux-source-6.12/scripts/spelling.txt \
		linux-source-6.12/scripts/const_structs.checkpatch
	cp $(BUILD)/linux-tools/tools/testing/selftests/kselftest.h \
	   $(BUILD)/linux-tools/tools/testing/selftests/kselftest_harness.h \
	   $(BUILD)/linux-tools/tools/testing/selftests/kselftest/* $(BUILD)/kselftest/
	@touch $@

-include tests/tests.mk
-include utils/install.mk

# --- packages ----------------------------------------------------------
deps:
	@bash tests/deps.sh packages.txt

deps-quiet:
	@bash tests/deps.sh packages.txt

clean:
	rm -rf $(BUILD)
.PHONY: deps-quiet
