// SPDX-License-Identifier: GPL-2.0
/*
 * Conversations with the kernel module: one request, its replies, its
 * acknowledgement.  What messages mean is nl_message.c's.
 *
 * The family's number changes when the module is loaded again; a request that
 * meets the old one asks for the number and tries once more.
 */
#include "nl.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nl_message.h"

enum {
	BUFFER_BYTES = 64 << 10,
	EVENT_QUEUE_BYTES = 1 << 20,
	MAX_DUMP_TRIES = 10,
};

struct nl {
	struct mnl_socket *socket;
	struct nl_family family;
	uint32_t seq;
	char error[320];
	size_t event_left;		/* bytes of @reply not read yet */
	size_t event_next;
	char request[BUFFER_BYTES] __attribute__((aligned(8)));
	char reply[BUFFER_BYTES] __attribute__((aligned(8)));
};

/* What is done with each message of a reply. */
typedef int (*reply_cb)(const struct nlmsghdr *nlh, void *arg);

struct conversation {
	reply_cb reply;
	void *arg;
	int err;
	bool over;
	bool answered;			/* a reply came, and was understood */
	bool interrupted;		/* a dump that the state changed under */
};

const char *nl_error(const struct nl *nl)
{
	return nl->error;
}

static int fail(struct nl *nl, int err, const char *text)
{
	snprintf(nl->error, sizeof(nl->error), "%s", text && *text ? text : strerror(-err));
	return err;
}

static int take_message(struct nl *nl, const struct nlmsghdr *nlh, struct conversation *talk)
{
	char text[256];
	int err;

	/* Left over from a conversation that was given up. */
	if (nlh->nlmsg_seq != nl->seq)
		return 0;
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		talk->interrupted = true;
	if (nlh->nlmsg_type != NLMSG_ERROR && nlh->nlmsg_type != NLMSG_DONE) {
		err = talk->err || !talk->reply ? 0 : talk->reply(nlh, talk->arg);
		talk->answered = !talk->err && !err;
		return err;
	}
	talk->over = true;
	if (nl_parse_ack(nlh, &err, text, sizeof(text)))
		return fail(nl, -EBADMSG, "the kernel's acknowledgement is malformed");
	return err < 0 ? fail(nl, err, text) : 0;
}

static void take_buffer(struct nl *nl, int length, struct conversation *talk)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)nl->reply;

	for (; length > 0 && nl_message_ok(nlh, length); nlh = mnl_nlmsg_next(nlh, &length)) {
		int err = take_message(nl, nlh, talk);

		if (err && !talk->err) {
			talk->err = err;
			if (err == -EBADMSG)
				fail(nl, err,
				     "the kernel module's answer is not understood: module and agent are of different versions");
		}
	}
}

/*
 * The kernel had no memory for its acknowledgement, and says so before it hands
 * out what it did reply, which may hold descriptors of ours.
 */
static int read_rest(struct nl *nl, struct conversation *talk)
{
	int fd = mnl_socket_get_fd(nl->socket);
	ssize_t length;

	while (!talk->over && (length = recv(fd, nl->reply, sizeof(nl->reply), MSG_DONTWAIT)) > 0)
		take_buffer(nl, length, talk);
	if (talk->err || talk->answered)
		return talk->err;
	return fail(nl, -ENOBUFS, NULL);
}

static int converse(struct nl *nl, struct nlmsghdr *nlh, struct conversation *talk)
{
	nl->error[0] = '\0';
	nlh->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->socket, nlh, nlh->nlmsg_len) < 0)
		return fail(nl, -errno, NULL);
	while (!talk->over) {
		ssize_t length = mnl_socket_recvfrom(nl->socket, nl->reply, sizeof(nl->reply));

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0 && errno == ENOBUFS)
			return read_rest(nl, talk);
		if (length < 0)
			return fail(nl, -errno, NULL);
		take_buffer(nl, length, talk);
	}
	return talk->err;
}

/* The family. */

static int take_family(const struct nlmsghdr *nlh, void *arg)
{
	return nl_parse_family(nlh, arg);
}

static int resolve(struct nl *nl, struct nl_family *family)
{
	char buf[256] __attribute__((aligned(8)));
	struct conversation talk = { .reply = take_family, .arg = family };
	struct nlmsghdr *nlh = nl_build(buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK, 0);
	int err;

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, REPRISE_GENL_NAME);
	err = converse(nl, nlh, &talk);
	if (err == -ENOENT)
		return fail(nl, err, "the kernel module reprise is not loaded");
	return err;
}

/* ENOENT may speak of the resource or of the family. */
static bool family_moved(struct nl *nl, struct nlmsghdr *nlh)
{
	struct nl_family family = { 0 };
	char error[sizeof(nl->error)];

	memcpy(error, nl->error, sizeof(error));
	if (resolve(nl, &family))
		return false;
	memcpy(nl->error, error, sizeof(error));
	if (family.id == nl->family.id)
		return false;
	nl->family = family;
	nlh->nlmsg_type = family.id;
	return true;
}

