// SPDX-License-Identifier: GPL-2.0
/*
 * Conversations with a module that misbehaves: answers that are missing, late,
 * interrupted, malformed or of another version; a family that has moved; no
 * module at all. The one idea: libmnl's socket is replaced by the functions
 * below, so that the other end can say anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/kernel.h"
#include "agent/nl_message.h"
#include "kselftest_harness.h"

enum { REPLY_BYTES = 32 << 10, EVENT_BYTES = 1024 };

/* The other end. What is set to 0 is as it should be. */
static struct fake {
	uint16_t family;		/* 0: not loaded */
	uint32_t group;
	int error;			/* of the next request but those for the family */
	const char *words;
	unsigned int items;		/* resources in its answer */
	unsigned int interrupted;	/* that many dumps */
	bool malformed;			/* a resource whose seq has four bytes */
	bool bad_ack;
	bool stale;			/* something of an older conversation comes first */
	int backing_fd;			/* in each resource, if not 0 */
	int open_error, send_error;
	int receive_errors[2];		/* before anything is received */
	char reply[REPLY_BYTES] __attribute__((aligned(8)));
	size_t reply_bytes;
	char event[EVENT_BYTES] __attribute__((aligned(8)));
	size_t event_bytes;
} fake;

static int null_fd = -1;

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	(void)bus;
	(void)flags;
	errno = fake.open_error;
	return fake.open_error ? NULL : (struct mnl_socket *)&fake;
}

int mnl_socket_bind(struct mnl_socket *nl, unsigned int groups, pid_t pid)
{
	(void)nl;
	(void)groups;
	(void)pid;
	return 0;
}

int mnl_socket_setsockopt(const struct mnl_socket *nl, int type, void *buf, socklen_t len)
{
	(void)nl;
	(void)type;
	(void)buf;
	(void)len;
	return 0;
}

int mnl_socket_close(struct mnl_socket *nl)
{
	(void)nl;
	return 0;
}

int mnl_socket_get_fd(const struct mnl_socket *nl)
{
	(void)nl;
	if (null_fd < 0)
		null_fd = open("/dev/null", O_RDWR);
	return null_fd;
}

static struct nlmsghdr *add(uint16_t type, uint8_t cmd, uint32_t seq)
{
	struct nlmsghdr *nlh = nl_build(fake.reply + fake.reply_bytes, type, cmd, 0, seq);

	memset((char *)nlh + nlh->nlmsg_len, 0, 512);
	return nlh;
}

static void added(const struct nlmsghdr *nlh)
{
	fake.reply_bytes += MNL_ALIGN(nlh->nlmsg_len);
}

static void add_ack(const struct nlmsghdr *request, int error)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(fake.reply + fake.reply_bytes);
	struct nlmsgerr *body;

	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_seq = request->nlmsg_seq;
	if (!fake.bad_ack) {
		body = mnl_nlmsg_put_extra_header(nlh, sizeof(*body));
		body->error = -error;
		body->msg = *request;
	}
	if (fake.words) {
		nlh->nlmsg_flags = NLM_F_ACK_TLVS | NLM_F_CAPPED;
		mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, fake.words);
	}
	added(nlh);
}

static void answer_family(const struct nlmsghdr *request)
{
	struct nlattr *groups, *group;
	struct nlmsghdr *nlh;

	if (!fake.family) {
		add_ack(request, ENOENT);
		return;
	}
	nlh = add(GENL_ID_CTRL, CTRL_CMD_NEWFAMILY, request->nlmsg_seq);
	mnl_attr_put_u16(nlh, CTRL_ATTR_FAMILY_ID, fake.family);
	groups = mnl_attr_nest_start(nlh, CTRL_ATTR_MCAST_GROUPS);
	group = mnl_attr_nest_start(nlh, 1);
	mnl_attr_put_strz(nlh, CTRL_ATTR_MCAST_GRP_NAME, REPRISE_GENL_MCGRP);
	mnl_attr_put_u32(nlh, CTRL_ATTR_MCAST_GRP_ID, fake.group);
	mnl_attr_nest_end(nlh, group);
	mnl_attr_nest_end(nlh, groups);
	added(nlh);
	add_ack(request, 0);
}

