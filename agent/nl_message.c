// SPDX-License-Identifier: GPL-2.0
/*
 * Attributes to structures and back.  The one idea: one table per structure
 * says which attribute goes to which field and how long it must be.
 */
#include "nl_message.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

bool nl_message_ok(const struct nlmsghdr *nlh, size_t left)
{
	return left >= sizeof(*nlh) && nlh->nlmsg_len >= sizeof(*nlh) && nlh->nlmsg_len <= left;
}

enum field_type {
	FIELD_U16,		/* to unsigned int */
	FIELD_U32,		/* to uint32_t, int (s32), or an enum */
	FIELD_U64,
	FIELD_FLAG,		/* to bool */
	FIELD_STRING,		/* nul-terminated, @size with the nul */
	FIELD_BINARY,		/* exactly @size */
};

struct field {
	uint16_t attr;
	uint8_t type;
	size_t offset;
	size_t size;
};

#define FIELD(kind, attr, type, member) \
	{ attr, kind, offsetof(type, member), sizeof(((type *)0)->member) }

static const struct field resource_fields[] = {
	FIELD(FIELD_STRING, REPRISE_A_NAME, struct nl_resource, name),
	FIELD(FIELD_BINARY, REPRISE_A_RESOURCE_ID, struct nl_resource, id),
	FIELD(FIELD_U16, REPRISE_A_NODE, struct nl_resource, node),
	FIELD(FIELD_BINARY, REPRISE_A_TIMELINE_ID, struct nl_resource, timeline_id),
	FIELD(FIELD_U64, REPRISE_A_GENERATION, struct nl_resource, generation),
	FIELD(FIELD_U64, REPRISE_A_SEQ, struct nl_resource, seq),
	FIELD(FIELD_U32, REPRISE_A_DURABILITY, struct nl_resource, durability),
	FIELD(FIELD_U32, REPRISE_A_ON_PEER_LOSS, struct nl_resource, on_peer_loss),
	FIELD(FIELD_U32, REPRISE_A_TIMEOUT_MS, struct nl_resource, timeout_ms),
	FIELD(FIELD_U32, REPRISE_A_QUEUE_KIB, struct nl_resource, queue_kib),
	FIELD(FIELD_FLAG, REPRISE_A_FROZEN, struct nl_resource, frozen),
	FIELD(FIELD_U64, REPRISE_A_COMMIT, struct nl_resource, commit),
	FIELD(FIELD_U64, REPRISE_A_FLUSHED, struct nl_resource, flushed),
	FIELD(FIELD_U64, REPRISE_A_QUEUED_BYTES, struct nl_resource, queued_bytes),
	FIELD(FIELD_U32, REPRISE_A_PARKED, struct nl_resource, parked),
	{ 0 },
};

static const struct field volume_fields[] = {
	FIELD(FIELD_U16, REPRISE_V_NUMBER, struct nl_volume, number),
	FIELD(FIELD_U32, REPRISE_V_MINOR, struct nl_volume, minor),
	FIELD(FIELD_U32, REPRISE_V_BACKING_FD, struct nl_volume, backing_fd),
	FIELD(FIELD_U64, REPRISE_V_SECTORS, struct nl_volume, sectors),
	FIELD(FIELD_U32, REPRISE_V_LOGICAL_BLOCK, struct nl_volume, logical_block_bytes),
	FIELD(FIELD_U64, REPRISE_V_BACKING_DEV, struct nl_volume, backing_dev),
	FIELD(FIELD_U32, REPRISE_V_OPENERS, struct nl_volume, openers),
	FIELD(FIELD_U64, REPRISE_V_READS, struct nl_volume, reads),
	FIELD(FIELD_U64, REPRISE_V_WRITES, struct nl_volume, writes),
	FIELD(FIELD_U64, REPRISE_V_FLUSHES, struct nl_volume, flushes),
	FIELD(FIELD_U64, REPRISE_V_READ_SECTORS, struct nl_volume, read_sectors),
	FIELD(FIELD_U64, REPRISE_V_WRITE_SECTORS, struct nl_volume, write_sectors),
	FIELD(FIELD_U64, REPRISE_V_IO_ERRORS, struct nl_volume, io_errors),
	FIELD(FIELD_U64, REPRISE_V_WRITE_ERRORS, struct nl_volume, write_errors),
	FIELD(FIELD_BINARY, REPRISE_V_LATENCY, struct nl_volume, latency),
	{ 0 },
};

