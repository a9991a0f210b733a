// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink: commands in, state and events out.  Validates every
 * attribute at this boundary; what lies behind trusts its arguments.
 * The interface is described in uapi/reprise_netlink.h.
 */
#include <linux/blkdev.h>
#include <linux/ctype.h>
#include <linux/kdev_t.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "netlink.h"
#include "request.h"
#include "session.h"
#include "volume.h"

enum {
	TIMEOUT_MIN_MS = 100,
	TIMEOUT_MAX_MS = 600000,
	QUEUE_MIN_KIB = 1024,
	QUEUE_MAX_KIB = 1048576,
	WAIT_MAX_MS = 10000,
	REASON_BYTES = 128,
};

static struct genl_family family;

static const struct nla_policy volume_policy[REPRISE_V_MAX + 1] = {
	[REPRISE_V_NUMBER]	  = NLA_POLICY_MAX(NLA_U16, REPRISE_MAX_VOLUMES - 1),
	[REPRISE_V_MINOR]	  = { .type = NLA_S32 },
	[REPRISE_V_BACKING_FD]	  = NLA_POLICY_MIN(NLA_S32, 0),
	[REPRISE_V_SECTORS]	  = { .type = NLA_U64 },
	[REPRISE_V_LOGICAL_BLOCK] = { .type = NLA_U32 },
};

static const struct nla_policy peer_policy[REPRISE_P_MAX + 1] = {
	[REPRISE_P_NODE]	= NLA_POLICY_RANGE(NLA_U16, 1, REPRISE_MAX_NODES),
	[REPRISE_P_NAME]	= { .type = NLA_NUL_STRING, .len = REPRISE_NAME_MAX },
	[REPRISE_P_SOCKET_FD]	= NLA_POLICY_MIN(NLA_S32, 0),
	[REPRISE_P_SESSION]	= { .type = NLA_U64 },
	[REPRISE_P_POSITION]	= { .type = NLA_U64 },
};

static const struct nla_policy policy[REPRISE_A_MAX + 1] = {
	[REPRISE_A_NAME]	 = { .type = NLA_NUL_STRING, .len = REPRISE_NAME_MAX },
	[REPRISE_A_RESOURCE_ID]	 = NLA_POLICY_EXACT_LEN(REPRISE_ID_BYTES),
	[REPRISE_A_NODE]	 = NLA_POLICY_RANGE(NLA_U16, 1, REPRISE_MAX_NODES),
	[REPRISE_A_TIMELINE_ID]	 = NLA_POLICY_EXACT_LEN(REPRISE_ID_BYTES),
	[REPRISE_A_GENERATION]	 = { .type = NLA_U64 },
	[REPRISE_A_SEQ]		 = { .type = NLA_U64 },
	[REPRISE_A_DURABILITY]	 = NLA_POLICY_RANGE(NLA_U32, REPRISE_DURABILITY_WRITE,
						    REPRISE_DURABILITY_ASYNC),
	[REPRISE_A_ON_PEER_LOSS] = NLA_POLICY_RANGE(NLA_U32, REPRISE_ON_PEER_LOSS_FREEZE,
						    REPRISE_ON_PEER_LOSS_ALONE),
	[REPRISE_A_TIMEOUT_MS]	 = { .type = NLA_U32 },
	[REPRISE_A_QUEUE_KIB]	 = { .type = NLA_U32 },
	[REPRISE_A_FROZEN]	 = { .type = NLA_FLAG },
	[REPRISE_A_FORCE]	 = { .type = NLA_FLAG },
	[REPRISE_A_WAIT_MS]	 = { .type = NLA_U32 },
	[REPRISE_A_VOLUME]	 = NLA_POLICY_NESTED(volume_policy),
	[REPRISE_A_PEER]	 = NLA_POLICY_NESTED(peer_policy),
};

/* --- reading ----------------------------------------------------------- */

static void say(struct genl_info *info, const char *why)
{
	/* All our reasons are string constants. */
	if (why && info->extack)
		info->extack->_msg = why;
}