static void add_resource(const struct nlmsghdr *request, unsigned int number)
{
	struct nlmsghdr *nlh = add(fake.family, REPRISE_CMD_GET, request->nlmsg_seq);
	struct nlattr *nest;

	mnl_attr_put_strz(nlh, REPRISE_A_NAME, "pg");
	if (fake.malformed)
		mnl_attr_put_u32(nlh, REPRISE_A_SEQ, 1);
	else
		mnl_attr_put_u64(nlh, REPRISE_A_SEQ, 100 + number);
	if (fake.backing_fd) {
		nest = mnl_attr_nest_start(nlh, REPRISE_A_VOLUME);
		mnl_attr_put_u32(nlh, REPRISE_V_BACKING_FD, dup(fake.backing_fd));
		mnl_attr_nest_end(nlh, nest);
	}
	if (fake.interrupted)
		nlh->nlmsg_flags |= NLM_F_DUMP_INTR;
	added(nlh);
}

static void answer(const struct nlmsghdr *request)
{
	if (request->nlmsg_type != fake.family) {
		add_ack(request, ENOENT);
		return;
	}
	if (fake.stale)
		added(add(fake.family, REPRISE_CMD_GET, request->nlmsg_seq - 1));
	for (unsigned int i = 0; i < fake.items; i++)
		add_resource(request, i);
	if (fake.interrupted)
		fake.interrupted--;
	add_ack(request, fake.error);
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t bytes)
{
	const struct nlmsghdr *request = buf;

	(void)nl;
	if (fake.send_error) {
		errno = fake.send_error;
		return -1;
	}
	fake.reply_bytes = 0;
	if (request->nlmsg_type == GENL_ID_CTRL)
		answer_family(request);
	else
		answer(request);
	return bytes;
}

ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buf, size_t room)
{
	size_t bytes = fake.reply_bytes ? fake.reply_bytes : fake.event_bytes;

	(void)nl;
	(void)room;
	for (unsigned int i = 0; i < 2; i++) {
		if (!fake.receive_errors[i])
			continue;
		errno = fake.receive_errors[i];
		fake.receive_errors[i] = 0;
		return -1;
	}
	if (!bytes) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(buf, fake.reply_bytes ? fake.reply : fake.event, bytes);
	if (fake.reply_bytes)
		fake.reply_bytes = 0;
	else
		fake.event_bytes = 0;
	return bytes;
}

FIXTURE(talk) {
	struct nl *nl;
	struct nl_resource res;
	uint64_t seq;
};

FIXTURE_SETUP(talk)
{
	fake = (struct fake){ .family = 30, .group = 5, .items = 1 };
	ASSERT_EQ(0, nl_open(&self->nl));
	EXPECT_EQ(30u, nl_family_id(self->nl));
}

FIXTURE_TEARDOWN(talk)
{
	nl_close(self->nl);
}

TEST(no_module)
{
	struct nl *nl;

	fake = (struct fake){ 0 };
	EXPECT_EQ(-ENOENT, nl_open(&nl));
	fake.open_error = EPERM;
	EXPECT_EQ(-EPERM, nl_open(&nl));
	fake = (struct fake){ .send_error = ENOBUFS };
	EXPECT_EQ(-ENOBUFS, nl_events_open(&nl));
	nl_close(NULL);
}

TEST_F(talk, one_resource)
{
	EXPECT_EQ(0, nl_get(self->nl, "pg", &self->res));
	EXPECT_STREQ("pg", self->res.name);
	EXPECT_EQ(100u, self->res.seq);
	fake.items = 0;
	EXPECT_EQ(-ENOENT, nl_get(self->nl, "pg", &self->res));
	EXPECT_NE(NULL, strstr(nl_error(self->nl), "without the resource"));
}

TEST_F(talk, words_of_the_kernel)
{
	fake.error = EBUSY;
	EXPECT_EQ(-EBUSY, nl_freeze(self->nl, "pg"));
	EXPECT_STREQ(strerror(EBUSY), nl_error(self->nl));
	fake.words = "volume 0 is open";
	EXPECT_EQ(-EBUSY, nl_freeze(self->nl, "pg"));
	EXPECT_STREQ("volume 0 is open", nl_error(self->nl));
}

