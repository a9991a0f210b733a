// SPDX-License-Identifier: GPL-2.0
/*
 * Netlink messages without a kernel: what is built is read back, and whatever
 * bytes arrive are either understood or refused (the sanitizers watch the
 * edges).
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

#include "agent/nl_message.h"
#include "kselftest_harness.h"

enum { BUFFER_BYTES = 64 << 10, FAMILY = 40 };

static char buffer[BUFFER_BYTES] __attribute__((aligned(8)));

static void put_peer(struct nlmsghdr *nlh, int node)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, REPRISE_A_PEER);

	mnl_attr_put_u16(nlh, REPRISE_P_NODE, node);
	mnl_attr_put_strz(nlh, REPRISE_P_NAME, "beta");
	mnl_attr_put_u32(nlh, REPRISE_P_STATE, REPRISE_PEER_BEHIND);
	mnl_attr_put_u64(nlh, REPRISE_P_SENT, 100);
	mnl_attr_put_u64(nlh, REPRISE_P_RECEIVED, 99);
	mnl_attr_put_u64(nlh, REPRISE_P_DURABLE, 98);
	mnl_attr_put_u64(nlh, REPRISE_P_APPLIED, 97);
	mnl_attr_put_strz(nlh, REPRISE_P_REASON, "it went away");
	mnl_attr_put_u64(nlh, REPRISE_P_DIRTY_BLOCKS, 5);
	mnl_attr_put(nlh, REPRISE_P_DIRTY_ALL, 0, NULL);
	mnl_attr_nest_end(nlh, nest);
}

static void put_volume(struct nlmsghdr *nlh, int number)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, REPRISE_A_VOLUME);
	uint64_t latency[REPRISE_HIST_BUCKETS] = { [7] = 42 };

	mnl_attr_put_u16(nlh, REPRISE_V_NUMBER, number);
	mnl_attr_put_u32(nlh, REPRISE_V_MINOR, 7);
	mnl_attr_put_u64(nlh, REPRISE_V_SECTORS, 1 << 20);
	mnl_attr_put(nlh, REPRISE_V_LATENCY, sizeof(latency), latency);
	mnl_attr_nest_end(nlh, nest);
}

static struct nlmsghdr *build_answer(unsigned int volumes, unsigned int peers)
{
	struct nlmsghdr *nlh = nl_build(buffer, FAMILY, REPRISE_CMD_GET, 0, 1);
	uint8_t id[REPRISE_ID_BYTES] = { 1, 2, 3 };

	mnl_attr_put_strz(nlh, REPRISE_A_NAME, "pg");
	mnl_attr_put(nlh, REPRISE_A_RESOURCE_ID, sizeof(id), id);
	mnl_attr_put_u16(nlh, REPRISE_A_NODE, 1);
	mnl_attr_put_u64(nlh, REPRISE_A_SEQ, 101);
	mnl_attr_put_u32(nlh, REPRISE_A_DURABILITY, REPRISE_DURABILITY_FLUSH);
	mnl_attr_put(nlh, REPRISE_A_FROZEN, 0, NULL);
	mnl_attr_put_u32(nlh, REPRISE_A_MAX + 5, 1);	/* from a newer module */
	for (unsigned int i = 0; i < volumes; i++)
		put_volume(nlh, i);
	for (unsigned int i = 0; i < peers; i++)
		put_peer(nlh, i + 2);
	return nlh;
}

TEST(resource_is_read)
{
	struct nl_resource res;

	ASSERT_EQ(0, nl_parse_resource(build_answer(2, 1), &res));
	EXPECT_STREQ("pg", res.name);
	EXPECT_EQ(3, res.id[2]);
	EXPECT_EQ(101u, res.seq);
	EXPECT_TRUE(res.frozen);
	ASSERT_EQ(2u, res.nr_volumes);
	EXPECT_EQ(1u, res.volumes[1].number);
	EXPECT_EQ(7, res.volumes[1].minor);
	EXPECT_EQ(-1, res.volumes[1].backing_fd);
	EXPECT_EQ(42u, res.volumes[0].latency[7]);
	ASSERT_EQ(1u, res.nr_peers);
	EXPECT_EQ(2u, res.peers[0].node);
	EXPECT_TRUE(res.peers[0].state == REPRISE_PEER_BEHIND);
	EXPECT_EQ(97u, res.peers[0].applied);
	EXPECT_STREQ("it went away", res.peers[0].reason);
	EXPECT_TRUE(res.peers[0].dirty_all);
}