static int need(struct genl_info *info, int attr, const char *words)
{
	if (info->attrs[attr])
		return 0;
	say(info, words);
	return -EINVAL;
}

static int check_name(struct genl_info *info)
{
	const char *name;
	int err = need(info, REPRISE_A_NAME, "the resource's name is missing");

	if (err)
		return err;
	name = nla_data(info->attrs[REPRISE_A_NAME]);
	if (!*name || *name == '.') {
		say(info, "a resource's name is empty or begins with a dot");
		return -EINVAL;
	}
	for (; *name; name++) {
		if (isalnum(*name) || strchr("_.-", *name))
			continue;
		say(info, "a resource's name consists of letters, digits, '_', '.', '-'");
		return -EINVAL;
	}
	return 0;
}

static const char not_primary[] = "this resource is not primary here";

static void unlock_and_put(struct reprise_resource *res)
{
	mutex_unlock(&res->control);
	reprise_resource_put(res);
}

static struct reprise_resource *find(struct genl_info *info)
{
	struct reprise_resource *res;
	int err = check_name(info);

	if (err)
		return ERR_PTR(err);
	res = reprise_resource_find(genl_info_net(info), nla_data(info->attrs[REPRISE_A_NAME]));
	if (res)
		return res;
	say(info, not_primary);
	return ERR_PTR(-ENOENT);
}

/* With resource.control held; not one that was stopped while we waited for that. */
static struct reprise_resource *find_and_lock(struct genl_info *info)
{
	struct reprise_resource *res = find(info);

	if (IS_ERR(res))
		return res;
	mutex_lock(&res->control);
	if (!res->dead)
		return res;
	unlock_and_put(res);
	say(info, not_primary);
	return ERR_PTR(-ENOENT);
}

/* Timeout and queue, if given.  -ERANGE with words. */
static int check_limits(struct genl_info *info)
{
	struct nlattr *timeout = info->attrs[REPRISE_A_TIMEOUT_MS];
	struct nlattr *queue = info->attrs[REPRISE_A_QUEUE_KIB];

	if (timeout && (nla_get_u32(timeout) < TIMEOUT_MIN_MS ||
			nla_get_u32(timeout) > TIMEOUT_MAX_MS)) {
		say(info, "the timeout is outside 100 ms to 600 s");
		return -ERANGE;
	}
	if (queue && (nla_get_u32(queue) < QUEUE_MIN_KIB || nla_get_u32(queue) > QUEUE_MAX_KIB)) {
		say(info, "the queue's bound is outside 1 MiB to 1 GiB");
		return -ERANGE;
	}
	return 0;
}

static int read_volume(struct genl_info *info, struct nlattr *nest, struct reprise_start *start)
{
	struct reprise_start_volume *volume = &start->volumes[start->nr_volumes];
	struct nlattr *tb[REPRISE_V_MAX + 1];
	unsigned int i;
	int err = nla_parse_nested(tb, REPRISE_V_MAX, nest, volume_policy, info->extack);

	if (err)
		return err;
	if (!tb[REPRISE_V_NUMBER] || !tb[REPRISE_V_BACKING_FD] || !tb[REPRISE_V_SECTORS] ||
	    !tb[REPRISE_V_LOGICAL_BLOCK]) {
		say(info, "a volume lacks its number, backing device, size or block size");
		return -EINVAL;
	}
	volume->number = nla_get_u16(tb[REPRISE_V_NUMBER]);
	volume->minor = tb[REPRISE_V_MINOR] ? nla_get_s32(tb[REPRISE_V_MINOR]) : -1;
	if (volume->minor < -1 || volume->minor > (int)MINORMASK) {
		say(info, "a minor number is out of range");
		return -ERANGE;
	}
	volume->backing_fd = nla_get_s32(tb[REPRISE_V_BACKING_FD]);
	volume->sectors = nla_get_u64(tb[REPRISE_V_SECTORS]);
	volume->logical_block_bytes = nla_get_u32(tb[REPRISE_V_LOGICAL_BLOCK]);
	for (i = 0; i < start->nr_volumes; i++) {
		if (start->volumes[i].number == volume->number) {
			say(info, "a volume is named twice");
			return -EEXIST;
		}
	}
	start->nr_volumes++;
	return 0;
}

