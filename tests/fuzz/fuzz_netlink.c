// SPDX-License-Identifier: GPL-2.0
/*
 * Netlink messages as the agent reads them.  The input is what a recv() may
 * have filled a buffer with: messages, one after the other.  Reading touches
 * only their own bytes, what is not understood fills nothing, and a resource
 * that was understood can be built again and means the same.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

#include "agent/nl_message.h"
#include "input.h"

enum { BUILD_BYTES = 65536, FAMILY = 0x1c, MAX_FDS = 8 };

static uint64_t build_buffer[BUILD_BYTES / 8];

static void check_strings(const struct nl_resource *res)
{
	must(memchr(res->name, 0, sizeof(res->name)));
	for (unsigned int i = 0; i < res->nr_peers; i++) {
		must(memchr(res->peers[i].name, 0, sizeof(res->peers[i].name)));
		must(memchr(res->peers[i].reason, 0, sizeof(res->peers[i].reason)));
	}
}

/* What START takes of @a is in @b. */
static bool same_start(const struct nl_resource *a, const struct nl_resource *b)
{
	bool same = !strcmp(a->name, b->name) && !memcmp(a->id, b->id, sizeof(a->id)) &&
		    a->node == b->node && a->generation == b->generation && a->seq == b->seq &&
		    a->durability == b->durability && a->frozen == b->frozen &&
		    a->nr_volumes == b->nr_volumes && a->nr_peers == b->nr_peers;

	for (unsigned int i = 0; same && i < a->nr_volumes; i++)
		same = a->volumes[i].number == b->volumes[i].number &&
		       a->volumes[i].backing_fd == b->volumes[i].backing_fd &&
		       a->volumes[i].sectors == b->volumes[i].sectors;
	for (unsigned int i = 0; same && i < a->nr_peers; i++)
		same = a->peers[i].node == b->peers[i].node &&
		       !strcmp(a->peers[i].name, b->peers[i].name);
	return same;
}

static void check_resource(const struct nlmsghdr *nlh)
{
	static struct nl_resource res, again;
	struct nlmsghdr *built;

	fuzz_poison(&res, sizeof(res));
	if (nl_parse_resource(nlh, &res)) {
		must(fuzz_untouched(&res, sizeof(res)));
		return;
	}
	must(res.nr_volumes <= REPRISE_MAX_VOLUMES && res.nr_peers <= REPRISE_MAX_NODES);
	check_strings(&res);
	built = nl_build(build_buffer, FAMILY, REPRISE_CMD_START, 0, 1);
	must(nl_build_start(built, BUILD_BYTES, &res));
	must(!nl_parse_resource(built, &again) && same_start(&res, &again));
}

static void check_event(const struct nlmsghdr *nlh)
{
	struct nl_event event;

	fuzz_poison(&event, sizeof(event));
	if (nl_parse_event(nlh, &event)) {
		must(fuzz_untouched(&event, sizeof(event)));
		return;
	}
	must(event.event && memchr(event.resource, 0, sizeof(event.resource)) &&
	     memchr(event.reason, 0, sizeof(event.reason)));
}

static void check_fds(const struct nlmsghdr *nlh)
{
	int fds[MAX_FDS + 1];
	unsigned int count;

	fuzz_poison(fds, sizeof(fds));
	count = nl_parse_fds(nlh, fds, MAX_FDS);
	must(count <= MAX_FDS && fuzz_untouched(fds + count, sizeof(fds) - count * sizeof(int)));
	for (unsigned int i = 0; i < count; i++)
		must(fds[i] >= 0);
}

static void check_rest(const struct nlmsghdr *nlh)
{
	struct nl_family family;
	char text[64];
	int err;

	fuzz_poison(&family, sizeof(family));
	must(nl_parse_family(nlh, &family) ? fuzz_untouched(&family, sizeof(family)) : family.id);
	fuzz_poison(&err, sizeof(err));
	fuzz_poison(text, sizeof(text));
	if (nl_parse_ack(nlh, &err, text, sizeof(text)))
		must(fuzz_untouched(&err, sizeof(err)) && fuzz_untouched(text, sizeof(text)));
	else
		must(memchr(text, 0, sizeof(text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t *buf = malloc(bytes ? bytes : 1);
	const uint8_t *at = buf;
	size_t left = bytes;

	must(buf);
	memcpy(buf, data, bytes);
	while (nl_message_ok((const void *)at, left)) {
		const struct nlmsghdr *nlh = (const void *)at;
		size_t whole = MNL_ALIGN((size_t)nlh->nlmsg_len);

		check_resource(nlh);
		check_event(nlh);
		check_fds(nlh);
		check_rest(nlh);
		if (whole >= left)
			break;
		at += whole;
		left -= whole;
	}
	free(buf);
	return 0;
}

/* --- mutation ----------------------------------------------------------------- */

static const uint16_t usual_bytes[] = { 0, 1, 2, 4, 4, 4, 8, 8, 8, 16, 16, 64, 256 };

static void put_attr(struct fuzz_random *random, struct nlmsghdr *nlh, unsigned int depth)
{
	uint8_t data[256];
	size_t bytes = usual_bytes[fuzz_random_below(random, sizeof(usual_bytes) / 2)];
	uint16_t type = fuzz_random_below(random, 24);

	if (depth && !fuzz_random_below(random, 3)) {
		struct nlattr *nest = mnl_attr_nest_start(nlh, fuzz_random_below(random, 2) ?
							  type : REPRISE_A_VOLUME);

		for (unsigned int i = fuzz_random_below(random, 8); i; i--)
			put_attr(random, nlh, depth - 1);
		mnl_attr_nest_end(nlh, nest);
		return;
	}
	memset(data, fuzz_random_below(random, 3) ? 0 : 'a', sizeof(data));
	data[0] = fuzz_random_below(random, 6);
	if (bytes)
		data[bytes - 1] = 0;
	mnl_attr_put(nlh, type, bytes, data);
}

static size_t make_message(struct fuzz_random *random, uint8_t *data, size_t max)
{
	static const uint16_t types[] = { FAMILY, FAMILY, NLMSG_ERROR, NLMSG_DONE, GENL_ID_CTRL };
	static const uint16_t flags[] = { 0, NLM_F_ACK_TLVS, NLM_F_ACK_TLVS | NLM_F_CAPPED };
	struct nlmsghdr *nlh = nl_build(build_buffer, types[fuzz_random_below(random, 5)],
					fuzz_random_below(random, 12), 0, 1);
	size_t bytes;

	memset(build_buffer + 4, 0, sizeof(build_buffer) - 32);
	((struct genlmsghdr *)mnl_nlmsg_get_payload(nlh))->cmd = fuzz_random_below(random, 12);
	nlh->nlmsg_flags = flags[fuzz_random_below(random, 3)];
	for (unsigned int i = fuzz_random_below(random, 10); i; i--)
		put_attr(random, nlh, 2);
	bytes = nlh->nlmsg_len < max ? nlh->nlmsg_len : max;
	memcpy(data, build_buffer, bytes);
	return bytes;
}

/* The outer length is the first check: right most of the time. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max, unsigned int seed)
{
	struct fuzz_random random = { seed };
	uint32_t length;

	if (bytes < NLMSG_HDRLEN || !fuzz_random_below(&random, 10))
		bytes = make_message(&random, data, max);
	else
		bytes = LLVMFuzzerMutate(data, bytes, max);
	if (bytes >= NLMSG_HDRLEN && fuzz_random_below(&random, 8)) {
		length = bytes;
		memcpy(data, &length, sizeof(length));
	}
	return bytes;
}
