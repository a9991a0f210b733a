// SPDX-License-Identifier: GPL-2.0
/*
 * What the stream refuses: acknowledgements that are damaged or impossible,
 * attaching of peers that do not fit; each changes nothing. And what goes
 * wrong on the local disk, and frames that are full before they have fourteen
 * operations. test_stream.c has the rest, at random.
 */
#include <errno.h>
#include <string.h>

#include "kpure.h"
#include "stream.h"

enum { NODE = 2, LAST = 10, SESSION = 7, WRITES = 6 };

static const struct reprise_origin origin = {
	.resource_id = { 1 }, .timeline_id = { 2 }, .generation = 3, .node = 9,
};

static struct reprise_stream s;
static struct reprise_op ops[WRITES];
static struct reprise_actions a;

static u32 sum(const void *data, unsigned int bytes)
{
	const uint8_t *p = data;
	u32 crc = 1;

	while (bytes--)
		crc = crc * 31 + *p++;
	return crc;
}

/* --- reading one ---------------------------------------------------------------- */

static struct reprise_ack good_ack(void)
{
	return (struct reprise_ack){
		.magic = cpu_to_le32(REPRISE_ACK_MAGIC),
		.version = cpu_to_le16(REPRISE_ACK_VERSION),
		.session = cpu_to_le64(SESSION), .timeline_id = { 2 },
		.received = cpu_to_le64(9), .durable = cpu_to_le64(8), .applied = cpu_to_le64(7),
	};
}

static int decode(struct reprise_ack *wire)
{
	struct reprise_ack_host ack = { .session = 4711 };
	int error;

	wire->crc = cpu_to_le32(sum(wire, offsetof(struct reprise_ack, crc)));
	error = reprise_ack_decode(wire, sum, &ack);
	must(error ? ack.session == 4711 : ack.session == SESSION && ack.durable == 8);
	return error;
}

static void acknowledgements(void)
{
	struct reprise_ack ack = good_ack();
	struct reprise_ack_host host;

	must(!decode(&ack));
	ack.crc ^= 1;
	must(reprise_ack_decode(&ack, sum, &host) == -EBADMSG);
	ack.magic ^= 1;
	must(decode(&ack) == -EBADMSG);
	ack = good_ack();
	ack.version = cpu_to_le16(2);
	must(decode(&ack) == -EPROTO);
	ack = good_ack();
	ack.flags = 1;
	must(decode(&ack) == -EPROTO);
	ack = good_ack();
	ack.reserved = 1;
	must(decode(&ack) == -EPROTO);
	ack = good_ack();
	ack.applied = cpu_to_le64(9);
	must(decode(&ack) == -EPROTO);
	ack = good_ack();
	ack.durable = cpu_to_le64(10);
	must(decode(&ack) == -EPROTO);
}

/* --- the stream ------------------------------------------------------------------- */

static void begin(u32 sectors)
{
	reprise_actions_init(&a);
	memset(ops, 0, sizeof(ops));
	reprise_stream_init(&s, &origin, REPRISE_DURABILITY_WRITE, REPRISE_ON_PEER_LOSS_FREEZE,
			    LAST, 1);
	must(!reprise_stream_add_peer(&s, NODE));
	for (unsigned int i = 0; i < WRITES; i++) {
		ops[i].type = REPRISE_OP_WRITE;
		ops[i].sector = (u64)i * sectors;
		ops[i].sectors = sectors;
	}
}

static void submit_all(void)
{
	for (unsigned int i = 0; i < WRITES; i++)
		reprise_stream_submit(&s, &ops[i], &a);
}

static int attach(u16 node, u8 timeline, u64 position)
{
	u8 timeline_id[REPRISE_ID_BYTES] = { timeline };
	u64 s0 = 0;

	return reprise_stream_attach(&s, node, SESSION, timeline_id, position, &s0, &a);
}

static void attaching(void)
{
	begin(8);
	must(attach(0, 2, LAST) == -ENOENT);
	must(attach(5, 2, LAST) == -ENOENT);
	must(attach(NODE, 3, LAST) == -ESTALE);
	must(attach(NODE, 2, LAST + 1) == -ERANGE);
	must(attach(NODE, 2, LAST - 1) == -EUCLEAN);
	must(!reprise_stream_peer(&s, NODE)->connected);
	must(!attach(NODE, 2, LAST));
	must(attach(NODE, 2, LAST) == -EISCONN);
	must(!reprise_stream_lose(&s, 5, &a));
	must(reprise_stream_lose(&s, NODE, &a));
	must(!reprise_stream_lose(&s, NODE, &a));
	reprise_stream_exit(&s);
}