TEST(start_is_read_back)
{
	struct nl_resource res = {
		.name = "pg", .node = 3, .generation = 9, .seq = 77, .frozen = true,
		.durability = REPRISE_DURABILITY_WRITE, .timeout_ms = 6000,
		.nr_volumes = 2, .nr_peers = 1,
		.volumes = {
			{ .number = 0, .minor = -1, .backing_fd = 5, .sectors = 8 },
			{ .number = 4, .minor = 12, .backing_fd = 6, .logical_block_bytes = 4096 },
		},
		.peers = { { .node = 2, .name = "beta" } },
	}, got;
	struct nlmsghdr *nlh = nl_build(buffer, FAMILY, REPRISE_CMD_START, NLM_F_ACK, 1);

	memset(res.timeline_id, 0xab, sizeof(res.timeline_id));
	ASSERT_TRUE(nl_build_start(nlh, BUFFER_BYTES, &res));
	ASSERT_EQ(0, nl_parse_resource(nlh, &got));
	EXPECT_EQ(0, memcmp(&res, &got, sizeof(res)));
	EXPECT_FALSE(nl_build_start(nl_build(buffer, FAMILY, REPRISE_CMD_START, 0, 1), 128, &res));
}

/* In a buffer of @bytes; false: it does not fit. */
static bool start_fits(size_t bytes, bool frozen)
{
	struct nl_resource res = {
		.name = "pg", .durability = REPRISE_DURABILITY_WRITE,
		.on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE, .timeout_ms = 6000, .queue_kib = 1024,
		.nr_volumes = 1, .nr_peers = 1, .peers = { { .node = 2, .name = "beta" } },
	};

	res.frozen = frozen;
	return nl_build_start(nl_build(buffer, FAMILY, REPRISE_CMD_START, 0, 1), bytes, &res);
}

static bool build_start(size_t bytes)
{
	return start_fits(bytes, false);
}

static bool build_start_frozen(size_t bytes)
{
	return start_fits(bytes, true);
}

static bool build_stop(size_t bytes)
{
	return nl_build_stop(nl_build(buffer, FAMILY, REPRISE_CMD_STOP, 0, 1), bytes, "pg", 5, true);
}

static bool build_attach(size_t bytes)
{
	static const uint8_t timeline[REPRISE_ID_BYTES];

	return nl_build_attach(nl_build(buffer, FAMILY, REPRISE_CMD_ATTACH, 0, 1), bytes, "pg", 2,
			       5, 7, timeline, 9);
}

static bool build_detach(size_t bytes)
{
	return nl_build_detach(nl_build(buffer, FAMILY, REPRISE_CMD_DETACH, 0, 1), bytes, "pg", 2);
}

/* Whatever the room, what is built stays within it; and it fits exactly where it ends. */
TEST(no_request_leaves_its_buffer)
{
	bool (*const builds[])(size_t bytes) = { build_start, build_start_frozen, build_stop,
						 build_attach, build_detach };

	for (unsigned int i = 0; i < 5; i++) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)buffer;
		size_t whole;

		ASSERT_TRUE(builds[i](BUFFER_BYTES));
		whole = nlh->nlmsg_len;
		for (size_t bytes = NLMSG_HDRLEN + GENL_HDRLEN; bytes < whole; bytes++) {
			EXPECT_FALSE(builds[i](bytes));
			EXPECT_LE(nlh->nlmsg_len, bytes);
		}
		EXPECT_TRUE(builds[i](whole));
	}
}

TEST(a_message_has_its_head)
{
	struct nlmsghdr nlh = { .nlmsg_len = sizeof(nlh) };

	EXPECT_TRUE(nl_message_ok(&nlh, sizeof(nlh)));
	EXPECT_FALSE(nl_message_ok(&nlh, sizeof(nlh) - 1));
	nlh.nlmsg_len = sizeof(nlh) + 1;
	EXPECT_FALSE(nl_message_ok(&nlh, sizeof(nlh)));
	nlh.nlmsg_len = sizeof(nlh) - 1;
	EXPECT_FALSE(nl_message_ok(&nlh, sizeof(nlh)));
}

