// SPDX-License-Identifier: GPL-2.0
/*
 * The stream against a model that remembers everything: random operations,
 * flushes, local completions in any order that the disk may choose, peers that
 * acknowledge, are lost and come back, in every mode and policy.
 *
 *	test_stream [SEED [COUNT]]
 */
#include <errno.h>
#include <string.h>

#include "kpure.h"
#include "stream.h"

enum { STEPS = 3000, OPS = 4096, VOLUME_SECTORS = 256, PEERS = 2, MAX_SENT = 8192 };

struct model_op {
	struct reprise_op op;		/* first */
	bool used, submitted, done, complete, retired;
	bool cut[PEERS];
};

struct model_flush {
	struct reprise_flush flush;	/* first */
	bool used, local_done, complete;
	u64 seq, local_seq;
};

struct model_peer {
	bool connected, held;
	u64 session, got, durable;	/* as acknowledged */
	u64 sent;
};

static struct reprise_stream s;
static struct model_op ops[OPS];
static unsigned int nr_ops;
static struct model_flush flushes[OPS];
static unsigned int nr_flushes;
static struct model_peer peers[PEERS];
static u64 sessions, first_seq, last_commit;
static u64 volume_flushed[2];		/* all up to here are done and flushed */
static const struct reprise_origin origin = {
	.resource_id = { 1 }, .timeline_id = { 2 }, .generation = 3, .node = 9,
};

static u32 no_crc(const void *data, unsigned int bytes)
{
	return 0;
}

static struct model_op *by_seq(u64 seq)
{
	return &ops[seq - first_seq];
}

static bool overlap(const struct reprise_op *a, const struct reprise_op *b)
{
	return a->volume == b->volume && a->sector < b->sector + b->sectors &&
	       b->sector < a->sector + a->sectors;
}

/* What may complete by now: computed from the model alone; goes back only for a peer that comes. */
static u64 may_complete, may_flush;

static void model_marks(void)
{
	u64 last = first_seq + nr_ops - 1, received = last, durable = last;

	for (int p = 0; p < PEERS; p++) {
		if (!peers[p].connected && !peers[p].held)
			continue;
		received = min(received, peers[p].got);
		durable = min(durable, peers[p].durable);
	}
	may_flush = max(may_flush, s.durability == REPRISE_DURABILITY_ASYNC ? last : durable);
	if (s.durability == REPRISE_DURABILITY_WRITE)
		may_complete = max(may_complete, durable);
	else if (s.durability == REPRISE_DURABILITY_MEMORY)
		may_complete = max(may_complete, received);
	else
		may_complete = last;
}

static bool frozen(void)
{
	for (int i = 0; i < REPRISE_MAX_NODES; i++)
		if (s.peers[i].node && s.peers[i].held)
			return true;
	return false;
}

/* All up to here are done on the local disk. */
static u64 model_local(void)
{
	unsigned int i = 0;

	while (i < nr_ops && ops[i].done)
		i++;
	return first_seq + i - 1;
}

/* What a frame may call final: computed from the model alone, never going back. */
static u64 model_commit(void)
{
	u64 least = UINT64_MAX;

	for (int p = 0; p < PEERS; p++)
		if (peers[p].connected || peers[p].held)
			least = min(least, peers[p].durable);
	return max(last_commit, least == UINT64_MAX ? model_local() : least);
}

static void check_submit(struct model_op *m)
{
	must(!m->submitted);
	m->submitted = true;
	/* An earlier overlapping write is on the disk before a later one goes. */
	for (u64 seq = first_seq; seq < m->op.seq; seq++)
		if (overlap(&by_seq(seq)->op, &m->op))
			must(by_seq(seq)->done);
}

static void check_complete(struct model_op *m)
{
	must(!m->complete && m->done);
	must(m->op.seq <= may_complete);
	must(!(m->op.flags & REPRISE_OP_FUA) || m->op.seq <= may_flush);
	m->complete = true;
}

