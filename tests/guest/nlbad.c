// SPDX-License-Identifier: GPL-2.0
/*
 * Netlink messages that must be refused: one by one, each a valid message
 * with one defect and the error it must get; at random, from a seed; and all
 * of them from somebody without the privilege.
 *
 * The one idea: whatever is sent, exactly one answer comes, and afterwards
 * the module runs nothing that was not asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/fs.h>
#include <time.h>
#include <unistd.h>

#include "../../kmod/uapi/reprise_frame.h"
#include "../../kmod/uapi/reprise_netlink.h"
#include "tests/load.h"

enum { MESSAGE_BYTES = 4096, OMIT = -1, WORDS_BYTES = 128, OWN_NODE = 1, PEER_NODE = 2 };
enum level { TOP, VOLUME, PEER };

static struct mnl_socket *nl;
static uint16_t family;
static uint32_t sequence;
static char buffer[MESSAGE_BYTES], answer[1 << 16], words[WORDS_BYTES];
static unsigned int resources;
static char last_name[REPRISE_NAME_MAX + 1];

static struct {
	int device, readonly, null, udp, unconnected, tcp, other_end;
	uint64_t sectors;
} fds;

static int die(const char *what)
{
	perror(what);
	exit(1);
}

/* --- one message, one answer ------------------------------------------- */

static struct nlmsghdr *begin(uint8_t cmd, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = family;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	nlh->nlmsg_seq = ++sequence;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = REPRISE_GENL_VERSION;
	return nlh;
}

static void take_words(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	size_t at = sizeof(struct nlmsghdr) + sizeof(*error);
	const struct nlattr *attr;

	words[0] = 0;
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		at += error->msg.nlmsg_len - sizeof(struct nlmsghdr);
	for (attr = (const void *)((const char *)nlh + MNL_ALIGN(at));
	     mnl_attr_ok(attr, (const char *)nlh + nlh->nlmsg_len - (const char *)attr);
	     attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
			snprintf(words, sizeof(words), "%s", mnl_attr_get_str(attr));
}

/* A resource in a dump, or the family's id. */
static void take_data(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;

	resources++;
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		if (nlh->nlmsg_type == family && mnl_attr_get_type(attr) == REPRISE_A_NAME)
			snprintf(last_name, sizeof(last_name), "%s", mnl_attr_get_str(attr));
		if (nlh->nlmsg_type == GENL_ID_CTRL &&
		    mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			family = mnl_attr_get_u16(attr);
	}
}

/* 0 or the error, positive; dies without an answer. */
static int talk(struct nlmsghdr *nlh)
{
	ssize_t bytes;
	int left;

	resources = 0;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		die("send");
	for (;;) {
		bytes = mnl_socket_recvfrom(nl, answer, sizeof(answer));
		if (bytes < 0)
			die("no answer");
		left = bytes;
		for (nlh = (void *)answer; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_seq != sequence)
				continue;
			if (nlh->nlmsg_type == NLMSG_DONE)
				return -*(int *)mnl_nlmsg_get_payload(nlh);
			if (nlh->nlmsg_type != NLMSG_ERROR) {
				take_data(nlh);
				continue;
			}
			take_words(nlh);
			return -((struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
		}
	}
}

static void connect_netlink(void)
{
	struct timeval limit = { .tv_sec = 20 };
	struct nlmsghdr *nlh;
	int one = 1;

	nl = mnl_socket_open(NETLINK_GENERIC);
	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID))
		die("netlink");
	setsockopt(mnl_socket_get_fd(nl), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	family = GENL_ID_CTRL;
	nlh = begin(CTRL_CMD_GETFAMILY, 0);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, REPRISE_GENL_NAME);
	if (talk(nlh) || family == GENL_ID_CTRL)
		die("family reprise");
}

/* --- one defect each ----------------------------------------------------- */

struct bad {
	const char *what;
	int cmd;
	enum level level;
	int attr;
	int bytes;		/* OMIT, or the length of what stands there instead */
	int64_t value;		/* its first bytes; the rest repeats the last one */
	int error;
};

static void put_value(struct nlmsghdr *nlh, const struct bad *bad)
{
	char data[256];

	for (int i = 0; i < bad->bytes; i++)
		data[i] = i < 8 ? bad->value >> 8 * i : 'x';
	mnl_attr_put(nlh, bad->attr, bad->bytes, data);
}

