/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Netlink messages of the family: what their attributes mean.  Pure: reads
 * and writes buffers, never a socket.  Whatever a message contains, reading
 * it touches only its own bytes.
 */
#ifndef REPRISE_NL_MESSAGE_H
#define REPRISE_NL_MESSAGE_H

#include <linux/netlink.h>

#include "nl.h"

struct nl_family {
	uint16_t id;
	uint32_t group;			/* of the events */
};

/*
 * Is a whole message at @nlh, of which @left bytes are there?  (libmnl's own
 * check takes a length beyond 2 GiB for a negative one.)
 */
bool nl_message_ok(const struct nlmsghdr *nlh, size_t left);

/*
 * All: 0, or -EBADMSG with nothing filled.  @nlh: a whole message, as
 * nl_message_ok() found.  Unknown attributes are skipped.
 */
int nl_parse_resource(const struct nlmsghdr *nlh, struct nl_resource *res);
/*
 * The descriptors of an answer that may not be understood otherwise: they are
 * this process's, and somebody has to close them.  Return: how many, @max at most.
 */
unsigned int nl_parse_fds(const struct nlmsghdr *nlh, int *fds, unsigned int max);
int nl_parse_event(const struct nlmsghdr *nlh, struct nl_event *event);
int nl_parse_family(const struct nlmsghdr *nlh, struct nl_family *family);
/*
 * NLMSG_ERROR or NLMSG_DONE: *@err is what it reports (0 or -errno); @text
 * the extended ack's words, or empty.
 */
int nl_parse_ack(const struct nlmsghdr *nlh, int *err, char *text, size_t text_bytes);

/* A request's head in @buf; add attributes, its length is nlh->nlmsg_len. */
struct nlmsghdr *nl_build(void *buf, uint16_t family, uint8_t cmd, uint16_t flags, uint32_t seq);
/* @bytes: size of the buffer.  False: it does not fit. */
bool nl_build_name(struct nlmsghdr *nlh, size_t bytes, const char *name);
bool nl_build_start(struct nlmsghdr *nlh, size_t bytes, const struct nl_resource *res);
bool nl_build_settings(struct nlmsghdr *nlh, size_t bytes, const struct nl_resource *res);
bool nl_build_stop(struct nlmsghdr *nlh, size_t bytes, const char *name, uint32_t wait_ms,
		   bool force);
bool nl_build_attach(struct nlmsghdr *nlh, size_t bytes, const char *name, unsigned int node,
		     int socket_fd, uint64_t session, const uint8_t *timeline_id,
		     uint64_t position);
bool nl_build_detach(struct nlmsghdr *nlh, size_t bytes, const char *name, unsigned int node);

#endif /* REPRISE_NL_MESSAGE_H */