TEST_F(talk, another_version)
{
	fake.malformed = true;
	EXPECT_EQ(-EBADMSG, nl_get(self->nl, "pg", &self->res));
	EXPECT_NE(NULL, strstr(nl_error(self->nl), "different versions"));
	fake.malformed = false;
	fake.bad_ack = true;
	EXPECT_EQ(-EBADMSG, nl_get(self->nl, "pg", &self->res));
}

TEST_F(talk, what_the_socket_may_say)
{
	fake.receive_errors[0] = EINTR;
	EXPECT_EQ(0, nl_get(self->nl, "pg", &self->res));
	fake.receive_errors[0] = ENOBUFS;
	EXPECT_EQ(-ENOBUFS, nl_get(self->nl, "pg", &self->res));
	/* What was not read then is not taken for the next answer. */
	fake.stale = true;
	EXPECT_EQ(0, nl_get(self->nl, "pg", &self->res));
	EXPECT_EQ(100u, self->res.seq);
	fake.send_error = EPIPE;
	EXPECT_EQ(-EPIPE, nl_resume(self->nl, "pg"));
}

TEST_F(talk, lists)
{
	struct nl_resource *list;
	size_t count;

	fake.items = 3;
	ASSERT_EQ(0, nl_list(self->nl, &list, &count));
	ASSERT_EQ(3u, count);
	EXPECT_EQ(102u, list[2].seq);
	free(list);
	fake.interrupted = 2;
	ASSERT_EQ(0, nl_list(self->nl, &list, &count));
	EXPECT_EQ(3u, count);
	free(list);
	fake.interrupted = 100;
	EXPECT_EQ(-EAGAIN, nl_list(self->nl, &list, &count));
	EXPECT_NE(NULL, strstr(nl_error(self->nl), "too fast"));
	fake.interrupted = 0;
	fake.malformed = true;
	EXPECT_EQ(-EBADMSG, nl_list(self->nl, &list, &count));
}