static void put(struct nlmsghdr *nlh, const struct bad *bad, enum level level, int attr,
		int bytes, const void *data)
{
	if (!bad || bad->level != level || bad->attr != attr)
		mnl_attr_put(nlh, attr, bytes, data);
}

static void put_number(struct nlmsghdr *nlh, const struct bad *bad, enum level level, int attr,
		       int bytes, uint64_t value)
{
	put(nlh, bad, level, attr, bytes, &value);
}

static void put_extra(struct nlmsghdr *nlh, const struct bad *bad, enum level level)
{
	if (bad && bad->level == level && bad->bytes != OMIT)
		put_value(nlh, bad);
}

static void put_volume(struct nlmsghdr *nlh, const struct bad *bad)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, REPRISE_A_VOLUME);

	put_number(nlh, bad, VOLUME, REPRISE_V_NUMBER, 2, 0);
	put_number(nlh, bad, VOLUME, REPRISE_V_MINOR, 4, -1);
	put_number(nlh, bad, VOLUME, REPRISE_V_BACKING_FD, 4, fds.device);
	put_number(nlh, bad, VOLUME, REPRISE_V_SECTORS, 8, fds.sectors);
	put_number(nlh, bad, VOLUME, REPRISE_V_LOGICAL_BLOCK, 4, 512);
	put_extra(nlh, bad, VOLUME);
	mnl_attr_nest_end(nlh, nest);
}

static void put_peer(struct nlmsghdr *nlh, const struct bad *bad, bool attach)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, REPRISE_A_PEER);

	put_number(nlh, bad, PEER, REPRISE_P_NODE, 2, PEER_NODE);
	if (attach) {
		put_number(nlh, bad, PEER, REPRISE_P_SOCKET_FD, 4, fds.tcp);
		put_number(nlh, bad, PEER, REPRISE_P_SESSION, 8, 77);
		put_number(nlh, bad, PEER, REPRISE_P_POSITION, 8, 0);
	} else {
		put(nlh, bad, PEER, REPRISE_P_NAME, 3, "pp");
	}
	put_extra(nlh, bad, PEER);
	mnl_attr_nest_end(nlh, nest);
}

static const char id[REPRISE_ID_BYTES] = "0123456789abcde", timeline[REPRISE_ID_BYTES] = "timeline";

static struct nlmsghdr *build(int cmd, const struct bad *bad)
{
	struct nlmsghdr *nlh = begin(cmd, 0);

	put(nlh, bad, TOP, REPRISE_A_NAME, 5, "fuzz");
	if (cmd == REPRISE_CMD_START) {
		put(nlh, bad, TOP, REPRISE_A_RESOURCE_ID, REPRISE_ID_BYTES, id);
		put_number(nlh, bad, TOP, REPRISE_A_NODE, 2, OWN_NODE);
		put(nlh, bad, TOP, REPRISE_A_TIMELINE_ID, REPRISE_ID_BYTES, timeline);
		put_number(nlh, bad, TOP, REPRISE_A_GENERATION, 8, 1);
		put_number(nlh, bad, TOP, REPRISE_A_SEQ, 8, 0);
		if (!bad || bad->attr != REPRISE_A_VOLUME || bad->level != TOP)
			put_volume(nlh, bad);
		put_peer(nlh, bad, false);
	}
	if (cmd == REPRISE_CMD_ATTACH) {
		put(nlh, bad, TOP, REPRISE_A_TIMELINE_ID, REPRISE_ID_BYTES, timeline);
		if (!bad || bad->attr != REPRISE_A_PEER || bad->level != TOP)
			put_peer(nlh, bad, true);
	}
	if (cmd == REPRISE_CMD_STOP)
		put(nlh, bad, TOP, REPRISE_A_FORCE, 0, NULL);
	put_extra(nlh, bad, TOP);
	return nlh;
}

#define BAD_START(level, attr, bytes, value, error) \
	{ "start, " #attr " " #bytes " bytes " #value, REPRISE_CMD_START, level, attr, bytes, \
	  value, error }
