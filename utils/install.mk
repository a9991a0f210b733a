# SPDX-License-Identifier: GPL-2.0
# Where everything goes: Debian's places, below DESTDIR.  The module goes out
# as DKMS source, so that it follows the kernel; installing changes nothing
# that runs.

DESTDIR ?=
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
MODULESLOADDIR ?= $(PREFIX)/lib/modules-load.d
UNITDIR ?= /lib/systemd/system
UDEVDIR ?= /lib/udev/rules.d
SYSCONFDIR ?= /etc/reprise
DKMSDIR ?= /usr/src/reprise-$(VERSION)

INSTALL ?= install
UNITS := reprised.service reprise-resources.service reprise@.service

.PHONY: install-userspace install-dkms uninstall
install: install-userspace install-dkms

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
	$(INSTALL) -d -m 0755 $(DESTDIR)$(SYSCONFDIR)

install-dkms:
	$(INSTALL) -D -m 0644 -t $(DESTDIR)$(DKMSDIR) Kbuild
	$(INSTALL) -D -m 0644 -t $(DESTDIR)$(DKMSDIR)/kmod kmod/*.c kmod/*.h
	$(INSTALL) -D -m 0644 -t $(DESTDIR)$(DKMSDIR)/kmod/uapi kmod/uapi/*.h
	sed 's/@VERSION@/$(VERSION)/' utils/dkms.conf | \
		$(INSTALL) -D -m 0644 /dev/stdin $(DESTDIR)$(DKMSDIR)/dkms.conf

# Configurations, logs and data stay.
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/reprised $(DESTDIR)$(SBINDIR)/reprise
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS)) $(DESTDIR)$(UDEVDIR)/59-reprise.rules
	rm -f $(DESTDIR)$(MODULESLOADDIR)/reprise.conf $(DESTDIR)$(COMPLETIONDIR)/reprise
	for f in $(notdir $(wildcard Documentation/man/*.[1-9])); do \
		rm -f $(DESTDIR)$(MANDIR)/man$${f##*.}/$$f; \
	done
	rm -rf $(DESTDIR)$(DKMSDIR)