static void many_peers(void)
{
	begin(8);
	for (u16 node = 1; node <= REPRISE_MAX_NODES; node++)
		must(reprise_stream_add_peer(&s, node) == (node == NODE ? -EEXIST : 0));
	must(reprise_stream_add_peer(&s, REPRISE_MAX_NODES + 1) == -ENOSPC);
	reprise_stream_exit(&s);
}

static int acknowledge(u16 node, u64 session, u8 timeline, u64 received, u64 durable, u64 applied)
{
	const struct reprise_ack_host ack = {
		.session = session, .timeline_id = { timeline }, .received = received,
		.durable = durable, .applied = applied,
	};

	return reprise_stream_ack(&s, node, &ack, &a);
}

static void impossible_positions(void)
{
	struct reprise_frame_head head;
	struct reprise_op *cut[REPRISE_FRAME_MAX_OPS];

	begin(8);
	must(acknowledge(NODE, SESSION, 2, LAST, LAST, LAST) == -EPROTO);
	must(!attach(NODE, 2, LAST));
	submit_all();
	must(reprise_stream_cut(&s, &head, 1, sum, cut) == WRITES);
	must(!acknowledge(NODE, SESSION, 2, LAST + 3, LAST + 2, LAST + 1));
	must(acknowledge(5, SESSION, 2, LAST + 4, LAST + 3, LAST + 2) == -EPROTO);
	must(acknowledge(NODE, 8, 2, LAST + 4, LAST + 3, LAST + 2) == -EPROTO);
	must(acknowledge(NODE, SESSION, 3, LAST + 4, LAST + 3, LAST + 2) == -EPROTO);
	must(acknowledge(NODE, SESSION, 2, LAST + 7, LAST + 3, LAST + 2) == -EPROTO);
	must(acknowledge(NODE, SESSION, 2, LAST + 4, LAST + 5, LAST + 2) == -EPROTO);
	must(acknowledge(NODE, SESSION, 2, LAST + 4, LAST + 3, LAST + 4) == -EPROTO);
	must(acknowledge(NODE, SESSION, 2, LAST + 2, LAST + 2, LAST + 2) == -EPROTO);
	must(acknowledge(NODE, SESSION, 2, LAST + 4, LAST + 1, LAST + 1) == -EPROTO);
	must(acknowledge(NODE, SESSION, 2, LAST + 4, LAST + 3, LAST) == -EPROTO);
	must(reprise_stream_peer(&s, NODE)->durable == LAST + 2);
	must(!acknowledge(NODE, SESSION, 2, LAST + 6, LAST + 6, LAST + 6));
	reprise_stream_exit(&s);
}

/* Nobody required: what completes, completes with what the local disk said. */
static void local_errors(void)
{
	struct reprise_flush flush = { .volume = 0 };
	u64 flushed;

	begin(8);
	reprise_stream_submit(&s, &ops[0], &a);
	reprise_stream_submit(&s, &ops[1], &a);
	ops[1].error = -ENODEV;
	reprise_stream_local_done(&s, &ops[0], -EIO, &a);
	reprise_stream_local_done(&s, &ops[1], -EIO, &a);
	must(ops[0].completed && ops[0].error == -EIO);
	must(ops[1].completed && ops[1].error == -ENODEV);
	flushed = s.flushed;
	reprise_stream_flush(&s, &flush);
	reprise_stream_flush_done(&s, &flush, -EIO, &a);
	must(!list_empty(&a.flushes) && flush.error == -EIO && s.flushed == flushed);
	reprise_stream_exit(&s);
}

/* What nobody was told of yet, the next one to ask for a flush is told, and only that one. */
static void own_flush_fails(void)
{
	struct reprise_flush flush = { .volume = 0 };
	int i;

	begin(8);
	reprise_stream_volume_flush_failed(&s, 0, -EIO);
	for (i = 0; i < 2; i++) {
		INIT_LIST_HEAD(&a.flushes);
		reprise_stream_flush(&s, &flush);
		reprise_stream_flush_done(&s, &flush, 0, &a);
		must(!list_empty(&a.flushes) && flush.error == (i ? 0 : -EIO));
	}
	reprise_stream_exit(&s);
}

/* What else is under way on that volume may have lost the same writes. */
static void flushes_fail_together(void)
{
	struct reprise_flush done = { .volume = 0 }, failed = { .volume = 0 },
			     beside = { .volume = 0 }, other = { .volume = 1 };

	begin(8);
	reprise_stream_flush(&s, &done);
	reprise_stream_flush_done(&s, &done, 0, &a);
	reprise_stream_flush(&s, &failed);
	reprise_stream_flush(&s, &beside);
	reprise_stream_flush(&s, &other);
	reprise_stream_flush_done(&s, &failed, -EIO, &a);
	reprise_stream_flush_done(&s, &beside, 0, &a);
	reprise_stream_flush_done(&s, &other, 0, &a);
	must(!done.error && failed.error == -EIO && beside.error == -EIO && !other.error);
	reprise_stream_flush(&s, &done);
	reprise_stream_flush(&s, &beside);
	reprise_stream_volume_flush_failed(&s, 0, -EIO);
	reprise_stream_flush_done(&s, &done, 0, &a);
	reprise_stream_flush_done(&s, &beside, 0, &a);
	must(done.error == -EIO && beside.error == -EIO);
	/* It was told. */
	reprise_stream_flush(&s, &done);
	reprise_stream_flush_done(&s, &done, 0, &a);
	must(!done.error);
	reprise_stream_exit(&s);
}