#define BAD(cmd, level, attr, bytes, value, error) \
	{ #cmd ", " #attr " " #bytes " bytes " #value, cmd, level, attr, bytes, value, error }

static const struct bad while_nothing_runs[] = {
	BAD_START(TOP, REPRISE_A_NAME, OMIT, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_NAME, 1, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_NAME, 4, 0x41414141, EINVAL),
	BAD_START(TOP, REPRISE_A_NAME, 5, 0x782f2e2e, EINVAL),
	BAD_START(TOP, REPRISE_A_NAME, 4, 0x2f6261, EINVAL),
	BAD_START(TOP, REPRISE_A_NAME, 200, 0x4141414141414141, EINVAL),
	BAD_START(TOP, REPRISE_A_RESOURCE_ID, OMIT, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_RESOURCE_ID, 15, 1, EINVAL),
	BAD_START(TOP, REPRISE_A_RESOURCE_ID, 17, 1, EINVAL),
	BAD_START(TOP, REPRISE_A_NODE, OMIT, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_NODE, 2, 0, ERANGE),
	BAD_START(TOP, REPRISE_A_NODE, 2, 17, ERANGE),
	BAD_START(TOP, REPRISE_A_NODE, 1, 1, EINVAL),
	BAD_START(TOP, REPRISE_A_TIMELINE_ID, OMIT, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_TIMELINE_ID, 0, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_GENERATION, OMIT, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_SEQ, OMIT, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_SEQ, 4, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_SEQ, 8, -1, ERANGE),
	BAD_START(TOP, REPRISE_A_DURABILITY, 4, 0, ERANGE),
	BAD_START(TOP, REPRISE_A_DURABILITY, 4, 5, ERANGE),
	BAD_START(TOP, REPRISE_A_ON_PEER_LOSS, 4, 0, ERANGE),
	BAD_START(TOP, REPRISE_A_ON_PEER_LOSS, 4, 4, ERANGE),
	BAD_START(TOP, REPRISE_A_TIMEOUT_MS, 4, 99, ERANGE),
	BAD_START(TOP, REPRISE_A_TIMEOUT_MS, 4, 600001, ERANGE),
	BAD_START(TOP, REPRISE_A_QUEUE_KIB, 4, 1023, ERANGE),
	BAD_START(TOP, REPRISE_A_QUEUE_KIB, 4, 1048577, ERANGE),
	BAD_START(TOP, REPRISE_A_FROZEN, 4, 1, EINVAL),
	BAD_START(TOP, REPRISE_A_COMMIT, 8, 1, EINVAL),
	BAD_START(TOP, REPRISE_A_EVENT, 4, 1, EINVAL),
	BAD_START(TOP, 60, 4, 1, EINVAL),
	BAD_START(TOP, REPRISE_A_VOLUME, OMIT, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_VOLUME, 0, 0, EINVAL),
	BAD_START(TOP, REPRISE_A_VOLUME, 3, 0, EINVAL),
	BAD_START(VOLUME, REPRISE_V_NUMBER, OMIT, 0, EINVAL),
	BAD_START(VOLUME, REPRISE_V_NUMBER, 2, 16, ERANGE),
	BAD_START(VOLUME, REPRISE_V_MINOR, 4, -2, ERANGE),
	BAD_START(VOLUME, REPRISE_V_MINOR, 4, 1 << 20, ERANGE),
	BAD_START(VOLUME, REPRISE_V_BACKING_FD, OMIT, 0, EINVAL),
	BAD_START(VOLUME, REPRISE_V_BACKING_FD, 4, -1, ERANGE),
	BAD_START(VOLUME, REPRISE_V_BACKING_FD, 4, 999, EBADF),
	BAD_START(VOLUME, REPRISE_V_SECTORS, OMIT, 0, EINVAL),
	BAD_START(VOLUME, REPRISE_V_SECTORS, 8, 0, EINVAL),
	BAD_START(VOLUME, REPRISE_V_SECTORS, 8, -1, EINVAL),
	BAD_START(VOLUME, REPRISE_V_SECTORS, 8, 1LL << 40, EINVAL),
	BAD_START(VOLUME, REPRISE_V_LOGICAL_BLOCK, OMIT, 0, EINVAL),
	BAD_START(VOLUME, REPRISE_V_LOGICAL_BLOCK, 4, 0, EINVAL),
	BAD_START(VOLUME, REPRISE_V_LOGICAL_BLOCK, 4, 1000, EINVAL),
	BAD_START(VOLUME, REPRISE_V_LOGICAL_BLOCK, 4, 8192, EINVAL),
	BAD_START(VOLUME, REPRISE_V_IO_ERRORS, 8, 1, EINVAL),
	BAD_START(VOLUME, REPRISE_V_WRITE_ERRORS, 8, 1, EINVAL),
	BAD_START(VOLUME, 60, 8, 1, EINVAL),
	BAD_START(PEER, REPRISE_P_NODE, OMIT, 0, EINVAL),
	BAD_START(PEER, REPRISE_P_NODE, 2, 0, ERANGE),
	BAD_START(PEER, REPRISE_P_NODE, 2, 17, ERANGE),
	BAD_START(PEER, REPRISE_P_NODE, 2, OWN_NODE, EINVAL),
	BAD_START(PEER, REPRISE_P_NAME, OMIT, 0, EINVAL),
	BAD_START(PEER, REPRISE_P_NAME, 100, 0x41414141, EINVAL),
	BAD_START(PEER, REPRISE_P_DURABLE, 8, 1, EINVAL),
	BAD(REPRISE_CMD_GET, TOP, 0, OMIT, 0, ENOENT),
	BAD(REPRISE_CMD_GET, TOP, REPRISE_A_NAME, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_SET, TOP, 0, OMIT, 0, ENOENT),
	BAD(REPRISE_CMD_STOP, TOP, 0, OMIT, 0, ENOENT),
	BAD(REPRISE_CMD_STOP, TOP, REPRISE_A_NAME, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_ATTACH, TOP, 0, OMIT, 0, ENOENT),
	BAD(REPRISE_CMD_DETACH, TOP, 0, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_FREEZE, TOP, 0, OMIT, 0, ENOENT),
	BAD(REPRISE_CMD_RESUME, TOP, REPRISE_A_NAME, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_UNSPEC, TOP, 0, OMIT, 0, EOPNOTSUPP),
	BAD(REPRISE_CMD_EVENT, TOP, 0, OMIT, 0, EOPNOTSUPP),
	BAD(200, TOP, 0, OMIT, 0, EOPNOTSUPP),
};

static const struct bad while_it_runs[] = {
	BAD_START(TOP, 0, OMIT, 0, EEXIST),
	BAD(REPRISE_CMD_SET, TOP, REPRISE_A_DURABILITY, 4, 9, ERANGE),
	BAD(REPRISE_CMD_SET, TOP, REPRISE_A_TIMEOUT_MS, 4, 1, ERANGE),
	BAD(REPRISE_CMD_SET, TOP, REPRISE_A_QUEUE_KIB, 4, 1, ERANGE),
	BAD(REPRISE_CMD_ATTACH, TOP, REPRISE_A_PEER, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_ATTACH, TOP, REPRISE_A_PEER, 0, 0, EINVAL),
	BAD(REPRISE_CMD_ATTACH, TOP, REPRISE_A_TIMELINE_ID, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_ATTACH, TOP, REPRISE_A_TIMELINE_ID, 16, 1, ESTALE),
	BAD(REPRISE_CMD_ATTACH, PEER, REPRISE_P_NODE, 2, 9, ENOENT),
	BAD(REPRISE_CMD_ATTACH, PEER, REPRISE_P_NODE, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_ATTACH, PEER, REPRISE_P_SOCKET_FD, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_ATTACH, PEER, REPRISE_P_SOCKET_FD, 4, 999, EBADF),
	BAD(REPRISE_CMD_ATTACH, PEER, REPRISE_P_SESSION, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_ATTACH, PEER, REPRISE_P_POSITION, OMIT, 0, EINVAL),
	BAD(REPRISE_CMD_ATTACH, PEER, REPRISE_P_POSITION, 8, 1000, ERANGE),
	BAD(REPRISE_CMD_DETACH, TOP, REPRISE_A_PEER, OMIT, 0, EINVAL),
};

/* Descriptors of the wrong kind: their numbers are not known to a table. */
static unsigned int wrong_descriptors(bool running)
{
	const struct { const char *what; int cmd, attr, fd, error; } list[] = {
		{ "null device", REPRISE_CMD_START, REPRISE_V_BACKING_FD, fds.null, ENOTBLK },
		{ "read-only", REPRISE_CMD_START, REPRISE_V_BACKING_FD, fds.readonly, EACCES },
		{ "socket", REPRISE_CMD_START, REPRISE_V_BACKING_FD, fds.tcp, ENOTBLK },
		{ "no socket", REPRISE_CMD_ATTACH, REPRISE_P_SOCKET_FD, fds.null, ENOTSOCK },
		{ "UDP", REPRISE_CMD_ATTACH, REPRISE_P_SOCKET_FD, fds.udp, EPROTONOSUPPORT },
		{ "unconnected", REPRISE_CMD_ATTACH, REPRISE_P_SOCKET_FD, fds.unconnected, ENOTCONN },
	};
	unsigned int wrong = 0;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct bad bad = { list[i].what, list[i].cmd,
				   list[i].cmd == REPRISE_CMD_START ? VOLUME : PEER, list[i].attr, 4,
				   list[i].fd, list[i].error };
		int error;

		if ((bad.cmd == REPRISE_CMD_ATTACH) != running)
			continue;
		error = talk(build(bad.cmd, &bad));
		if (error == bad.error && words[0])
			continue;
		printf("# nlbad: descriptor %s: %s, \"%s\"; expected: %s, and words\n", bad.what,
		       strerror(error), words, strerror(bad.error));
		wrong++;
	}
	return wrong;
}