static const struct field peer_fields[] = {
	FIELD(FIELD_U16, REPRISE_P_NODE, struct nl_peer, node),
	FIELD(FIELD_STRING, REPRISE_P_NAME, struct nl_peer, name),
	FIELD(FIELD_U32, REPRISE_P_STATE, struct nl_peer, state),
	FIELD(FIELD_U64, REPRISE_P_SENT, struct nl_peer, sent),
	FIELD(FIELD_U64, REPRISE_P_RECEIVED, struct nl_peer, received),
	FIELD(FIELD_U64, REPRISE_P_DURABLE, struct nl_peer, durable),
	FIELD(FIELD_U64, REPRISE_P_APPLIED, struct nl_peer, applied),
	FIELD(FIELD_STRING, REPRISE_P_REASON, struct nl_peer, reason),
	FIELD(FIELD_U64, REPRISE_P_DIRTY_BLOCKS, struct nl_peer, dirty_blocks),
	FIELD(FIELD_FLAG, REPRISE_P_DIRTY_ALL, struct nl_peer, dirty_all),
	FIELD(FIELD_U64, REPRISE_P_SENT_BYTES, struct nl_peer, sent_bytes),
	FIELD(FIELD_U64, REPRISE_P_FRAMES, struct nl_peer, frames),
	{ 0 },
};

static const struct field event_fields[] = {
	FIELD(FIELD_STRING, REPRISE_A_NAME, struct nl_event, resource),
	FIELD(FIELD_U32, REPRISE_A_EVENT, struct nl_event, event),
	{ 0 },
};

static const struct field event_peer_fields[] = {
	FIELD(FIELD_U16, REPRISE_P_NODE, struct nl_event, peer),
	FIELD(FIELD_STRING, REPRISE_P_REASON, struct nl_event, reason),
	{ 0 },
};

static const struct field event_volume_fields[] = {
	FIELD(FIELD_U16, REPRISE_V_NUMBER, struct nl_event, volume),
	{ 0 },
};

/* Strings may be longer than their field (a reason from a newer module): cut. */
static int read_string(const struct nlattr *attr, char *to, size_t size)
{
	const char *text = mnl_attr_get_payload(attr);
	size_t length = mnl_attr_get_payload_len(attr);

	if (!length || text[length - 1])
		return -EBADMSG;
	snprintf(to, size, "%s", text);
	return 0;
}

static int read_bytes(const struct nlattr *attr, void *to, size_t size)
{
	if (mnl_attr_get_payload_len(attr) != size)
		return -EBADMSG;
	memcpy(to, mnl_attr_get_payload(attr), size);
	return 0;
}

static int read_field(const struct nlattr *attr, const struct field *field, void *base)
{
	void *to = (char *)base + field->offset;
	uint16_t u16;

	switch ((enum field_type)field->type) {
	case FIELD_U16:
		if (read_bytes(attr, &u16, sizeof(u16)))
			return -EBADMSG;
		*(unsigned int *)to = u16;
		return 0;
	case FIELD_FLAG:
		*(bool *)to = true;
		return 0;
	case FIELD_STRING:
		return read_string(attr, to, field->size);
	case FIELD_U32:
	case FIELD_U64:
	case FIELD_BINARY:
		return read_bytes(attr, to, field->size);
	}
	return -EBADMSG;
}

static int read_attr(const struct nlattr *attr, const struct field *fields, void *base)
{
	for (; fields->attr; fields++)
		if (fields->attr == mnl_attr_get_type(attr))
			return read_field(attr, fields, base);
	return 0;
}

/* libmnl's own loop rounds the message's length up. */
static const char *message_tail(const struct nlmsghdr *nlh)
{
	return (const char *)nlh + nlh->nlmsg_len;
}

#define for_each_attr(attr, nlh)						\
	for ((attr) = mnl_nlmsg_get_payload_offset(nlh, GENL_HDRLEN);		\
	     mnl_attr_ok(attr, message_tail(nlh) - (const char *)(attr));	\
	     (attr) = mnl_attr_next(attr))

/* The end of all attributes must be the end of what holds them. */
static bool attrs_fill(const struct nlattr *end, const void *tail)
{
	return (const char *)end >= (const char *)tail;
}