static int read_peer(struct genl_info *info, struct nlattr *nest, struct reprise_start *start)
{
	struct nlattr *tb[REPRISE_P_MAX + 1];
	int err = nla_parse_nested(tb, REPRISE_P_MAX, nest, peer_policy, info->extack);

	if (err)
		return err;
	if (!tb[REPRISE_P_NODE] || !tb[REPRISE_P_NAME]) {
		say(info, "a peer lacks its node id or name");
		return -EINVAL;
	}
	if (nla_get_u16(tb[REPRISE_P_NODE]) == start->origin.node) {
		say(info, "a peer has the node's own id");
		return -EINVAL;
	}
	start->peers[start->nr_peers].node = nla_get_u16(tb[REPRISE_P_NODE]);
	nla_strscpy(start->peers[start->nr_peers].name, tb[REPRISE_P_NAME],
		    sizeof(start->peers[0].name));
	start->nr_peers++;
	return 0;
}

static int read_nests(struct genl_info *info, struct reprise_start *start)
{
	struct nlattr *attr;
	int rem, err = 0;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(attr) == REPRISE_A_VOLUME) {
			if (start->nr_volumes == REPRISE_MAX_VOLUMES) {
				say(info, "too many volumes");
				return -E2BIG;
			}
			err = read_volume(info, attr, start);
		} else if (nla_type(attr) == REPRISE_A_PEER) {
			if (start->nr_peers == REPRISE_MAX_NODES - 1) {
				say(info, "too many peers");
				return -E2BIG;
			}
			err = read_peer(info, attr, start);
		}
		if (err)
			return err;
	}
	if (!start->nr_volumes) {
		say(info, "a resource has at least one volume");
		return -EINVAL;
	}
	return 0;
}

static int read_start(struct genl_info *info, struct reprise_start *start)
{
	struct nlattr **a = info->attrs;
	int err = check_name(info);

	if (!err)
		err = check_limits(info);
	if (err)
		return err;
	if (!a[REPRISE_A_RESOURCE_ID] || !a[REPRISE_A_NODE] || !a[REPRISE_A_TIMELINE_ID] ||
	    !a[REPRISE_A_GENERATION] || !a[REPRISE_A_SEQ]) {
		say(info, "resource id, node id, timeline or seq is missing");
		return -EINVAL;
	}
	start->name = nla_data(a[REPRISE_A_NAME]);
	nla_memcpy(start->origin.resource_id, a[REPRISE_A_RESOURCE_ID], REPRISE_ID_BYTES);
	nla_memcpy(start->origin.timeline_id, a[REPRISE_A_TIMELINE_ID], REPRISE_ID_BYTES);
	start->origin.generation = nla_get_u64(a[REPRISE_A_GENERATION]);
	start->origin.node = nla_get_u16(a[REPRISE_A_NODE]);
	start->last_seq = nla_get_u64(a[REPRISE_A_SEQ]);
	if (start->last_seq >= U64_MAX / 2) {
		say(info, "the seq is out of range");
		return -ERANGE;
	}
	start->durability = a[REPRISE_A_DURABILITY] ?
		nla_get_u32(a[REPRISE_A_DURABILITY]) : REPRISE_DURABILITY_WRITE;
	start->on_peer_loss = a[REPRISE_A_ON_PEER_LOSS] ?
		nla_get_u32(a[REPRISE_A_ON_PEER_LOSS]) : REPRISE_ON_PEER_LOSS_ALONE;
	start->timeout_ms = a[REPRISE_A_TIMEOUT_MS] ? nla_get_u32(a[REPRISE_A_TIMEOUT_MS]) : 6000;
	start->queue_kib = a[REPRISE_A_QUEUE_KIB] ? nla_get_u32(a[REPRISE_A_QUEUE_KIB]) : 65536;
	start->frozen = !!a[REPRISE_A_FROZEN];
	return read_nests(info, start);
}

/* --- writing ----------------------------------------------------------- */

