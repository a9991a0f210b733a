/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making sockets: the options that every connection of ours has, in one place.
 */
#ifndef REPRISE_SOCKET_H
#define REPRISE_SOCKET_H

#include <sys/socket.h>

/* A stream socket of @family: the descriptor, or -errno. */
int socket_create(int family);
/* Options of a connection, accepted or dialed; also makes it blocking, as io_uring wants it. */
void socket_tune(int fd);
/* Bound and listening: the descriptor, or -errno.  Port 0: *@addr gets the port chosen. */
int socket_listen(struct sockaddr_storage *addr, socklen_t *addr_len);

#endif /* REPRISE_SOCKET_H */
