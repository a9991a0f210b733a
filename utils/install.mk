# SPDX-License-Identifier: GPL-2.0
# Where everything goes: Debian's places, below DESTDIR.  The module's source goes
# out for DKMS, which builds it for INSTALL_KERNELS (the running one, if its
# headers are here) and follows new kernels; where there is no DKMS, and in a
# package's tree, the module as built here is installed.  Nothing that runs is
# changed.

DESTDIR ?=
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
MODULESLOADDIR ?= $(PREFIX)/lib/modules-load.d
UNITDIR ?= /lib/systemd/system
UDEVDIR ?= /lib/udev/rules.d
SYSCONFDIR ?= /etc/reprise
DOCDIR ?= $(PREFIX)/share/doc/reprise
MODULEDIR ?= /lib/modules
DKMSDIR ?= /usr/src/reprise-$(VERSION)

INSTALL ?= install
UNITS := reprised.service reprise-resources.service reprise@.service

INSTALL_KERNELS ?= $(if $(wildcard /lib/modules/$(RUNNING)/build),$(RUNNING))
DKMS ?= $(if $(DESTDIR),,$(shell command -v dkms))

.PHONY: install-userspace install-dkms install-module install-module-dkms install-module-built
.PHONY: uninstall uninstall-module
install: install-userspace install-module
install-module: install-dkms $(if $(DKMS),install-module-dkms,install-module-built)
ifeq ($(strip $(INSTALL_KERNELS)),)
	@echo "no headers for the running kernel: only the module's source is installed (INSTALL_KERNELS=...)"
endif

# What is started must be what was installed, whatever PREFIX is.
install-userspace: $(BUILD)/reprised $(BUILD)/reprise
	$(INSTALL) -D -m 0755 -t $(DESTDIR)$(SBINDIR) $(BUILD)/reprised $(BUILD)/reprise
	for f in $(UNITS); do \
		sed 's|/usr/sbin/|$(SBINDIR)/|' utils/units/$$f | \
			$(INSTALL) -D -m 0644 /dev/stdin $(DESTDIR)$(UNITDIR)/$$f || exit 1; \
	done
	sed 's|/usr/sbin/|$(SBINDIR)/|' utils/udev/59-reprise.rules | \
		$(INSTALL) -D -m 0644 /dev/stdin $(DESTDIR)$(UDEVDIR)/59-reprise.rules
	$(INSTALL) -D -m 0644 utils/units/modules-load.conf $(DESTDIR)$(MODULESLOADDIR)/reprise.conf
	$(INSTALL) -D -m 0644 utils/completion/reprise.bash $(DESTDIR)$(COMPLETIONDIR)/reprise
	for f in Documentation/man/*.[1-9]; do \
		$(INSTALL) -D -m 0644 -t $(DESTDIR)$(MANDIR)/man$${f##*.} $$f || exit 1; \
	done
	$(INSTALL) -D -m 0644 -t $(DESTDIR)$(DOCDIR) README.md Documentation/*.md
	$(INSTALL) -D -m 0644 utils/example.conf $(DESTDIR)$(DOCDIR)/examples/pg.conf
	$(INSTALL) -d -m 0755 $(DESTDIR)$(SYSCONFDIR)

# Afresh, even if this version was built before; nor may an older one be in the way.
install-module-dkms: install-dkms uninstall-module
	$(DKMS) add reprise/$(VERSION)
	for k in $(INSTALL_KERNELS); do \
		$(DKMS) install reprise/$(VERSION) -k $$k || exit 1; \
	done

# updates/, where depmod looks first.  What is packed gets its depmod later.
install-module-built: uninstall-module $(INSTALL_KERNELS:%=$(BUILD)/kmod/%/reprise.ko)
	for k in $(INSTALL_KERNELS); do \
		$(INSTALL) -D -m 0644 -t $(DESTDIR)$(MODULEDIR)/$$k/updates \
			$(BUILD)/kmod/$$k/reprise.ko || exit 1; \
		[ -n "$(DESTDIR)" ] || depmod $$k || exit 1; \
	done

install-dkms:
	$(INSTALL) -D -m 0644 -t $(DESTDIR)$(DKMSDIR) Kbuild
	$(INSTALL) -D -m 0644 -t $(DESTDIR)$(DKMSDIR)/kmod kmod/*.c kmod/*.h
	$(INSTALL) -D -m 0644 -t $(DESTDIR)$(DKMSDIR)/kmod/uapi kmod/uapi/*.h
	sed 's/@VERSION@/$(VERSION)/' utils/dkms.conf | \
		$(INSTALL) -D -m 0644 /dev/stdin $(DESTDIR)$(DKMSDIR)/dkms.conf

uninstall-module:
	if [ -n "$(DKMS)" ] && [ -n "$$($(DKMS) status reprise/$(VERSION))" ]; then \
		$(DKMS) remove reprise/$(VERSION) --all; \
	fi
	for m in $(wildcard $(DESTDIR)$(MODULEDIR)/*/updates/reprise.ko); do \
		rm -f $$m || exit 1; \
		k=$${m%/updates/*}; [ -n "$(DESTDIR)" ] || depmod $${k##*/} || exit 1; \
	done

# Configurations, logs and data stay.
uninstall: uninstall-module
	rm -f $(DESTDIR)$(SBINDIR)/reprised $(DESTDIR)$(SBINDIR)/reprise
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS)) $(DESTDIR)$(UDEVDIR)/59-reprise.rules
	rm -f $(DESTDIR)$(MODULESLOADDIR)/reprise.conf $(DESTDIR)$(COMPLETIONDIR)/reprise
	for f in $(notdir $(wildcard Documentation/man/*.[1-9])); do \
		rm -f $(DESTDIR)$(MANDIR)/man$${f##*.}/$$f; \
	done
	rm -rf $(DESTDIR)$(DKMSDIR) $(DESTDIR)$(DOCDIR)