/* The module was loaded again: another number, and the same request once more. */
TEST_F(talk, the_family_moves)
{
	struct nl_resource *list;
	size_t count;

	fake.family = 31;
	EXPECT_EQ(0, nl_get(self->nl, "pg", &self->res));
	EXPECT_EQ(31u, nl_family_id(self->nl));
	fake.family = 32;
	ASSERT_EQ(0, nl_list(self->nl, &list, &count));
	EXPECT_EQ(1u, count);
	free(list);
	/* It has not moved: the resource is what is not there. */
	fake.error = ENOENT;
	fake.words = "no such resource";
	EXPECT_EQ(-ENOENT, nl_get(self->nl, "pg", &self->res));
	EXPECT_STREQ("no such resource", nl_error(self->nl));
	fake.family = 0;
	EXPECT_EQ(-ENOENT, nl_get(self->nl, "pg", &self->res));
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Its descriptors are ours, whatever else is said: used or closed, never lost. */
TEST_F(talk, stop)
{
	int before;

	fake.backing_fd = open("/dev/null", O_RDWR);
	before = open_descriptors();
	ASSERT_EQ(0, nl_stop(self->nl, "pg", 5, true, &self->res, &self->seq));
	EXPECT_EQ(100u, self->seq);
	ASSERT_EQ(1u, self->res.nr_volumes);
	EXPECT_EQ(before + 1, open_descriptors());
	EXPECT_EQ(0, close(self->res.volumes[0].backing_fd));
	fake.error = EIO;
	EXPECT_EQ(-EIO, nl_stop(self->nl, "pg", 5, true, &self->res, &self->seq));
	EXPECT_EQ(before, open_descriptors());
	fake.malformed = true;
	EXPECT_EQ(-EBADMSG, nl_stop(self->nl, "pg", 5, true, &self->res, &self->seq));
	EXPECT_EQ(before, open_descriptors());
	fake.error = fake.items = 0;
	EXPECT_EQ(-EBADMSG, nl_stop(self->nl, "pg", 5, true, &self->res, &self->seq));
	EXPECT_NE(NULL, strstr(nl_error(self->nl), "no volumes"));
}

TEST_F(talk, attach)
{
	static const uint8_t timeline[REPRISE_ID_BYTES];

	EXPECT_EQ(0, nl_attach(self->nl, "pg", 2, 5, 7, timeline, 99, &self->seq));
	EXPECT_EQ(100u, self->seq);
	fake.items = 0;
	EXPECT_EQ(-EBADMSG, nl_attach(self->nl, "pg", 2, 5, 7, timeline, 99, &self->seq));
	EXPECT_NE(NULL, strstr(nl_error(self->nl), "without naming"));
	fake.error = EUCLEAN;
	EXPECT_EQ(-EUCLEAN, nl_attach(self->nl, "pg", 2, 5, 7, timeline, 99, &self->seq));
}

TEST_F(talk, names_that_do_not_fit)
{
	static const uint8_t timeline[REPRISE_ID_BYTES];
	static char name[70000];

	memset(name, 'x', sizeof(name) - 1);
	EXPECT_EQ(-EMSGSIZE, nl_get(self->nl, name, &self->res));
	EXPECT_EQ(-EMSGSIZE, nl_stop(self->nl, name, 5, true, &self->res, &self->seq));
	EXPECT_EQ(-EMSGSIZE, nl_attach(self->nl, name, 2, 5, 7, timeline, 9, &self->seq));
	EXPECT_EQ(-EMSGSIZE, nl_detach(self->nl, name, 2));
	EXPECT_EQ(-EMSGSIZE, nl_freeze(self->nl, name));
	EXPECT_NE(NULL, strstr(nl_error(self->nl), "too big"));
}

static void put_event(uint32_t event)
{
	struct nlmsghdr *nlh = nl_build(fake.event + fake.event_bytes, fake.family,
					REPRISE_CMD_EVENT, 0, 0);

	mnl_attr_put_strz(nlh, REPRISE_A_NAME, "pg");
	if (event)
		mnl_attr_put_u32(nlh, REPRISE_A_EVENT, event);
	fake.event_bytes += MNL_ALIGN(nlh->nlmsg_len);
}

TEST_F(talk, events)
{
	struct nl_event event;
	struct nl *events;

	ASSERT_EQ(0, nl_events_open(&events));
	EXPECT_LE(0, nl_events_fd(events));
	EXPECT_EQ(0, nl_events_read(events, &event));
	put_event(1);
	put_event(0);		/* of a newer module */
	put_event(2);
	fake.receive_errors[0] = EINTR;
	EXPECT_EQ(1, nl_events_read(events, &event));
	EXPECT_EQ(1, event.event);
	EXPECT_EQ(1, nl_events_read(events, &event));
	EXPECT_EQ(2, event.event);
	EXPECT_EQ(0, nl_events_read(events, &event));
	/* Cut off in the middle. */
	put_event(3);
	fake.event_bytes -= 4;
	EXPECT_EQ(0, nl_events_read(events, &event));
	fake.receive_errors[0] = ENOBUFS;
	EXPECT_EQ(-ENOBUFS, nl_events_read(events, &event));
	nl_close(events);
	fake.group = 0;
	EXPECT_EQ(-EPROTO, nl_events_open(&events));
}

/* --- the same through the table that the agent uses -------------------------------- */

static unsigned int nr_opened;

static void note_opened(void *ctx)
{
	(void)ctx;
	nr_opened++;
}

TEST(without_a_module_nothing_can_be_asked)
{
	struct kernel_nl *knl = kernel_nl_create(NULL, NULL);
	static const uint8_t timeline[REPRISE_ID_BYTES];
	struct nl_resource res = { .name = "pg" }, *list;
	struct kernel k;
	uint64_t seq;
	size_t count;

	fake = (struct fake){ 0 };
	kernel_nl_ops(knl, &k);
	EXPECT_EQ(-ENOENT, k.ops->list(k.ctx, &list, &count));
	EXPECT_NE(NULL, strstr(k.ops->error(k.ctx), "modprobe"));
	EXPECT_EQ(-ENOENT, k.ops->get(k.ctx, "pg", &res));
	EXPECT_EQ(-ENOENT, k.ops->start(k.ctx, &res));
	EXPECT_EQ(-ENOENT, k.ops->set(k.ctx, &res));
	EXPECT_EQ(-ENOENT, k.ops->stop(k.ctx, "pg", 5, true, &res, &seq));
	EXPECT_EQ(-ENOENT, k.ops->attach(k.ctx, "pg", 2, 5, 7, timeline, 9, &seq));
	EXPECT_EQ(-ENOENT, k.ops->detach(k.ctx, "pg", 2));
	EXPECT_EQ(-ENOENT, k.ops->freeze(k.ctx, "pg"));
	fake.open_error = EPERM;
	EXPECT_EQ(-EPERM, k.ops->resume(k.ctx, "pg"));
	EXPECT_STREQ(strerror(EPERM), k.ops->error(k.ctx));
	kernel_nl_destroy(knl);
}

TEST(a_module_that_comes_later)
{
	struct kernel_nl *knl = kernel_nl_create(note_opened, NULL);
	static const uint8_t timeline[REPRISE_ID_BYTES];
	struct nl_resource res = { .name = "pg" }, *list;
	struct kernel k;
	uint64_t seq;
	size_t count;

	fake = (struct fake){ 0 };
	kernel_nl_ops(knl, &k);
	EXPECT_EQ(-ENOENT, k.ops->freeze(k.ctx, "pg"));
	EXPECT_EQ(0u, nr_opened);
	fake = (struct fake){ .family = 30, .items = 1 };
	ASSERT_EQ(0, k.ops->list(k.ctx, &list, &count));
	free(list);
	EXPECT_EQ(1u, nr_opened);
	EXPECT_EQ(0, k.ops->get(k.ctx, "pg", &res));
	EXPECT_EQ(0, k.ops->start(k.ctx, &res));
	EXPECT_EQ(2u, nr_opened);
	EXPECT_EQ(0, k.ops->set(k.ctx, &res));
	EXPECT_EQ(0, k.ops->stop(k.ctx, "pg", 5, true, &res, &seq));
	EXPECT_EQ(0, k.ops->attach(k.ctx, "pg", 2, 5, 7, timeline, 9, &seq));
	EXPECT_EQ(0, k.ops->detach(k.ctx, "pg", 2));
	EXPECT_EQ(0, k.ops->freeze(k.ctx, "pg"));
	fake.error = EBUSY;
	EXPECT_EQ(-EBUSY, k.ops->resume(k.ctx, "pg"));
	EXPECT_STREQ(strerror(EBUSY), k.ops->error(k.ctx));
	kernel_nl_destroy(knl);
}

/* A record, where the kernel would have written it. */
static void write_record(int fd, uint64_t bytes, uint64_t number)
{
	static const struct meta_volume volume = { .size_sectors = 8, .device_sectors = 4096 };
	struct meta meta = {
		.number = number, .resource_name = "pg", .node_name = "alpha", .node = 1,
		.nr_volumes = 1, .state = REPRISE_STORE_UNCLEAN, .nr_timelines = 1,
		.durability = REPRISE_DURABILITY_WRITE, .on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE,
		.logical_block_bytes = 512,
	};
	static uint8_t record[REPRISE_META_RECORD_BYTES];

	meta_encode(&meta, &volume, record);
	if (pwrite(fd, record, sizeof(record), meta_copy_offset(bytes, number)) < 0)
		abort();
}

TEST(a_record_is_read_from_the_disk)
{
	struct kernel_nl *knl = kernel_nl_create(NULL, NULL);
	char path[] = "/var/tmp/test_nl_talk.XXXXXX";
	const uint64_t bytes = 2 << 20;
	int fd = mkstemp(path);
	struct meta_volume volume;
	struct meta meta;
	struct kernel k;
	const char *why;

	kernel_nl_ops(knl, &k);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOSPC, k.ops->peek(k.ctx, path, &meta, &volume, &why));
	ASSERT_EQ(0, ftruncate(fd, bytes));
	EXPECT_EQ(-ENOENT, k.ops->peek(k.ctx, path, &meta, &volume, &why));
	write_record(fd, bytes, 6);
	write_record(fd, bytes, 7);
	ASSERT_EQ(0, k.ops->peek(k.ctx, path, &meta, &volume, &why)) TH_LOG("%s", why);
	EXPECT_EQ(7u, meta.number);
	close(fd);
	unlink(path);
	EXPECT_EQ(-ENOENT, k.ops->peek(k.ctx, path, &meta, &volume, &why));
	EXPECT_STREQ("cannot be opened", why);
	kernel_nl_destroy(knl);
}

TEST_HARNESS_MAIN
