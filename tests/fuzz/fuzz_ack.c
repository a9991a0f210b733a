// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel parses from the network: acknowledgements, and what they do
 * to the stream.  The input is a program: writes, frames cut, sessions begun
 * and lost, and acknowledgements that are raw, damaged, or well made with any
 * positions.  Refused ones change nothing; accepted ones move watermarks only
 * forward and never past what was sent; nothing completes before its time.
 */
#include <errno.h>
#include <string.h>

#include "input.h"
#include "stream.h"

enum { MAX_OPS = 64, PEERS = 2, MAX_STEPS = 200 };

bool kpure_no_memory;

struct world {
	struct reprise_stream stream;
	struct reprise_op ops[MAX_OPS];
	unsigned int nr_ops;
	bool submitted[MAX_OPS], done[MAX_OPS], completed[MAX_OPS], retired[MAX_OPS];
	u64 commit, may_complete;	/* never go back, whoever comes later with less */
};

static const struct reprise_origin origin = {
	.resource_id = { 1 }, .timeline_id = { 2 }, .generation = 3, .node = 9,
};

/* Any function of the bytes will do. */
static u32 sum(const void *data, unsigned int bytes)
{
	const uint8_t *p = data;
	u32 crc = 1;

	while (bytes--)
		crc = crc * 31 + *p++;
	return crc;
}

static unsigned int index_of(const struct world *w, const struct reprise_op *op)
{
	must(op >= w->ops && op < w->ops + w->nr_ops);
	return op - w->ops;
}

/* Lowest watermark of those whose word is needed. */
static u64 promised(const struct world *w, bool durable)
{
	u64 least = w->stream.next_seq - 1;

	for (unsigned int i = 0; i < REPRISE_MAX_NODES; i++) {
		const struct reprise_stream_peer *peer = &w->stream.peers[i];
		u64 mark = durable ? peer->durable : peer->received;

		if (peer->node && (peer->connected || peer->held) && mark < least)
			least = mark;
	}
	return least;
}

static u64 completable(const struct world *w)
{
	switch (w->stream.durability) {
	case REPRISE_DURABILITY_WRITE:
		return promised(w, true);
	case REPRISE_DURABILITY_MEMORY:
		return promised(w, false);
	default:
		return w->stream.next_seq - 1;
	}
}

static void act(struct world *w, struct reprise_actions *a)
{
	struct reprise_op *op, *next;

	w->may_complete = max(w->may_complete, completable(w));
	list_for_each_entry_safe(op, next, &a->submit, submit_link) {
		list_del(&op->submit_link);
		must(!w->submitted[index_of(w, op)]);
		w->submitted[index_of(w, op)] = true;
	}
	list_for_each_entry_safe(op, next, &a->complete, complete_link) {
		must(w->done[index_of(w, op)] && !w->completed[index_of(w, op)]);
		must(op->seq <= w->may_complete);
		w->completed[index_of(w, op)] = true;
	}
	list_for_each_entry_safe(op, next, &a->retire, link) {
		must(w->completed[index_of(w, op)] && !w->retired[index_of(w, op)]);
		must(op->seq <= promised(w, true));
		w->retired[index_of(w, op)] = true;
		list_del(&op->link);
	}
	must(w->stream.commit >= w->commit && w->stream.commit < w->stream.next_seq);
	w->commit = w->stream.commit;
}

static bool frozen(const struct world *w)
{
	for (unsigned int i = 0; i < REPRISE_MAX_NODES; i++)
		if (w->stream.peers[i].node && w->stream.peers[i].held)
			return true;
	return false;
}

static void do_submit(struct world *w, struct fuzz_input *in, struct reprise_actions *a)
{
	struct reprise_op *op = &w->ops[w->nr_ops];

	if (w->nr_ops == MAX_OPS || frozen(w))
		return;
	w->nr_ops++;
	op->sector = fuzz_below(in, 64);
	op->sectors = 1 + fuzz_below(in, 16);
	op->type = fuzz_below(in, 4) ? REPRISE_OP_WRITE : REPRISE_OP_WRITE_ZEROES;
	op->flags = fuzz_below(in, 4) ? 0 : REPRISE_OP_FUA;
	reprise_stream_submit(&w->stream, op, a);
}

static void do_local(struct world *w, struct fuzz_input *in, struct reprise_actions *a)
{
	unsigned int i = fuzz_below(in, MAX_OPS);

	if (i >= w->nr_ops || !w->submitted[i] || w->done[i])
		return;
	w->done[i] = true;
	reprise_stream_local_done(&w->stream, &w->ops[i], 0, a);
}

static void do_cut(struct world *w)
{
	struct reprise_frame_head head;
	struct reprise_op *ops[REPRISE_FRAME_MAX_OPS];
	unsigned int nr;

	if (!reprise_stream_may_cut(&w->stream))
		return;
	nr = reprise_stream_cut(&w->stream, &head, 1, sum, ops);
	must(nr <= REPRISE_FRAME_MAX_OPS && le16_to_cpu(head.nr_ops) == nr);
	must(le32_to_cpu(head.frame_bytes) <= REPRISE_FRAME_MAX_BYTES);
	for (unsigned int i = 0; i < nr; i++)
		must(ops[i]->seq == le64_to_cpu(head.first_seq) + i);
}