/* The kernel's own policy says one or the other, by version. */
static bool same_error(int error, int expected)
{
	if (error == ERANGE)
		error = EINVAL;
	if (expected == ERANGE)
		expected = EINVAL;
	return error == expected;
}

static unsigned int refuse_all(const struct bad *list, size_t count)
{
	unsigned int wrong = 0;

	for (size_t i = 0; i < count; i++) {
		int error = talk(build(list[i].cmd, &list[i]));

		if (same_error(error, list[i].error) && (words[0] || error == EOPNOTSUPP))
			continue;
		printf("# nlbad: %s: %s, \"%s\"; expected: %s, and words\n", list[i].what,
		       strerror(error), words, strerror(list[i].error));
		wrong++;
	}
	return wrong;
}

static int expect(const char *what, int error, int expected)
{
	if (error == expected)
		return 0;
	printf("# nlbad: %s: %s \"%s\", expected: %s\n", what, strerror(error), words,
	       strerror(expected));
	return 1;
}

static unsigned int running(void)
{
	if (talk(begin(REPRISE_CMD_GET, NLM_F_DUMP)))
		die("dump");
	return resources;
}

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static int one_by_one(void)
{
	unsigned int wrong = refuse_all(while_nothing_runs, COUNT(while_nothing_runs));

	wrong += wrong_descriptors(false);
	wrong += expect("nothing runs", running(), 0);
	wrong += expect("a valid start", talk(build(REPRISE_CMD_START, NULL)), 0);
	wrong += refuse_all(while_it_runs, COUNT(while_it_runs));
	wrong += wrong_descriptors(true);
	wrong += expect("one runs", running(), 1);
	wrong += expect("a valid attach", talk(build(REPRISE_CMD_ATTACH, NULL)), 0);
	wrong += expect("stop", talk(build(REPRISE_CMD_STOP, NULL)), 0);
	wrong += expect("nothing runs any more", running(), 0);
	return wrong != 0;
}