static int read_nest(const struct nlattr *nest, const struct field *fields, void *base)
{
	const char *tail = (const char *)mnl_attr_get_payload(nest) +
			   mnl_attr_get_payload_len(nest);
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
		if (read_attr(attr, fields, base))
			return -EBADMSG;
	return attrs_fill(attr, tail) ? 0 : -EBADMSG;
}

static bool is_genl(const struct nlmsghdr *nlh, uint8_t cmd)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);

	return nlh->nlmsg_len >= NLMSG_HDRLEN + GENL_HDRLEN && (!cmd || genl->cmd == cmd);
}

static int read_volume(const struct nlattr *nest, struct nl_resource *res)
{
	struct nl_volume *volume = &res->volumes[res->nr_volumes];

	if (res->nr_volumes == REPRISE_MAX_VOLUMES)
		return -EBADMSG;
	*volume = (struct nl_volume){ .minor = -1, .backing_fd = -1 };
	res->nr_volumes++;
	return read_nest(nest, volume_fields, volume);
}

static int read_peer(const struct nlattr *nest, struct nl_resource *res)
{
	if (res->nr_peers == REPRISE_MAX_NODES)
		return -EBADMSG;
	return read_nest(nest, peer_fields, &res->peers[res->nr_peers++]);
}

static int read_resource_attr(const struct nlattr *attr, struct nl_resource *res)
{
	switch (mnl_attr_get_type(attr)) {
	case REPRISE_A_VOLUME:
		return read_volume(attr, res);
	case REPRISE_A_PEER:
		return read_peer(attr, res);
	default:
		return read_attr(attr, resource_fields, res);
	}
}

/* Words for what a newer module may say are missing here. */
static bool has_known_values(const struct nl_resource *res)
{
	for (unsigned int i = 0; i < res->nr_peers; i++)
		if (res->peers[i].state > REPRISE_PEER_BEHIND)
			return false;
	return res->durability <= REPRISE_DURABILITY_ASYNC &&
	       res->on_peer_loss <= REPRISE_ON_PEER_LOSS_ALONE;
}

int nl_parse_resource(const struct nlmsghdr *nlh, struct nl_resource *res)
{
	struct nl_resource got = { 0 };
	const struct nlattr *attr;

	if (!is_genl(nlh, 0))
		return -EBADMSG;
	for_each_attr(attr, nlh)
		if (read_resource_attr(attr, &got))
			return -EBADMSG;
	if (!attrs_fill(attr, message_tail(nlh)) || !has_known_values(&got))
		return -EBADMSG;
	*res = got;
	return 0;
}

unsigned int nl_parse_fds(const struct nlmsghdr *nlh, int *fds, unsigned int max)
{
	const struct nlattr *attr, *entry;
	unsigned int count = 0;
	int32_t fd;

	if (!is_genl(nlh, 0))
		return 0;
	for_each_attr(attr, nlh) {
		if (mnl_attr_get_type(attr) != REPRISE_A_VOLUME)
			continue;
		mnl_attr_for_each_nested(entry, attr) {
			if (count < max && mnl_attr_get_type(entry) == REPRISE_V_BACKING_FD &&
			    !read_bytes(entry, &fd, sizeof(fd)) && fd >= 0)
				fds[count++] = fd;
		}
	}
	return count;
}

static int read_event_attr(const struct nlattr *attr, struct nl_event *event)
{
	switch (mnl_attr_get_type(attr)) {
	case REPRISE_A_VOLUME:
		return read_nest(attr, event_volume_fields, event);
	case REPRISE_A_PEER:
		return read_nest(attr, event_peer_fields, event);
	default:
		return read_attr(attr, event_fields, event);
	}
}

int nl_parse_event(const struct nlmsghdr *nlh, struct nl_event *event)
{
	struct nl_event got = { 0 };
	const struct nlattr *attr;

	if (!is_genl(nlh, REPRISE_CMD_EVENT))
		return -EBADMSG;
	for_each_attr(attr, nlh)
		if (read_event_attr(attr, &got))
			return -EBADMSG;
	if (!attrs_fill(attr, message_tail(nlh)) || !got.event)
		return -EBADMSG;
	*event = got;
	return 0;
}

/* The controller's answer: id, and a list of groups with name and id each. */
struct group_attrs {
	char name[GENL_NAMSIZ];
	uint32_t id;
};