static int request(struct nl *nl, struct nlmsghdr *nlh, reply_cb reply, void *arg)
{
	struct conversation talk = { .reply = reply, .arg = arg };
	int err = converse(nl, nlh, &talk);

	if (err != -ENOENT || !family_moved(nl, nlh))
		return err;
	talk = (struct conversation){ .reply = reply, .arg = arg };
	return converse(nl, nlh, &talk);
}

static struct nlmsghdr *begin(struct nl *nl, uint8_t cmd)
{
	return nl_build(nl->request, nl->family.id, cmd, NLM_F_ACK, 0);
}

static int too_big(struct nl *nl)
{
	return fail(nl, -EMSGSIZE, "the request is too big for one netlink message");
}

static int set_up(struct nl *nl)
{
	int on = 1;

	nl->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!nl->socket)
		return -errno;
	if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	/* Without words an error is only a number: not worth failing for. */
	(void)mnl_socket_setsockopt(nl->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(nl->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	nl->seq = time(NULL);
	return resolve(nl, &nl->family);
}

int nl_open(struct nl **nl)
{
	struct nl *made = calloc(1, sizeof(*made));
	int err;

	if (!made)
		return -ENOMEM;
	err = set_up(made);
	if (err)
		nl_close(made);
	else
		*nl = made;
	return err;
}

void nl_close(struct nl *nl)
{
	if (!nl)
		return;
	if (nl->socket)
		mnl_socket_close(nl->socket);
	free(nl);
}

/* Reading. */

struct one {
	struct nl_resource *res;
	bool found;
};

static int take_one(const struct nlmsghdr *nlh, void *arg)
{
	struct one *one = arg;

	one->found = true;
	return nl_parse_resource(nlh, one->res);
}

int nl_get(struct nl *nl, const char *name, struct nl_resource *res)
{
	struct nlmsghdr *nlh = begin(nl, REPRISE_CMD_GET);
	struct nl_resource got;
	struct one one = { .res = &got };
	int err;

	if (!nl_build_name(nlh, BUFFER_BYTES, name))
		return too_big(nl);
	err = request(nl, nlh, take_one, &one);
	if (err)
		return err;
	if (!one.found)
		return fail(nl, -ENOENT, "the kernel answered without the resource");
	*res = got;
	return 0;
}

struct list {
	struct nl_resource *items;
	size_t count;
};

static int take_item(const struct nlmsghdr *nlh, void *arg)
{
	struct list *list = arg;
	struct nl_resource *items = realloc(list->items, (list->count + 1) * sizeof(*items));
	int err;

	if (!items)
		return -ENOMEM;
	list->items = items;
	err = nl_parse_resource(nlh, &items[list->count]);
	if (!err)
		list->count++;
	return err;
}

static int dump(struct nl *nl, struct list *list, bool *interrupted)
{
	struct conversation talk = { .reply = take_item, .arg = list };
	struct nlmsghdr *nlh = nl_build(nl->request, nl->family.id, REPRISE_CMD_GET, NLM_F_DUMP, 0);
	int err = converse(nl, nlh, &talk);

	if (err == -ENOENT && family_moved(nl, nlh)) {
		talk = (struct conversation){ .reply = take_item, .arg = list };
		err = converse(nl, nlh, &talk);
	}
	*interrupted = talk.interrupted;
	return err || talk.over ? err : fail(nl, -ENOBUFS, NULL);
}

int nl_list(struct nl *nl, struct nl_resource **items, size_t *count)
{
	bool interrupted = true;
	struct list list = { 0 };
	int err = 0;

	for (int i = 0; !err && interrupted && i < MAX_DUMP_TRIES; i++) {
		list.count = 0;
		err = dump(nl, &list, &interrupted);
	}
	if (!err && interrupted)
		err = fail(nl, -EAGAIN, "the resources in the kernel change too fast to be listed");
	if (err) {
		free(list.items);
		return err;
	}
	*items = list.items;
	*count = list.count;
	return 0;
}

/* Changing. */

int nl_start(struct nl *nl, const struct nl_resource *res)
{
	struct nlmsghdr *nlh = begin(nl, REPRISE_CMD_START);

	if (!nl_build_start(nlh, BUFFER_BYTES, res))
		return too_big(nl);
	return request(nl, nlh, NULL, NULL);
}

int nl_set(struct nl *nl, const struct nl_resource *res)
{
	struct nlmsghdr *nlh = begin(nl, REPRISE_CMD_SET);

	if (!nl_build_name(nlh, BUFFER_BYTES, res->name) ||
	    !nl_build_settings(nlh, BUFFER_BYTES, res))
		return too_big(nl);
	return request(nl, nlh, NULL, NULL);
}

/* The descriptors are in this process already, whether the answer is understood or not. */
static int take_stopped(const struct nlmsghdr *nlh, void *arg)
{
	int fds[2 * REPRISE_MAX_VOLUMES];
	int err = take_one(nlh, arg);
	unsigned int count = err ? nl_parse_fds(nlh, fds, 2 * REPRISE_MAX_VOLUMES) : 0;

	while (count)
		close(fds[--count]);
	return err;
}

static void close_backings(const struct nl_resource *res)
{
	for (unsigned int i = 0; i < res->nr_volumes; i++)
		if (res->volumes[i].backing_fd >= 0)
			close(res->volumes[i].backing_fd);
}

int nl_stop(struct nl *nl, const char *name, uint32_t wait_ms, bool force,
	    struct nl_resource *res, uint64_t *seq)
{
	struct nlmsghdr *nlh = begin(nl, REPRISE_CMD_STOP);
	struct nl_resource got = { 0 };
	struct one one = { .res = &got };
	int err;

	if (!nl_build_stop(nlh, BUFFER_BYTES, name, wait_ms, force))
		return too_big(nl);
	err = request(nl, nlh, take_stopped, &one);
	if (!err && !one.found)
		err = fail(nl, -EBADMSG, "the kernel stopped the resource, but returned no volumes");
	if (err) {
		close_backings(&got);
		return err;
	}
	memcpy(res->volumes, got.volumes, sizeof(res->volumes));
	res->nr_volumes = got.nr_volumes;
	*seq = got.seq;
	return 0;
}

int nl_attach(struct nl *nl, const char *name, unsigned int node, int socket_fd,
	      uint64_t session, const uint8_t timeline_id[REPRISE_ID_BYTES],
	      uint64_t position, uint64_t *s0)
{
	struct nlmsghdr *nlh = begin(nl, REPRISE_CMD_ATTACH);
	struct nl_resource got = { 0 };
	struct one one = { .res = &got };
	int err;

	if (!nl_build_attach(nlh, BUFFER_BYTES, name, node, socket_fd, session, timeline_id,
			     position))
		return too_big(nl);
	err = request(nl, nlh, take_one, &one);
	if (err)
		return err;
	if (!one.found)
		return fail(nl, -EBADMSG, "the kernel took the socket without naming the first seq");
	*s0 = got.seq;
	return 0;
}

int nl_detach(struct nl *nl, const char *name, unsigned int node)
{
	struct nlmsghdr *nlh = begin(nl, REPRISE_CMD_DETACH);

	if (!nl_build_detach(nlh, BUFFER_BYTES, name, node))
		return too_big(nl);
	return request(nl, nlh, NULL, NULL);
}

static int request_by_name(struct nl *nl, uint8_t cmd, const char *name)
{
	struct nlmsghdr *nlh = begin(nl, cmd);

	if (!nl_build_name(nlh, BUFFER_BYTES, name))
		return too_big(nl);
	return request(nl, nlh, NULL, NULL);
}

int nl_freeze(struct nl *nl, const char *name)
{
	return request_by_name(nl, REPRISE_CMD_FREEZE, name);
}

int nl_resume(struct nl *nl, const char *name)
{
	return request_by_name(nl, REPRISE_CMD_RESUME, name);
}

/* Events. */

static int join(struct nl *nl)
{
	int fd = mnl_socket_get_fd(nl->socket);
	int bytes = EVENT_QUEUE_BYTES;
	int group = nl->family.group;

	if (!group)
		return -EPROTO;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ||
	    mnl_socket_setsockopt(nl->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	return 0;
}

int nl_events_open(struct nl **nl)
{
	struct nl *made;
	int err = nl_open(&made);

	if (err)
		return err;
	err = join(made);
	if (err)
		nl_close(made);
	else
		*nl = made;
	return err;
}

unsigned int nl_family_id(const struct nl *nl)
{
	return nl->family.id;
}

int nl_events_fd(const struct nl *nl)
{
	return mnl_socket_get_fd(nl->socket);
}

static int fill_events(struct nl *nl)
{
	ssize_t length;

	do {
		length = mnl_socket_recvfrom(nl->socket, nl->reply, sizeof(nl->reply));
	} while (length < 0 && errno == EINTR);
	if (length < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : fail(nl, -errno, NULL);
	nl->event_next = 0;
	nl->event_left = length;
	return 1;
}

/* The next whole message of the buffer, NULL: none. */
static const struct nlmsghdr *next_message(struct nl *nl)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)(nl->reply + nl->event_next);
	size_t length;

	if (!nl_message_ok(nlh, nl->event_left)) {
		nl->event_left = 0;
		return NULL;
	}
	length = MNL_ALIGN((size_t)nlh->nlmsg_len);
	nl->event_next += length;
	nl->event_left -= length < nl->event_left ? length : nl->event_left;
	return nlh;
}

int nl_events_read(struct nl *nl, struct nl_event *event)
{
	for (;;) {
		const struct nlmsghdr *nlh = next_message(nl);
		int ret;

		/* What is not understood came from a newer module. */
		if (nlh && nlh->nlmsg_type == nl->family.id && !nl_parse_event(nlh, event))
			return 1;
		if (nlh)
			continue;
		ret = fill_events(nl);
		if (ret <= 0)
			return ret;
	}
}