static void act(struct reprise_actions *a)
{
	struct reprise_flush *flush, *next_flush;
	struct reprise_op *op, *next;

	model_marks();
	list_for_each_entry_safe(op, next, &a->submit, submit_link) {
		list_del(&op->submit_link);
		check_submit((struct model_op *)op);
	}
	list_for_each_entry_safe(op, next, &a->complete, complete_link)
		check_complete((struct model_op *)op);
	list_for_each_entry_safe(flush, next_flush, &a->flushes, link) {
		struct model_flush *m = (struct model_flush *)flush;

		must(m->local_done && !m->complete && m->seq <= may_flush);
		m->complete = true;
	}
	list_for_each_entry_safe(op, next, &a->retire, link) {
		struct model_op *m = (struct model_op *)op;

		must(m->done && m->complete && !m->retired);
		for (int p = 0; p < PEERS; p++)
			must(!(peers[p].connected || peers[p].held) ||
			     op->seq <= peers[p].durable);
		m->retired = true;
		list_del(&op->link);
	}
	must(s.commit >= last_commit && s.commit <= model_commit());
	last_commit = s.commit;
	must(s.flushed <= min(volume_flushed[0], volume_flushed[1]));
}

static void do_submit(void)
{
	struct reprise_actions a;
	struct model_op *m = &ops[nr_ops];

	if (nr_ops == OPS || frozen())
		return;
	memset(m, 0, sizeof(*m));
	m->op.volume = kpure_below(2);
	m->op.sectors = 1 + kpure_below(kpure_below(4) ? 8 : 64);
	m->op.sector = kpure_below(VOLUME_SECTORS - m->op.sectors);
	m->op.type = kpure_below(5) ? REPRISE_OP_WRITE : REPRISE_OP_WRITE_ZEROES;
	m->op.flags = kpure_below(6) ? 0 : REPRISE_OP_FUA;
	nr_ops++;
	reprise_actions_init(&a);
	reprise_stream_submit(&s, &m->op, &a);
	must(m->op.seq == first_seq + nr_ops - 1);
	act(&a);
	/* Whoever is away and not awaited has it marked from this moment on. */
	for (int p = 0; p < PEERS; p++)
		if (!peers[p].connected && !reprise_stream_peer(&s, p + 1)->held)
			must(reprise_dirty_test(&reprise_stream_peer(&s, p + 1)->dirty,
						m->op.volume, m->op.sector));
}

static void do_local(void)
{
	unsigned int start = kpure_below(nr_ops + 1);
	struct reprise_actions a;

	for (unsigned int i = 0; i < nr_ops; i++) {
		struct model_op *m = &ops[(start + i) % nr_ops];

		if (!m->submitted || m->done)
			continue;
		m->done = true;
		reprise_actions_init(&a);
		reprise_stream_local_done(&s, &m->op, 0, &a);
		act(&a);
		return;
	}
}

static void do_flush(void)
{
	struct model_flush *m = &flushes[nr_flushes];

	if (nr_flushes == OPS)
		return;
	memset(m, 0, sizeof(*m));
	nr_flushes++;
	m->flush.volume = kpure_below(2);
	reprise_stream_flush(&s, &m->flush);
	m->seq = s.next_seq - 1;
	m->local_seq = model_local();
}

static void do_flush_local(void)
{
	struct reprise_actions a;

	for (unsigned int i = 0; i < nr_flushes; i++) {
		struct model_flush *m = &flushes[i];

		if (m->local_done || !kpure_below(3))
			continue;
		m->local_done = true;
		volume_flushed[m->flush.volume] = max(volume_flushed[m->flush.volume],
						      m->local_seq);
		reprise_actions_init(&a);
		reprise_stream_flush_done(&s, &m->flush, 0, &a);
		act(&a);
		return;
	}
}