TEST(stop_and_settings_without_options)
{
	struct nl_resource got, res = { .name = "pg" };
	struct nlmsghdr *nlh = nl_build(buffer, FAMILY, REPRISE_CMD_STOP, 0, 1);

	ASSERT_TRUE(nl_build_stop(nlh, BUFFER_BYTES, "pg", 5, false));
	ASSERT_EQ(0, nl_parse_resource(nlh, &got));
	EXPECT_STREQ("pg", got.name);
	nlh = nl_build(buffer, FAMILY, REPRISE_CMD_SET, 0, 1);
	ASSERT_TRUE(nl_build_settings(nlh, BUFFER_BYTES, &res));
	EXPECT_EQ(NLMSG_HDRLEN + GENL_HDRLEN, nlh->nlmsg_len);
}

TEST(too_many_are_refused)
{
	struct nl_resource res = { .seq = 1 };

	EXPECT_EQ(0, nl_parse_resource(build_answer(REPRISE_MAX_VOLUMES, REPRISE_MAX_NODES), &res));
	EXPECT_EQ(-EBADMSG, nl_parse_resource(build_answer(REPRISE_MAX_VOLUMES + 1, 0), &res));
	EXPECT_EQ(-EBADMSG, nl_parse_resource(build_answer(0, REPRISE_MAX_NODES + 1), &res));
}

TEST(bad_values_are_refused_and_fill_nothing)
{
	struct nl_resource res = { .seq = 1234 };
	struct nlmsghdr *nlh;

	nlh = build_answer(0, 0);
	mnl_attr_put_u32(nlh, REPRISE_A_GENERATION, 1);	/* is a u64 */
	EXPECT_EQ(-EBADMSG, nl_parse_resource(nlh, &res));
	nlh = build_answer(0, 0);
	mnl_attr_put_u32(nlh, REPRISE_A_DURABILITY, 99);
	EXPECT_EQ(-EBADMSG, nl_parse_resource(nlh, &res));
	nlh = build_answer(0, 0);
	mnl_attr_put_u32(nlh, REPRISE_A_ON_PEER_LOSS, 99);
	EXPECT_EQ(-EBADMSG, nl_parse_resource(nlh, &res));
	nlh = build_answer(0, 0);
	mnl_attr_put(nlh, REPRISE_A_NAME, 2, "pg");	/* without the nul */
	EXPECT_EQ(-EBADMSG, nl_parse_resource(nlh, &res));
	EXPECT_EQ(1234u, res.seq);
}

/* They would leak, and hold the devices, if nobody closed them. */
TEST(descriptors_of_an_answer_not_understood)
{
	struct nlmsghdr *nlh = build_answer(1, 1);
	struct nl_resource res;
	struct nlattr *nest;
	int fds[3];

	for (int i = 0; i < 3; i++) {
		nest = mnl_attr_nest_start(nlh, REPRISE_A_VOLUME);
		mnl_attr_put_u32(nlh, REPRISE_V_NUMBER, i);	/* is a u16 */
		mnl_attr_put_u32(nlh, REPRISE_V_BACKING_FD, i == 1 ? -1 : 100 + i);
		mnl_attr_nest_end(nlh, nest);
	}
	EXPECT_EQ(-EBADMSG, nl_parse_resource(nlh, &res));
	ASSERT_EQ(2u, nl_parse_fds(nlh, fds, 3));
	EXPECT_EQ(100, fds[0]);
	EXPECT_EQ(102, fds[1]);
	EXPECT_EQ(1u, nl_parse_fds(nlh, fds, 1));
	EXPECT_EQ(0u, nl_parse_fds(build_answer(1, 1), fds, 3));
}

