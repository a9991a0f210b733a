# SPDX-License-Identifier: GPL-2.0
"""The session's network, in the network namespace of the session's process.

	guest 1 -- tap -- bridge b1 -- veth -- bridge hub -- veth -- b2 -- ...
	guest 1 -- tap (management, 10.78.1.0/30) -- the session

Each guest has a bridge of its own before the hub, so that each direction of
its link is the sending side of a device that carries nothing else: the tap
towards the guest, the veth towards the hub. A queueing discipline there cuts
or slows that direction alone. The namespace has no name: it disappears, with
all devices, when the session's last process does.
"""

from common import VmError, run

DELAY_LIMIT_PACKETS = 10000


def data_mac(n):
    return f"52:54:00:77:00:{n:02x}"


def management_mac(n):
    return f"52:54:00:78:00:{n:02x}"


def management_address(n):
    return f"10.78.{n}.1"


def link_add(name, *kind):
    run("ip", "link", "add", name, "type", *kind)


def bridge_add(name):
    link_add(name, "bridge", "stp_state", "0", "forward_delay", "0",
             "mcast_snooping", "0")
    run("ip", "link", "set", name, "up")


def no_ipv6():
    """The host side takes no part in the guests' network."""
    for which in ("all", "default"):
        path = f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6"
        try:
            with open(path, "w") as f:
                f.write("1")
        except OSError:
            pass


def create():
    no_ipv6()
    run("ip", "link", "set", "lo", "up")
    bridge_add("hub")


def attach(n):
    """Makes the devices of guest n; QEMU takes tap{n} and mgmt{n}."""
    bridge_add(f"b{n}")
    link_add(f"up{n}", "veth", "peer", "name", f"hub{n}")
    for name in (f"tap{n}", f"mgmt{n}"):
        run("ip", "tuntap", "add", name, "mode", "tap", "vnet_hdr")
    for name, bridge in ((f"tap{n}", f"b{n}"), (f"up{n}", f"b{n}"),
                         (f"hub{n}", "hub")):
        run("ip", "link", "set", name, "master", bridge, "up")
    run("ip", "addr", "add", f"10.78.{n}.2/30", "dev", f"mgmt{n}")
    run("ip", "link", "set", f"mgmt{n}", "up")
    run("ip", "neigh", "replace", management_address(n), "lladdr",
        management_mac(n), "dev", f"mgmt{n}", "nud", "permanent")


def discipline(device, *words):
    if words:
        run("tc", "qdisc", "replace", "dev", device, "root", *words)
    else:
        run("tc", "qdisc", "replace", "dev", device, "root", "pfifo")


def link(n, action, words=()):
    """Changes guest n's data link, seen from the guest: in is towards it."""
    inward, outward = f"tap{n}", f"up{n}"
    if action in ("cut", "cut-in"):
        discipline(inward, "blackhole")
    if action in ("cut", "cut-out"):
        discipline(outward, "blackhole")
    if action == "heal":
        discipline(inward)
        discipline(outward)
    elif action == "rate":
        for device in (inward, outward):
            discipline(device, "tbf", "rate", words[0], "burst", "64kb",
                       "latency", "200ms")
    elif action == "netem":
        for device in (inward, outward):
            discipline(device, "netem", "limit", str(DELAY_LIMIT_PACKETS),
                       *words)
    elif action not in ("cut", "cut-in", "cut-out"):
        raise VmError(f"unknown network action {action}: "
                      "cut, cut-in, cut-out, heal, rate RATE, netem ...")