static const struct field group_fields[] = {
	FIELD(FIELD_STRING, CTRL_ATTR_MCAST_GRP_NAME, struct group_attrs, name),
	FIELD(FIELD_U32, CTRL_ATTR_MCAST_GRP_ID, struct group_attrs, id),
	{ 0 },
};

static int read_groups(const struct nlattr *list, struct nl_family *family)
{
	const struct nlattr *entry;

	mnl_attr_for_each_nested(entry, list) {
		struct group_attrs group = { 0 };

		if (read_nest(entry, group_fields, &group))
			return -EBADMSG;
		if (!strcmp(group.name, REPRISE_GENL_MCGRP))
			family->group = group.id;
	}
	return 0;
}

int nl_parse_family(const struct nlmsghdr *nlh, struct nl_family *family)
{
	struct nl_family got = { 0 };
	const struct nlattr *attr;

	if (!is_genl(nlh, CTRL_CMD_NEWFAMILY))
		return -EBADMSG;
	for_each_attr(attr, nlh) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
		    read_bytes(attr, &got.id, sizeof(got.id)))
			return -EBADMSG;
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GROUPS && read_groups(attr, &got))
			return -EBADMSG;
	}
	if (!got.id)
		return -EBADMSG;
	*family = got;
	return 0;
}

struct ack_attrs {
	char text[256];
};

static const struct field ack_fields[] = {
	FIELD(FIELD_STRING, NLMSGERR_ATTR_MSG, struct ack_attrs, text),
	{ 0 },
};

/* Where the extended ack's attributes begin; NULL: there are none. */
static const void *ack_attrs_start(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	size_t offset = sizeof(int);

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*error))
			return NULL;
		offset = sizeof(*error);
		/* The request is repeated in full, unless it was capped. */
		if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && error->msg.nlmsg_len > NLMSG_HDRLEN)
			offset += MNL_ALIGN((size_t)error->msg.nlmsg_len) - NLMSG_HDRLEN;
	}
	if (offset >= mnl_nlmsg_get_payload_len(nlh))
		return NULL;
	return (const char *)error + offset;
}

int nl_parse_ack(const struct nlmsghdr *nlh, int *err, char *text, size_t text_bytes)
{
	const char *tail = message_tail(nlh);
	struct ack_attrs got = { 0 };
	const struct nlattr *attr = ack_attrs_start(nlh);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(int))
		return -EBADMSG;
	while (attr && mnl_attr_ok(attr, tail - (const char *)attr)) {
		if (read_attr(attr, ack_fields, &got))
			return -EBADMSG;
		attr = mnl_attr_next(attr);
	}
	memcpy(err, mnl_nlmsg_get_payload(nlh), sizeof(*err));
	snprintf(text, text_bytes, "%s", got.text);
	return 0;
}

/* Requests. */

struct nlmsghdr *nl_build(void *buf, uint16_t family, uint8_t cmd, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));

	nlh->nlmsg_type = family;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	genl->cmd = cmd;
	genl->version = REPRISE_GENL_VERSION;
	return nlh;
}

bool nl_build_name(struct nlmsghdr *nlh, size_t bytes, const char *name)
{
	return mnl_attr_put_strz_check(nlh, bytes, REPRISE_A_NAME, name);
}

/* What is not set is left as it is, or to the kernel's default. */
static bool put_setting(struct nlmsghdr *nlh, size_t bytes, uint16_t attr, uint32_t value)
{
	return !value || mnl_attr_put_u32_check(nlh, bytes, attr, value);
}

bool nl_build_settings(struct nlmsghdr *nlh, size_t bytes, const struct nl_resource *res)
{
	return put_setting(nlh, bytes, REPRISE_A_DURABILITY, res->durability) &&
	       put_setting(nlh, bytes, REPRISE_A_ON_PEER_LOSS, res->on_peer_loss) &&
	       put_setting(nlh, bytes, REPRISE_A_TIMEOUT_MS, res->timeout_ms) &&
	       put_setting(nlh, bytes, REPRISE_A_QUEUE_KIB, res->queue_kib);
}