TEST(long_strings_are_cut)
{
	struct nl_event event;
	struct nlmsghdr *nlh = nl_build(buffer, FAMILY, REPRISE_CMD_EVENT, 0, 0);
	char reason[1000];
	struct nlattr *nest;

	memset(reason, 'r', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	mnl_attr_put_strz(nlh, REPRISE_A_NAME, "pg");
	mnl_attr_put_u32(nlh, REPRISE_A_EVENT, REPRISE_EVENT_PEER_LOST);
	nest = mnl_attr_nest_start(nlh, REPRISE_A_PEER);
	mnl_attr_put_u16(nlh, REPRISE_P_NODE, 2);
	mnl_attr_put_strz(nlh, REPRISE_P_REASON, reason);
	mnl_attr_nest_end(nlh, nest);
	ASSERT_EQ(0, nl_parse_event(nlh, &event));
	EXPECT_TRUE(event.event == REPRISE_EVENT_PEER_LOST);
	EXPECT_EQ(2u, event.peer);
	EXPECT_EQ(sizeof(event.reason) - 1, strlen(event.reason));
}

static struct nlmsghdr *build_family(void)
{
	struct nlmsghdr *nlh = nl_build(buffer, GENL_ID_CTRL, CTRL_CMD_NEWFAMILY, 0, 1);
	struct nlattr *groups, *group;

	mnl_attr_put_u16(nlh, CTRL_ATTR_FAMILY_ID, FAMILY);
	groups = mnl_attr_nest_start(nlh, CTRL_ATTR_MCAST_GROUPS);
	for (int i = 0; i < 2; i++) {
		group = mnl_attr_nest_start(nlh, i + 1);
		mnl_attr_put_u32(nlh, CTRL_ATTR_MCAST_GRP_ID, 10 + i);
		mnl_attr_put_strz(nlh, CTRL_ATTR_MCAST_GRP_NAME,
				  i ? REPRISE_GENL_MCGRP : "others");
		mnl_attr_nest_end(nlh, group);
	}
	mnl_attr_nest_end(nlh, groups);
	return nlh;
}

TEST(family_is_read)
{
	struct nl_family family;

	ASSERT_EQ(0, nl_parse_family(build_family(), &family));
	EXPECT_EQ(FAMILY, family.id);
	EXPECT_EQ(11u, family.group);
}

/* As the kernel builds them: capped or with the request repeated. */
static struct nlmsghdr *build_ack(bool capped)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nlmsgerr *error = mnl_nlmsg_put_extra_header(nlh, sizeof(*error));

	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_flags = NLM_F_ACK_TLVS | (capped ? NLM_F_CAPPED : 0);
	error->error = -EBUSY;
	error->msg.nlmsg_len = NLMSG_HDRLEN + 20;
	if (!capped)
		mnl_nlmsg_put_extra_header(nlh, 20);
	mnl_attr_put_u32(nlh, NLMSGERR_ATTR_OFFS, 24);
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, "volume 0 (minor 3) is open");
	return nlh;
}

TEST(extended_ack_is_read)
{
	char text[64];
	int err;

	for (int capped = 0; capped < 2; capped++) {
		ASSERT_EQ(0, nl_parse_ack(build_ack(capped), &err, text, sizeof(text)));
		EXPECT_EQ(-EBUSY, err);
		EXPECT_STREQ("volume 0 (minor 3) is open", text);
	}
}

static void parse_all(const struct nlmsghdr *nlh, size_t length)
{
	struct nl_resource res;
	struct nl_family family;
	struct nl_event event;
	char text[32];
	int err, fds[4];

	if (!nl_message_ok(nlh, length))
		return;
	(void)nl_parse_resource(nlh, &res);
	(void)nl_parse_event(nlh, &event);
	(void)nl_parse_fds(nlh, fds, 4);
	(void)nl_parse_family(nlh, &family);
	(void)nl_parse_ack(nlh, &err, text, sizeof(text));
}

static void mutate(char *bytes, size_t length)
{
	for (int i = random() % 4; i >= 0; i--) {
		size_t at = random() % length;

		if (random() % 2)
			bytes[at] = random();
		else
			bytes[at] ^= 1 << random() % 8;
	}
}

TEST(mutated_messages_stay_in_bounds)
{
	srandom(7);
	for (int step = 0; step < 40000; step++) {
		struct nlmsghdr *nlh;
		size_t length;
		char *copy;

		switch (step % 4) {
		case 0:
			nlh = build_answer(1, 1);
			break;
		case 1:
			nlh = build_family();
			break;
		case 2:
			nlh = build_ack(step & 4);
			break;
		default:
			nlh = build_answer(0, 1);
			((struct genlmsghdr *)mnl_nlmsg_get_payload(nlh))->cmd = REPRISE_CMD_EVENT;
			break;
		}
		length = nlh->nlmsg_len;
		if (random() % 4 == 0)
			length = nlh->nlmsg_len = sizeof(*nlh) + random() % (length - sizeof(*nlh));
		/* Exactly as long as the message, so that one byte beyond is seen. */
		copy = malloc(length);
		memcpy(copy, nlh, length);
		mutate(copy, length);
		parse_all((struct nlmsghdr *)copy, length);
		free(copy);
	}
}

TEST_HARNESS_MAIN
