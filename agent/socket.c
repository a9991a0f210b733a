// SPDX-License-Identifier: GPL-2.0
/*
 * Socket options.  Buffer sizes are left to the kernel's tuning, which a fixed
 * size would switch off; what a connection may owe is bounded elsewhere.
 */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum {
	BACKLOG = 64,
	KEEPALIVE_IDLE_S = 10,
	KEEPALIVE_INTERVAL_S = 5,
	KEEPALIVE_PROBES = 3,
};

static void set_option(int fd, int level, int option, int value)
{
	/* What a socket of this kind does not know, it does not need. */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

int socket_create(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int family_of(int fd)
{
	int family = AF_UNSPEC;
	socklen_t length = sizeof(family);

	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
	return family;
}

void socket_tune(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	int family = family_of(fd);

	if (flags >= 0 && (flags & O_NONBLOCK))
		(void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	if (family != AF_INET && family != AF_INET6)
		return;
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

int socket_listen(struct sockaddr_storage *addr, socklen_t *addr_len)
{
	int fd = socket_create(addr->ss_family);
	int err;

	if (fd < 0)
		return fd;
	if (addr->ss_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (addr->ss_family != AF_UNIX)
		set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind(fd, (struct sockaddr *)addr, *addr_len) == 0 && listen(fd, BACKLOG) == 0) {
		*addr_len = sizeof(*addr);
		if (getsockname(fd, (struct sockaddr *)addr, addr_len) == 0)
			return fd;
	}
	err = -errno;
	close(fd);
	return err;
}