/* A position near one that means something, or any. */
static u64 position(const struct world *w, const struct reprise_stream_peer *peer,
		    struct fuzz_input *in)
{
	const u64 bases[] = { peer->sent, peer->received, peer->durable, peer->applied,
			      w->stream.next_seq };
	unsigned int which = fuzz_below(in, 8);

	return which < 5 ? bases[which] + (int8_t)fuzz_u8(in) : fuzz_u64(in);
}

static void make_ack(const struct world *w, const struct reprise_stream_peer *peer,
		     struct fuzz_input *in, struct reprise_ack *ack)
{
	memset(ack, 0, sizeof(*ack));
	ack->magic = cpu_to_le32(REPRISE_ACK_MAGIC);
	ack->version = cpu_to_le16(REPRISE_ACK_VERSION);
	ack->session = cpu_to_le64(peer->session);
	memcpy(ack->timeline_id, origin.timeline_id, sizeof(ack->timeline_id));
	ack->received = cpu_to_le64(position(w, peer, in));
	ack->durable = fuzz_below(in, 2) ? ack->received : cpu_to_le64(position(w, peer, in));
	ack->applied = fuzz_below(in, 2) ? ack->durable : cpu_to_le64(position(w, peer, in));
	if (!fuzz_below(in, 8))
		((uint8_t *)ack)[fuzz_below(in, sizeof(*ack))] ^= fuzz_u8(in);
	ack->crc = cpu_to_le32(sum(ack, offsetof(struct reprise_ack, crc)));
	if (!fuzz_below(in, 8))
		((uint8_t *)ack)[fuzz_below(in, sizeof(*ack))] ^= fuzz_u8(in);
}

static bool decode(const struct reprise_ack *wire, struct reprise_ack_host *ack)
{
	int error;

	fuzz_poison(ack, sizeof(*ack));
	error = reprise_ack_decode(wire, sum, ack);
	if (error) {
		must((error == -EBADMSG || error == -EPROTO) &&
		     fuzz_untouched(ack, sizeof(*ack)));
		return false;
	}
	must(ack->applied <= ack->durable && ack->durable <= ack->received);
	must(sum(wire, offsetof(struct reprise_ack, crc)) == le32_to_cpu(wire->crc));
	return true;
}

static void do_ack(struct world *w, struct fuzz_input *in, struct reprise_actions *a)
{
	u16 node = 1 + fuzz_below(in, PEERS);
	struct reprise_stream_peer *peer = reprise_stream_peer(&w->stream, node);
	struct reprise_stream_peer before = *peer;
	u64 commit = w->stream.commit;
	struct reprise_ack_host ack;
	struct reprise_ack wire;
	int error;

	if (fuzz_below(in, 6))
		make_ack(w, peer, in, &wire);
	else
		fuzz_take(in, &wire, sizeof(wire));
	if (!decode(&wire, &ack))
		return;
	error = reprise_stream_ack(&w->stream, node, &ack, a);
	if (error) {
		must(!memcmp(&before, peer, sizeof(before)) && commit == w->stream.commit);
		return;
	}
	must(before.connected && ack.session == before.session);
	must(!memcmp(ack.timeline_id, origin.timeline_id, sizeof(ack.timeline_id)));
	must(ack.received <= before.sent && ack.received >= before.received &&
	     ack.durable >= before.durable && ack.applied >= before.applied);
	must(peer->received == ack.received && peer->durable == ack.durable &&
	     peer->applied == ack.applied);
}

static void do_attach(struct world *w, struct fuzz_input *in, struct reprise_actions *a)
{
	u16 node = 1 + fuzz_below(in, PEERS + 1);
	struct reprise_stream_peer *peer = reprise_stream_peer(&w->stream, node);
	u64 s0 = 0, at;
	int error;

	if (!peer || peer->connected)
		return;
	at = position(w, peer, in);
	error = reprise_stream_attach(&w->stream, node, fuzz_u8(in), origin.timeline_id, at, &s0,
				      a);
	must(error || (s0 <= w->stream.next_seq && at < w->stream.next_seq && peer->connected));
}

static void step(struct world *w, struct fuzz_input *in)
{
	struct reprise_actions a;

	reprise_actions_init(&a);
	switch (fuzz_below(in, 10)) {
	case 0:
	case 1:
		do_submit(w, in, &a);
		break;
	case 2:
		do_local(w, in, &a);
		break;
	case 3:
		do_cut(w);
		break;
	case 4:
		do_attach(w, in, &a);
		break;
	case 5:
		reprise_stream_lose(&w->stream, 1 + fuzz_below(in, PEERS), &a);
		break;
	case 6:
		reprise_stream_alone(&w->stream, &a);
		break;
	default:
		do_ack(w, in, &a);
	}
	act(w, &a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct world w;
	struct fuzz_input in = { data, bytes };
	unsigned int steps = 0;

	memset(&w, 0, sizeof(w));
	reprise_stream_init(&w.stream, &origin, 1 + fuzz_below(&in, REPRISE_DURABILITY_ASYNC),
			    fuzz_below(&in, 2) ? REPRISE_ON_PEER_LOSS_FREEZE :
						 REPRISE_ON_PEER_LOSS_ALONE,
			    fuzz_u8(&in), 1);
	w.commit = w.stream.commit;
	for (u16 node = 1; node <= PEERS; node++)
		must(!reprise_stream_add_peer(&w.stream, node));
	while (in.left && steps++ < MAX_STEPS)
		step(&w, &in);
	reprise_stream_exit(&w.stream);
	return 0;
}