static bool put_volume(struct nlmsghdr *nlh, size_t bytes, const struct nl_volume *volume)
{
	struct nlattr *nest = mnl_attr_nest_start_check(nlh, bytes, REPRISE_A_VOLUME);

	if (!nest ||
	    !mnl_attr_put_u16_check(nlh, bytes, REPRISE_V_NUMBER, volume->number) ||
	    !mnl_attr_put_u32_check(nlh, bytes, REPRISE_V_MINOR, volume->minor) ||
	    !mnl_attr_put_u32_check(nlh, bytes, REPRISE_V_BACKING_FD, volume->backing_fd) ||
	    !mnl_attr_put_u64_check(nlh, bytes, REPRISE_V_SECTORS, volume->sectors) ||
	    !mnl_attr_put_u32_check(nlh, bytes, REPRISE_V_LOGICAL_BLOCK,
				    volume->logical_block_bytes))
		return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}

static bool put_peer(struct nlmsghdr *nlh, size_t bytes, const struct nl_peer *peer)
{
	struct nlattr *nest = mnl_attr_nest_start_check(nlh, bytes, REPRISE_A_PEER);

	if (!nest || !mnl_attr_put_u16_check(nlh, bytes, REPRISE_P_NODE, peer->node) ||
	    !mnl_attr_put_strz_check(nlh, bytes, REPRISE_P_NAME, peer->name))
		return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}

static bool put_identity(struct nlmsghdr *nlh, size_t bytes, const struct nl_resource *res)
{
	return nl_build_name(nlh, bytes, res->name) &&
	       mnl_attr_put_check(nlh, bytes, REPRISE_A_RESOURCE_ID, sizeof(res->id), res->id) &&
	       mnl_attr_put_u16_check(nlh, bytes, REPRISE_A_NODE, res->node) &&
	       mnl_attr_put_check(nlh, bytes, REPRISE_A_TIMELINE_ID, sizeof(res->timeline_id),
				  res->timeline_id) &&
	       mnl_attr_put_u64_check(nlh, bytes, REPRISE_A_GENERATION, res->generation) &&
	       mnl_attr_put_u64_check(nlh, bytes, REPRISE_A_SEQ, res->seq);
}

bool nl_build_start(struct nlmsghdr *nlh, size_t bytes, const struct nl_resource *res)
{
	bool fits = put_identity(nlh, bytes, res) && nl_build_settings(nlh, bytes, res);

	if (fits && res->frozen)
		fits = mnl_attr_put_check(nlh, bytes, REPRISE_A_FROZEN, 0, NULL);
	for (unsigned int i = 0; fits && i < res->nr_volumes; i++)
		fits = put_volume(nlh, bytes, &res->volumes[i]);
	for (unsigned int i = 0; fits && i < res->nr_peers; i++)
		fits = put_peer(nlh, bytes, &res->peers[i]);
	return fits;
}

bool nl_build_stop(struct nlmsghdr *nlh, size_t bytes, const char *name, uint32_t wait_ms,
		   bool force)
{
	return nl_build_name(nlh, bytes, name) &&
	       mnl_attr_put_u32_check(nlh, bytes, REPRISE_A_WAIT_MS, wait_ms) &&
	       (!force || mnl_attr_put_check(nlh, bytes, REPRISE_A_FORCE, 0, NULL));
}

bool nl_build_attach(struct nlmsghdr *nlh, size_t bytes, const char *name, unsigned int node,
		     int socket_fd, uint64_t session, const uint8_t *timeline_id,
		     uint64_t position)
{
	struct nlattr *nest;

	if (!nl_build_name(nlh, bytes, name) ||
	    !mnl_attr_put_check(nlh, bytes, REPRISE_A_TIMELINE_ID, REPRISE_ID_BYTES, timeline_id))
		return false;
	nest = mnl_attr_nest_start_check(nlh, bytes, REPRISE_A_PEER);
	if (!nest || !mnl_attr_put_u16_check(nlh, bytes, REPRISE_P_NODE, node) ||
	    !mnl_attr_put_u32_check(nlh, bytes, REPRISE_P_SOCKET_FD, socket_fd) ||
	    !mnl_attr_put_u64_check(nlh, bytes, REPRISE_P_SESSION, session) ||
	    !mnl_attr_put_u64_check(nlh, bytes, REPRISE_P_POSITION, position))
		return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}

bool nl_build_detach(struct nlmsghdr *nlh, size_t bytes, const char *name, unsigned int node)
{
	struct nlattr *nest;

	if (!nl_build_name(nlh, bytes, name))
		return false;
	nest = mnl_attr_nest_start_check(nlh, bytes, REPRISE_A_PEER);
	if (!nest || !mnl_attr_put_u16_check(nlh, bytes, REPRISE_P_NODE, node))
		return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}