static void do_cut(void)
{
	struct reprise_op *list[REPRISE_FRAME_MAX_OPS];
	struct reprise_frame_head head;
	u64 expect = s.cut_seq;
	bool any = false;
	unsigned int n;

	for (int p = 0; p < PEERS; p++)
		any |= peers[p].connected;
	if (!any)
		return;
	n = reprise_stream_cut(&s, &head, 1, no_crc, list);
	must(le64_to_cpu(head.first_seq) == expect);
	must(le64_to_cpu(head.commit) < expect + n || (!n && le64_to_cpu(head.commit) < expect));
	must(le32_to_cpu(head.frame_bytes) <= REPRISE_FRAME_MAX_BYTES);
	for (unsigned int i = 0; i < n; i++) {
		must(list[i]->seq == expect + i);
		must(le64_to_cpu(head.ops[i].sector) == list[i]->sector);
	}
	for (int p = 0; p < PEERS; p++) {
		if (!peers[p].connected)
			continue;
		must(peers[p].sent + 1 == expect);
		peers[p].sent += n;
	}
}

static void do_ack(void)
{
	unsigned int p = kpure_below(PEERS);
	struct reprise_ack_host ack = { .session = peers[p].session };
	struct reprise_actions a;

	if (!peers[p].connected)
		return;
	memcpy(ack.timeline_id, origin.timeline_id, sizeof(ack.timeline_id));
	peers[p].got += kpure_below(peers[p].sent - peers[p].got + 1);
	peers[p].durable += kpure_below(peers[p].got - peers[p].durable + 1);
	ack.received = peers[p].got;
	ack.durable = peers[p].durable;
	ack.applied = s.peers[p].applied;
	reprise_actions_init(&a);
	must(!reprise_stream_ack(&s, p + 1, &ack, &a));
	act(&a);
}

/* A lie is refused and changes nothing. */
static void do_lie(void)
{
	unsigned int p = kpure_below(PEERS);
	struct reprise_ack_host ack = {
		.session = peers[p].session, .received = peers[p].sent, .durable = peers[p].durable,
	};
	struct reprise_stream_peer before = s.peers[p];
	struct reprise_actions a;

	if (!peers[p].connected)
		return;
	memcpy(ack.timeline_id, origin.timeline_id, sizeof(ack.timeline_id));
	switch (kpure_below(4)) {
	case 0:
		ack.session++;
		break;
	case 1:
		ack.received = peers[p].sent + 1;
		break;
	case 2:
		ack.timeline_id[3] ^= 1;
		break;
	default:
		if (!peers[p].durable)
			return;
		ack.durable = peers[p].durable - 1;
	}
	reprise_actions_init(&a);
	must(reprise_stream_ack(&s, p + 1, &ack, &a) == -EPROTO);
	must(!memcmp(&before, &s.peers[p], sizeof(before)));
}

static void do_lose(void)
{
	unsigned int p = kpure_below(PEERS);
	struct reprise_stream_peer *peer = reprise_stream_peer(&s, p + 1);
	struct reprise_actions a;

	if (!peers[p].connected)
		return;
	peers[p].connected = false;
	peers[p].held = s.on_peer_loss != REPRISE_ON_PEER_LOSS_ALONE;
	reprise_actions_init(&a);
	must(reprise_stream_lose(&s, p + 1, &a) ==
	     (s.on_peer_loss != REPRISE_ON_PEER_LOSS_ALONE));
	if (!peer->held)
		for (u64 seq = peers[p].durable + 1; seq < s.next_seq; seq++)
			must(reprise_dirty_test(&peer->dirty, by_seq(seq)->op.volume,
						by_seq(seq)->op.sector));
	act(&a);
}

static void do_attach(void)
{
	unsigned int p = kpure_below(PEERS);
	struct reprise_stream_peer *peer = reprise_stream_peer(&s, p + 1);
	u64 position = peers[p].got, s0 = 0, session = ++sessions;
	struct reprise_actions a;
	bool kept = true;
	int err;

	if (peers[p].connected)
		return;
	if (!kpure_below(4))		/* it came up to date by other means */
		position = s.next_seq - 1;
	for (u64 seq = position + 1; seq < s.next_seq; seq++)
		kept &= !by_seq(seq)->retired;
	reprise_actions_init(&a);
	err = reprise_stream_attach(&s, p + 1, session, origin.timeline_id, position, &s0, &a);
	must(!err || err == -EUCLEAN);
	must(err || kept);
	if (!err) {
		must(s0 == position + 1 && !reprise_dirty_any(&peer->dirty));
		peers[p] = (struct model_peer){ .connected = true, .session = session,
			.got = position, .durable = position, .sent = position };
		may_complete = min(may_complete, position);
		may_flush = min(may_flush, position);
	}
	act(&a);
}