/* --- at random ------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
	return load_random(&random_state) % below;
}

static void put_random(struct nlmsghdr *nlh, int depth)
{
	static const uint8_t lengths[] = { 0, 1, 2, 4, 4, 8, 8, 16, 64 };
	uint8_t data[64];
	size_t length = lengths[pick(sizeof(lengths))];

	if (nlh->nlmsg_len > MESSAGE_BYTES - 256)
		return;
	if (depth && !pick(4)) {
		struct nlattr *nest = mnl_attr_nest_start(nlh, pick(__REPRISE_A_MAX + 2));

		for (uint32_t i = pick(6); i; i--)
			put_random(nlh, depth - 1);
		mnl_attr_nest_end(nlh, nest);
		return;
	}
	memset(data, 0, sizeof(data));
	for (size_t i = 0; i < (pick(2) ? length : 1); i++)
		data[i] = pick(3) ? pick(20) : pick(256);
	mnl_attr_put(nlh, pick(__REPRISE_A_MAX + 2), length, data);
}

/* A valid message of which some bytes are not. */
static struct nlmsghdr *spoiled(void)
{
	struct nlmsghdr *nlh = build(1 + pick(REPRISE_CMD_MAX), NULL);
	char *bytes = mnl_nlmsg_get_payload_offset(nlh, sizeof(struct genlmsghdr));
	uint32_t length = nlh->nlmsg_len - (bytes - (char *)nlh);