static int put_volume(struct sk_buff *skb, struct reprise_volume *v)
{
	struct nlattr *nest = nla_nest_start(skb, REPRISE_A_VOLUME);
	u64 latency[REPRISE_HIST_BUCKETS];
	unsigned int i;

	if (!nest)
		return -EMSGSIZE;
	for (i = 0; i < REPRISE_HIST_BUCKETS; i++)
		latency[i] = atomic64_read(&v->latency[i]);
	if (nla_put_u16(skb, REPRISE_V_NUMBER, v->number) ||
	    nla_put_s32(skb, REPRISE_V_MINOR, v->minor) ||
	    nla_put_u64_64bit(skb, REPRISE_V_SECTORS, v->sectors, REPRISE_V_PAD) ||
	    nla_put_u32(skb, REPRISE_V_LOGICAL_BLOCK, queue_logical_block_size(v->disk->queue)) ||
	    nla_put_u64_64bit(skb, REPRISE_V_BACKING_DEV, new_encode_dev(v->backing->bd_dev),
			      REPRISE_V_PAD) ||
	    nla_put_u32(skb, REPRISE_V_OPENERS, atomic_read(&v->openers)) ||
	    nla_put_u64_64bit(skb, REPRISE_V_READS, atomic64_read(&v->reads), REPRISE_V_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_V_WRITES, atomic64_read(&v->writes), REPRISE_V_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_V_FLUSHES, atomic64_read(&v->flushes),
			      REPRISE_V_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_V_READ_SECTORS, atomic64_read(&v->read_sectors),
			      REPRISE_V_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_V_WRITE_SECTORS, atomic64_read(&v->write_sectors),
			      REPRISE_V_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_V_IO_ERRORS, atomic64_read(&v->io_errors),
			      REPRISE_V_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_V_WRITE_ERRORS, atomic64_read(&v->write_errors),
			      REPRISE_V_PAD) ||
	    nla_put_64bit(skb, REPRISE_V_LATENCY, sizeof(latency), latency, REPRISE_V_PAD)) {
		nla_nest_cancel(skb, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

struct peer_state {
	u32 state;
	u64 sent, received, durable, applied, dirty_blocks, sent_bytes, frames;
	bool dirty_all;
	char reason[REASON_BYTES];
};

static void read_peer_state(struct reprise_resource *res, const struct reprise_peer *peer,
			    struct peer_state *state)
{
	const struct reprise_stream_peer *p;

	spin_lock_irq(&res->lock);
	p = reprise_stream_peer(&res->stream, peer->node);
	if (p->connected)
		state->state = REPRISE_PEER_CONNECTED;
	else if (reprise_dirty_any(&p->dirty))
		state->state = REPRISE_PEER_BEHIND;
	else
		state->state = REPRISE_PEER_ABSENT;
	state->sent = p->sent;
	state->received = p->received;
	state->durable = p->durable;
	state->applied = p->applied;
	state->dirty_blocks = p->dirty.blocks;
	state->dirty_all = p->dirty.all;
	strscpy(state->reason, peer->reason, sizeof(state->reason));
	spin_unlock_irq(&res->lock);
	state->sent_bytes = READ_ONCE(peer->sent_bytes);
	state->frames = READ_ONCE(peer->frames);
}

static int put_peer(struct sk_buff *skb, struct reprise_resource *res,
		    const struct reprise_peer *peer)
{
	struct nlattr *nest = nla_nest_start(skb, REPRISE_A_PEER);
	struct peer_state s;

	if (!nest)
		return -EMSGSIZE;
	read_peer_state(res, peer, &s);
	if (nla_put_u16(skb, REPRISE_P_NODE, peer->node) ||
	    nla_put_string(skb, REPRISE_P_NAME, peer->name) ||
	    nla_put_u32(skb, REPRISE_P_STATE, s.state) ||
	    nla_put_u64_64bit(skb, REPRISE_P_SENT, s.sent, REPRISE_P_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_P_RECEIVED, s.received, REPRISE_P_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_P_DURABLE, s.durable, REPRISE_P_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_P_APPLIED, s.applied, REPRISE_P_PAD) ||
	    nla_put_string(skb, REPRISE_P_REASON, s.reason) ||
	    nla_put_u64_64bit(skb, REPRISE_P_DIRTY_BLOCKS, s.dirty_blocks, REPRISE_P_PAD) ||
	    (s.dirty_all && nla_put_flag(skb, REPRISE_P_DIRTY_ALL)) ||
	    nla_put_u64_64bit(skb, REPRISE_P_SENT_BYTES, s.sent_bytes, REPRISE_P_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_P_FRAMES, s.frames, REPRISE_P_PAD)) {
		nla_nest_cancel(skb, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

static int put_head(struct sk_buff *skb, struct reprise_resource *res)
{
	const struct reprise_stream *s = &res->stream;
	u64 seq, commit, flushed;
	u32 parked, durability, on_peer_loss;
	bool frozen;

	spin_lock_irq(&res->lock);
	seq = reprise_stream_last_seq(s);
	commit = s->commit;
	flushed = s->flushed;
	durability = s->durability;
	on_peer_loss = s->on_peer_loss;
	parked = bio_list_size(&res->parked);
	frozen = res->frozen;
	spin_unlock_irq(&res->lock);
	if (nla_put_string(skb, REPRISE_A_NAME, res->name) ||
	    nla_put(skb, REPRISE_A_RESOURCE_ID, REPRISE_ID_BYTES, s->origin.resource_id) ||
	    nla_put_u16(skb, REPRISE_A_NODE, s->origin.node) ||
	    nla_put(skb, REPRISE_A_TIMELINE_ID, REPRISE_ID_BYTES, s->origin.timeline_id) ||
	    nla_put_u64_64bit(skb, REPRISE_A_GENERATION, s->origin.generation, REPRISE_A_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_A_SEQ, seq, REPRISE_A_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_A_COMMIT, commit, REPRISE_A_PAD) ||
	    nla_put_u64_64bit(skb, REPRISE_A_FLUSHED, flushed, REPRISE_A_PAD) ||
	    nla_put_u32(skb, REPRISE_A_DURABILITY, durability) ||
	    nla_put_u32(skb, REPRISE_A_ON_PEER_LOSS, on_peer_loss) ||
	    nla_put_u32(skb, REPRISE_A_TIMEOUT_MS, res->timeout_ms) ||
	    nla_put_u32(skb, REPRISE_A_QUEUE_KIB, res->queue_bytes >> 10) ||
	    nla_put_u64_64bit(skb, REPRISE_A_QUEUED_BYTES, atomic64_read(&res->queued),
			      REPRISE_A_PAD) ||
	    nla_put_u32(skb, REPRISE_A_PARKED, parked) ||
	    (frozen && nla_put_flag(skb, REPRISE_A_FROZEN)))
		return -EMSGSIZE;
	return 0;
}

static int put_resource(struct sk_buff *skb, struct reprise_resource *res, u32 portid, u32 seq,
			int flags)
{
	void *hdr = genlmsg_put(skb, portid, seq, &family, flags, REPRISE_CMD_GET);
	unsigned int i;
	int err;

	if (!hdr)
		return -EMSGSIZE;
	mutex_lock(&res->control);
	err = res->dead ? -ENOENT : put_head(skb, res);
	for (i = 0; !err && i < REPRISE_MAX_VOLUMES; i++)
		if (res->volumes[i])
			err = put_volume(skb, res->volumes[i]);
	for (i = 0; !err && i < REPRISE_MAX_NODES; i++)
		if (res->peers[i].node)
			err = put_peer(skb, res, &res->peers[i]);
	mutex_unlock(&res->control);
	if (err) {
		genlmsg_cancel(skb, hdr);
		return err;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/* The largest answer: every volume and every peer. */
static size_t resource_bytes(void)
{
	return NLMSG_ALIGN(GENL_HDRLEN) + 512 + REPRISE_MAX_VOLUMES * 512 + REPRISE_MAX_NODES * 512;
}

/* --- commands ---------------------------------------------------------- */

static int cmd_get(struct sk_buff *skb, struct genl_info *info)
{
	struct reprise_resource *res = find(info);
	struct sk_buff *reply;
	int err;

	if (IS_ERR(res))
		return PTR_ERR(res);
	reply = genlmsg_new(resource_bytes(), GFP_KERNEL);
	err = reply ? put_resource(reply, res, info->snd_portid, info->snd_seq, 0) : -ENOMEM;
	reprise_resource_put(res);
	if (err == -ENOENT)
		say(info, not_primary);
	if (err) {
		nlmsg_free(reply);
		return err;
	}
	return genlmsg_reply(reply, info);
}

static int cmd_get_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct net *net = sock_net(cb->skb->sk);
	struct reprise_resource *res;
	int err = 0;

	while (!err && (res = reprise_resource_nth(net, cb->args[0]))) {
		err = put_resource(skb, res, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				   NLM_F_MULTI);
		reprise_resource_put(res);
		if (err == -ENOENT)
			err = 0;
		if (!err)
			cb->args[0]++;
	}
	return err && !skb->len ? err : skb->len;
}

static int cmd_start(struct sk_buff *skb, struct genl_info *info)
{
	struct reprise_start *start = kzalloc(sizeof(*start), GFP_KERNEL);
	const char *why = NULL;
	int err;

	if (!start)
		return -ENOMEM;
	err = read_start(info, start);
	if (!err)
		err = reprise_resource_start(genl_info_net(info), start, &why);
	say(info, why);
	kfree(start);
	return err;
}

static int cmd_set(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr **a = info->attrs;
	struct reprise_resource *res;
	struct reprise_actions act;
	int err = check_limits(info);

	if (err)
		return err;
	res = find_and_lock(info);
	if (IS_ERR(res))
		return PTR_ERR(res);
	if (a[REPRISE_A_TIMEOUT_MS])
		WRITE_ONCE(res->timeout_ms, nla_get_u32(a[REPRISE_A_TIMEOUT_MS]));
	if (a[REPRISE_A_QUEUE_KIB])
		WRITE_ONCE(res->queue_bytes, (u64)nla_get_u32(a[REPRISE_A_QUEUE_KIB]) << 10);
	wake_up_all(&res->room);
	reprise_actions_init(&act);
	spin_lock_irq(&res->lock);
	reprise_stream_set(&res->stream,
			   a[REPRISE_A_DURABILITY] ? nla_get_u32(a[REPRISE_A_DURABILITY]) :
						     res->stream.durability,
			   a[REPRISE_A_ON_PEER_LOSS] ? nla_get_u32(a[REPRISE_A_ON_PEER_LOSS]) :
						       res->stream.on_peer_loss, &act);
	spin_unlock_irq(&res->lock);
	reprise_resource_act(res, &act, true);
	unlock_and_put(res);
	return 0;
}

static struct sk_buff *reply_new(struct genl_info *info, size_t bytes, u8 cmd, void **hdr)
{
	struct sk_buff *reply = genlmsg_new(bytes, GFP_KERNEL);

	if (!reply)
		return NULL;
	*hdr = genlmsg_put_reply(reply, info, &family, 0, cmd);
	if (*hdr)
		return reply;
	nlmsg_free(reply);
	return NULL;
}

static int put_stopped(struct sk_buff *skb, const struct reprise_stopped *stopped)
{
	unsigned int i;

	if (nla_put_u64_64bit(skb, REPRISE_A_SEQ, stopped->last_seq, REPRISE_A_PAD))
		return -EMSGSIZE;
	for (i = 0; i < stopped->nr_volumes; i++) {
		struct nlattr *nest = nla_nest_start(skb, REPRISE_A_VOLUME);

		if (!nest || nla_put_u16(skb, REPRISE_V_NUMBER, stopped->volumes[i].number) ||
		    nla_put_s32(skb, REPRISE_V_BACKING_FD, stopped->volumes[i].fd) ||
		    nla_put_u64_64bit(skb, REPRISE_V_WRITE_ERRORS,
				      stopped->volumes[i].write_errors, REPRISE_V_PAD))
			return -EMSGSIZE;
		nla_nest_end(skb, nest);
	}
	return 0;
}

static int cmd_stop(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *wait = info->attrs[REPRISE_A_WAIT_MS];
	struct reprise_stopped stopped;
	struct reprise_resource *res;
	const char *why = NULL;
	struct sk_buff *reply;
	void *hdr;
	int err;

	if (wait && nla_get_u32(wait) > WAIT_MAX_MS) {
		say(info, "the wait is longer than 10 s: ask again instead");
		return -ERANGE;
	}
	/* First, because there is no way back once it is stopped. */
	reply = reply_new(info, resource_bytes(), REPRISE_CMD_STOP, &hdr);
	if (!reply)
		return -ENOMEM;
	res = find(info);
	if (IS_ERR(res)) {
		nlmsg_free(reply);
		return PTR_ERR(res);
	}
	err = reprise_resource_stop(res, wait ? nla_get_u32(wait) : 0,
				    nla_get_flag(info->attrs[REPRISE_A_FORCE]), &stopped, &why);
	reprise_resource_put(res);
	say(info, err == -ENOENT ? not_primary : why);
	if (!err)
		err = put_stopped(reply, &stopped);
	if (err) {
		nlmsg_free(reply);
		return err;
	}
	genlmsg_end(reply, hdr);
	return genlmsg_reply(reply, info);
}

static int parse_peer(struct genl_info *info, struct nlattr **tb)
{
	int err = need(info, REPRISE_A_PEER, "the peer is missing");

	if (!err)
		err = nla_parse_nested(tb, REPRISE_P_MAX, info->attrs[REPRISE_A_PEER],
				       peer_policy, info->extack);
	if (!err && !tb[REPRISE_P_NODE]) {
		say(info, "the peer's node id is missing");
		err = -EINVAL;
	}
	return err;
}

static int reply_s0(struct genl_info *info, struct sk_buff *reply, void *hdr, u64 s0)
{
	if (nla_put_u64_64bit(reply, REPRISE_A_SEQ, s0, REPRISE_A_PAD)) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	genlmsg_end(reply, hdr);
	return genlmsg_reply(reply, info);
}

static int cmd_attach(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[REPRISE_P_MAX + 1];
	struct reprise_resource *res;
	const char *why = NULL;
	struct sk_buff *reply;
	u64 s0 = 0;
	void *hdr;
	int err = parse_peer(info, tb);

	if (err)
		return err;
	if (!tb[REPRISE_P_SOCKET_FD] || !tb[REPRISE_P_SESSION] || !tb[REPRISE_P_POSITION] ||
	    !info->attrs[REPRISE_A_TIMELINE_ID]) {
		say(info, "the socket, session, position or timeline is missing");
		return -EINVAL;
	}
	/* First: a session that the caller does not know of must not begin. */
	reply = reply_new(info, NLMSG_DEFAULT_SIZE, REPRISE_CMD_ATTACH, &hdr);
	if (!reply)
		return -ENOMEM;
	res = find_and_lock(info);
	if (IS_ERR(res)) {
		nlmsg_free(reply);
		return PTR_ERR(res);
	}
	err = reprise_session_attach(res, nla_get_u16(tb[REPRISE_P_NODE]),
				     nla_get_s32(tb[REPRISE_P_SOCKET_FD]),
				     nla_get_u64(tb[REPRISE_P_SESSION]),
				     nla_data(info->attrs[REPRISE_A_TIMELINE_ID]),
				     nla_get_u64(tb[REPRISE_P_POSITION]), &s0, &why);
	unlock_and_put(res);
	say(info, why);
	if (err) {
		nlmsg_free(reply);
		return err;
	}
	return reply_s0(info, reply, hdr, s0);
}

static int cmd_detach(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[REPRISE_P_MAX + 1];
	struct reprise_resource *res;
	int err = parse_peer(info, tb);

	if (err)
		return err;
	res = find_and_lock(info);
	if (IS_ERR(res))
		return PTR_ERR(res);
	reprise_session_detach(res, nla_get_u16(tb[REPRISE_P_NODE]), "disconnected by command",
			       false);
	unlock_and_put(res);
	return 0;
}

static int cmd_freeze(struct sk_buff *skb, struct genl_info *info)
{
	struct reprise_resource *res = find_and_lock(info);
	bool freeze = info->genlhdr->cmd == REPRISE_CMD_FREEZE;

	if (IS_ERR(res))
		return PTR_ERR(res);
	if (freeze)
		reprise_resource_freeze(res);
	else
		reprise_resource_resume(res);
	reprise_netlink_event(res, freeze ? REPRISE_EVENT_FROZEN : REPRISE_EVENT_RESUMED, 0,
			      NULL, -1);
	unlock_and_put(res);
	return 0;
}

/* --- events ------------------------------------------------------------ */

static int put_event(struct sk_buff *skb, struct reprise_resource *res, enum reprise_event event,
		     u16 peer, const char *reason, int volume)
{
	struct nlattr *nest;

	if (nla_put_string(skb, REPRISE_A_NAME, res->name) ||
	    nla_put_u32(skb, REPRISE_A_EVENT, event))
		return -EMSGSIZE;
	if (peer) {
		nest = nla_nest_start(skb, REPRISE_A_PEER);
		if (!nest || nla_put_u16(skb, REPRISE_P_NODE, peer) ||
		    (reason && nla_put_string(skb, REPRISE_P_REASON, reason)))
			return -EMSGSIZE;
		nla_nest_end(skb, nest);
	}
	if (volume >= 0) {
		nest = nla_nest_start(skb, REPRISE_A_VOLUME);
		if (!nest || nla_put_u16(skb, REPRISE_V_NUMBER, volume))
			return -EMSGSIZE;
		nla_nest_end(skb, nest);
	}
	return 0;
}

/**
 * reprise_netlink_event - tell who listens
 * @peer: node id, or 0
 * @reason: words, with @peer, or NULL
 * @volume: number, or -1
 *
 * May sleep.  An event that cannot be sent is lost: listeners read the state
 * again when they miss some.
 */
void reprise_netlink_event(struct reprise_resource *res, enum reprise_event event, u16 peer,
			   const char *reason, int volume)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_NOIO);
	void *hdr = skb ? genlmsg_put(skb, 0, 0, &family, 0, REPRISE_CMD_EVENT) : NULL;

	if (!hdr || put_event(skb, res, event, peer, reason, volume)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, hdr);
	genlmsg_multicast_netns(&family, res->net, skb, 0, 0, GFP_NOIO);
}

static const struct genl_ops ops[] = {
	{ .cmd = REPRISE_CMD_GET, .doit = cmd_get, .dumpit = cmd_get_dump },
	{ .cmd = REPRISE_CMD_START, .doit = cmd_start, .flags = GENL_ADMIN_PERM },
	{ .cmd = REPRISE_CMD_SET, .doit = cmd_set, .flags = GENL_ADMIN_PERM },
	{ .cmd = REPRISE_CMD_STOP, .doit = cmd_stop, .flags = GENL_ADMIN_PERM },
	{ .cmd = REPRISE_CMD_ATTACH, .doit = cmd_attach, .flags = GENL_ADMIN_PERM },
	{ .cmd = REPRISE_CMD_DETACH, .doit = cmd_detach, .flags = GENL_ADMIN_PERM },
	{ .cmd = REPRISE_CMD_FREEZE, .doit = cmd_freeze, .flags = GENL_ADMIN_PERM },
	{ .cmd = REPRISE_CMD_RESUME, .doit = cmd_freeze, .flags = GENL_ADMIN_PERM },
};

static const struct genl_multicast_group groups[] = {
	{ .name = REPRISE_GENL_MCGRP },
};

static struct genl_family family __ro_after_init = {
	.name = REPRISE_GENL_NAME,
	.version = REPRISE_GENL_VERSION,
	.maxattr = REPRISE_A_MAX,
	.policy = policy,
	.netnsok = true,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
	.resv_start_op = REPRISE_CMD_UNSPEC + 1,
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
};

int __init reprise_netlink_init(void)
{
	return genl_register_family(&family);
}

void reprise_netlink_exit(void)
{
	genl_unregister_family(&family);
}