static void do_alone(void)
{
	struct reprise_actions a;

	reprise_actions_init(&a);
	reprise_stream_alone(&s, &a);
	for (int p = 0; p < PEERS; p++)
		peers[p].held = false;
	must(!frozen());
	act(&a);
}

static void do_set(void)
{
	struct reprise_actions a;

	reprise_actions_init(&a);
	reprise_stream_set(&s, 1 + kpure_below(4), 1 + kpure_below(3), &a);
	act(&a);
}

/* Once everybody does their part, everything ends. */
static void finish(void)
{
	struct reprise_actions a;

	do_alone();
	for (unsigned int i = 0; i < OPS; i++) {
		do_local();
		do_flush_local();
	}
	for (int p = 0; p < PEERS; p++)
		while (peers[p].connected && (reprise_stream_may_cut(&s) ||
					      peers[p].durable < s.next_seq - 1)) {
			do_cut();
			do_ack();
		}
	for (unsigned int v = 0; v < 2; v++) {
		reprise_actions_init(&a);
		volume_flushed[v] = model_local();
		reprise_stream_volume_flushed(&s, v, s.local_seq, &a);
		act(&a);
	}
	for (unsigned int i = 0; i < nr_ops; i++)
		must(ops[i].complete && ops[i].retired);
	for (unsigned int i = 0; i < nr_flushes; i++)
		must(flushes[i].complete || !flushes[i].local_done);
	must(s.flushed == s.next_seq - 1 && s.commit == s.next_seq - 1);
	must(list_empty(&s.ops));
}

static void one_seed(uint64_t seed)
{
	unsigned int intensity;

	kpure_start(seed);
	first_seq = 1 + kpure_below(1000);
	nr_ops = nr_flushes = 0;
	last_commit = volume_flushed[0] = volume_flushed[1] = first_seq - 1;
	may_complete = may_flush = first_seq - 1;
	reprise_stream_init(&s, &origin, 1 + kpure_below(4), 1 + kpure_below(3), first_seq - 1, 3);
	for (int p = 0; p < PEERS; p++) {
		must(!reprise_stream_add_peer(&s, p + 1));
		peers[p] = (struct model_peer){ .got = first_seq - 1, .durable = first_seq - 1 };
	}
	must(reprise_stream_add_peer(&s, 1) == -EEXIST);
	intensity = 1 + kpure_below(40);
	for (int step = 0; step < STEPS; step++) {
		switch (kpure_below(10 + (kpure_below(intensity) == 0 ? 6 : 0))) {
		case 0: case 1: case 2:
			do_submit();
			break;
		case 3: case 4:
			if (nr_ops)
				do_local();
			break;
		case 5:
			do_flush();
			break;
		case 6:
			do_flush_local();
			break;
		case 7:
			do_cut();
			break;
		case 8: case 9:
			do_ack();
			break;
		case 10:
			do_lose();
			break;
		case 11: case 12:
			do_attach();
			break;
		case 13:
			do_alone();
			break;
		case 14:
			do_set();
			break;
		case 15:
			do_lie();
			break;
		}
	}
	finish();
	reprise_stream_exit(&s);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : argc > 1 ? 1 : 300;

	printf("TAP version 13\n1..1\n");
	for (uint64_t seed = first; seed < first + count; seed++)
		one_seed(seed);
	printf("ok 1 model, seeds %llu to %llu\n", (unsigned long long)first,
	       (unsigned long long)(first + count - 1));
	return 0;
}