	for (uint32_t i = pick(4); i && length; i--)
		bytes[pick(length)] = pick(2) ? pick(256) : pick(4);
	if (!pick(8) && length > 8)
		nlh->nlmsg_len -= pick(8);
	return nlh;
}

static struct nlmsghdr *made_up(void)
{
	struct nlmsghdr *nlh = begin(pick(REPRISE_CMD_MAX + 3), pick(8) ? 0 : NLM_F_DUMP);

	if (pick(2))
		mnl_attr_put_strz(nlh, REPRISE_A_NAME, "fuzz");
	for (uint32_t i = pick(10); i; i--)
		put_random(nlh, 2);
	return nlh;
}

/* A connected socket that the kernel has not been given yet. */
static void connect_tcp(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	close(fds.tcp);
	close(fds.other_end);
	fds.tcp = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 1) ||
	    getsockname(listener, (void *)&address, &length) ||
	    connect(fds.tcp, (void *)&address, length))
		die("loopback connection");
	fds.other_end = accept(listener, NULL, NULL);
	close(listener);
}

static int at_random(uint64_t seed, unsigned long count)
{
	unsigned long accepted = 0, refused = 0;
	time_t end = time(NULL) + 90;

	random_state = seed;
	while (accepted + refused < count && time(NULL) < end) {
		if (!pick(200))
			connect_tcp();
		if (talk(pick(3) ? spoiled() : made_up()))
			refused++;
		else
			accepted++;
	}
	printf("# nlbad: seed %llu: %lu accepted, %lu refused\n", (unsigned long long)seed, accepted,
	       refused);
	for (int i = 0; i < 64 && running(); i++) {
		struct nlmsghdr *nlh = begin(REPRISE_CMD_STOP, 0);

		mnl_attr_put_strz(nlh, REPRISE_A_NAME, last_name);
		mnl_attr_put(nlh, REPRISE_A_FORCE, 0, NULL);
		if (talk(nlh))
			printf("# nlbad: stop %s: %s\n", last_name, words);
	}
	return running() || refused < count / 4 || !accepted;
}

/* --- without the privilege --------------------------------------------------- */

static int without_privilege(void)
{
	int wrong = 0;

	for (int cmd = REPRISE_CMD_START; cmd <= REPRISE_CMD_RESUME; cmd++) {
		char what[32];

		snprintf(what, sizeof(what), "command %d", cmd);
		wrong += expect(what, talk(build(cmd, NULL)), EPERM);
	}
	return wrong != 0;
}

static void open_descriptors(const char *device)
{
	uint64_t bytes = 0;

	fds.device = open(device, O_RDWR | O_EXCL);
	fds.readonly = open(device, O_RDONLY);
	if (fds.device >= 0 && ioctl(fds.device, BLKGETSIZE64, &bytes))
		die(device);
	fds.sectors = (bytes >> 9) - 2048;
	fds.null = open("/dev/null", O_RDWR);
	fds.udp = socket(AF_INET, SOCK_DGRAM, 0);
	fds.unconnected = socket(AF_INET, SOCK_STREAM, 0);
	fds.tcp = fds.other_end = -1;
	connect_tcp();
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	open_descriptors(argv[2]);
	connect_netlink();
	if (!strcmp(argv[1], "one-by-one"))
		return one_by_one();
	if (!strcmp(argv[1], "unprivileged"))
		return without_privilege();
	if (!strcmp(argv[1], "random") && argc == 5)
		return at_random(strtoull(argv[3], NULL, 0), strtoul(argv[4], NULL, 0));
	fprintf(stderr, "usage: nlbad one-by-one|unprivileged DEVICE\n"
		"       nlbad random DEVICE SEED COUNT\n");
	return 2;
}