/* Nor may a write that asks for a flush before it say yes then. */
static void writes_fail_with_flushes(void)
{
	int i;

	begin(8);
	ops[1].flags = ops[2].flags = ops[3].flags = REPRISE_OP_FUA;
	reprise_stream_submit(&s, &ops[0], &a);
	reprise_stream_submit(&s, &ops[1], &a);
	reprise_stream_volume_flush_failed(&s, 0, -EIO);
	reprise_stream_local_done(&s, &ops[0], 0, &a);
	reprise_stream_local_done(&s, &ops[1], 0, &a);
	must(!ops[0].error && ops[1].error == -EIO);
	reprise_stream_volume_flush_failed(&s, 0, -EIO);
	for (i = 2; i < 4; i++) {
		reprise_stream_submit(&s, &ops[i], &a);
		reprise_stream_local_done(&s, &ops[i], 0, &a);
		must(ops[i].error == (i == 2 ? -EIO : 0));
	}
	reprise_stream_exit(&s);
}

/* Those that are done here, and wait for a peer, were before it; another volume is another disk. */
static void only_what_is_under_way_fails(void)
{
	struct reprise_flush done = { .volume = 0 };

	begin(8);
	must(!attach(NODE, 2, LAST));
	ops[0].flags = ops[1].flags = ops[2].flags = REPRISE_OP_FUA;
	ops[1].volume = 1;
	reprise_stream_submit(&s, &ops[0], &a);
	reprise_stream_submit(&s, &ops[1], &a);
	reprise_stream_submit(&s, &ops[2], &a);
	reprise_stream_submit(&s, &ops[3], &a);
	reprise_stream_flush(&s, &done);
	reprise_stream_local_done(&s, &ops[0], 0, &a);
	reprise_stream_flush_done(&s, &done, 0, &a);
	reprise_stream_local_done(&s, &ops[3], -EIO, &a);
	must(!ops[2].error);
	ops[4].flags = REPRISE_OP_FUA;
	reprise_stream_submit(&s, &ops[4], &a);
	reprise_stream_local_done(&s, &ops[4], -EIO, &a);
	must(!ops[0].error && !ops[1].error && !done.error);
	must(ops[2].error == -EIO && ops[4].error == -EIO);
	reprise_stream_exit(&s);
}

static void own_flushes_come_in_time(void)
{
	must(reprise_stream_flush_interval_ms(10) == 25);
	must(reprise_stream_flush_interval_ms(400) == 100);
	must(reprise_stream_flush_interval_ms(60000) == 1000);
}

/* Four of the largest writes are more than a frame may have, with its header. */
static void large_writes(void)
{
	struct reprise_frame_head head;
	struct reprise_op *cut[REPRISE_FRAME_MAX_OPS];

	begin(REPRISE_OP_MAX_SECTORS);
	must(!attach(NODE, 2, LAST));
	submit_all();
	must(reprise_stream_cut(&s, &head, 1, sum, cut) == 3);
	must(le32_to_cpu(head.frame_bytes) == REPRISE_FRAME_HEAD_BYTES + (3 << 20));
	must(reprise_stream_cut(&s, &head, 1, sum, cut) == 3);
	must(!reprise_stream_may_cut(&s));
	reprise_stream_exit(&s);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "acknowledgements that are damaged", acknowledgements },
		{ "peers that cannot be attached", attaching },
		{ "more peers than there can be", many_peers },
		{ "positions that are impossible", impossible_positions },
		{ "errors of the local disk", local_errors },
		{ "a flush of our own that fails", own_flush_fails },
		{ "flushes beside one that fails", flushes_fail_together },
		{ "writes that ask for a flush that fails", writes_fail_with_flushes },
		{ "what does not fail with a flush", only_what_is_under_way_fails },
		{ "how often flushes come unasked", own_flushes_come_in_time },
		{ "frames are full by bytes, too", large_writes },
	};
	const unsigned int nr = sizeof(tests) / sizeof(tests[0]);

	printf("TAP version 13\n1..%u\n", nr);
	for (unsigned int i = 0; i < nr; i++) {
		tests[i].test();
		printf("ok %u %s\n", i + 1, tests[i].name);
	}
	return 0;
}
