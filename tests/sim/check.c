// SPDX-License-Identifier: GPL-2.0
/*
 * Invariants 1, 2, 3 and 5 (DESIGN.md, section 11) on disks.
 */
#include "check.h"

#include <endian.h>
#include <string.h>

#include "image.h"

#define fail(model, ...) world_fail(model_world(model), __VA_ARGS__)
#define ull(x) ((unsigned long long)(x))

static struct image image;

/* Where a lineage of a record leaves what the model knows. */
struct stand {
	struct model_timeline *tl;	/* the newest that the model knows */
	uint64_t until;			/* of it: UINT64_MAX: it is current */
	bool current, crash;
};

/*
 * Timelines that were opened and never served anything are only in the record;
 * so far, that is @except, too.
 */
static struct stand find_stand(struct model *model, unsigned int node,
			       const struct model_timeline *except)
{
	struct stand stand = { .until = UINT64_MAX };
	unsigned int i = image.nr_timelines;

	while (i--) {
		struct image_timeline t = image_timeline(&image, i);

		stand.tl = model_find(model, t.id);
		if (stand.tl && stand.tl != except) {
			stand.current = i + 1 == image.nr_timelines;
			/* What did not crash as its primary holds it as it was. */
			stand.crash &= stand.tl->node == (int)node;
			return stand;
		}
		stand.until = t.fork_seq;
		stand.crash |= t.kind == REPRISE_FORK_CRASH;
	}
	fail(model, "%s holds no timeline that ever was", model_node_name(node));
}

/* --- the log ------------------------------------------------------------- */

struct log_check {
	struct model *model;
	unsigned int node;
	const struct model_timeline *tl;
};

static void check_op(void *ctx, uint64_t seq, const struct reprise_op_desc *desc,
		     const uint8_t *payload)
{
	const struct log_check *lc = ctx;
	const struct model_op *op = model_op_at(lc->tl, seq);
	uint64_t sector = le64toh(desc->sector);

	if (!op || op->sector != sector || op->sectors != le32toh(desc->sectors) ||
	    op->volume != le16toh(desc->volume) || op->zeroes != !payload)
		fail(lc->model, "the log of %s holds an operation %llu that was never submitted as that",
		     model_node_name(lc->node), ull(seq));
	for (uint32_t s = 0; payload && s < op->sectors; s++)
		if (model_version(op->volume, sector + s, payload + s * 512) != op->version)
			fail(lc->model, "the log of %s holds other content for seq %llu than was submitted",
			     model_node_name(lc->node), ull(seq));
}

/* Invariant 2: what was acknowledged on any timeline of the lineage is there. */
static void check_acked(struct model *model, unsigned int node)
{
	uint64_t until = image.left && image.left_seq < image.tip ? image.left_seq : image.tip;
	unsigned int i = image.nr_timelines;

	if (model_copy(model, node)->media_fault)
		return;
	while (i--) {
		struct image_timeline t = image_timeline(&image, i);
		const struct model_timeline *tl = model_find(model, t.id);

		if (tl && tl->node != (int)node && tl->peers[node].acked > until)
			fail(model, "%s has acknowledged seq %llu of generation %llu as durable, and holds only %llu",
			     model_node_name(node), ull(tl->peers[node].acked),
			     ull(tl->generation), ull(until));
		until = t.kind == REPRISE_FORK_CRASH ? UINT64_MAX : t.fork_seq;
	}
}

/* --- stores -------------------------------------------------------------- */

static uint32_t on_disk(const struct model_copy *copy, unsigned int volume, uint64_t sector,
			bool durable)
{
	uint64_t buf[512 / 8];

	if (durable)
		disk_peek_durable(copy->volumes[volume], sector * 512, buf, sizeof(buf));
	else
		disk_peek(copy->volumes[volume], sector * 512, buf, sizeof(buf));
	return model_version(volume, sector, buf);
}

static bool covers(const struct model_op *op, unsigned int volume, uint64_t sector)
{
	return op->volume == volume && op->sector <= sector && sector < op->sector + op->sectors;
}

/* Did an operation after @low, up to @high, write @version there? */
static bool written(const struct model_timeline *tl, unsigned int volume, uint64_t sector,
		    uint64_t low, uint64_t high, uint32_t version)
{
	if (high > model_last(tl))
		high = model_last(tl);
	for (uint64_t seq = high; seq > low && seq > tl->fork_seq; seq--) {
		const struct model_op *op = model_op_at(tl, seq);

		if (op->version == version && covers(op, volume, sector))
			return true;
	}
	return false;
}

/*
 * A local write there has failed: which of the two contents is there is not
 * known.  Nobody may call such a copy clean.
 */
static bool has_failed(const struct model_timeline *tl, unsigned int volume, uint64_t sector)
{
	for (uint64_t i = 0; tl->io_error && i < tl->nr_ops; i++)
		if (tl->ops[i].failed && covers(&tl->ops[i], volume, sector))
			return true;
	return false;
}

/*
 * Is @version what lies below the @wanted of @tl's beginning?  Only after a
 * flush that failed once: no later one writes what that one forgot, although
 * reads show it.
 */
static bool is_forgotten(const struct model_timeline *tl, unsigned int node, unsigned int volume,
			 uint64_t sector, uint32_t wanted, uint32_t version)
{
	return tl->node == (int)node && wanted == tl->base[volume][sector] &&
	       version == tl->platter[volume][sector];
}

/* @tl at some seq from @low to @high, sector by sector. */
static void check_store(struct model *model, unsigned int node, const struct model_timeline *tl,
			uint64_t low, uint64_t high, bool durable)
{
	const struct model_copy *copy = model_copy(model, node);
	uint32_t versions[MODEL_MAX_SECTORS];

	for (unsigned int v = 0; v < copy->nr_volumes; v++) {
		model_content(tl, v, copy->sectors, low, versions);
		for (uint64_t s = 0; s < copy->sectors; s++) {
			uint32_t version = on_disk(copy, v, s, durable);

			if (version == versions[s] || written(tl, v, s, low, high, version))
				continue;
			if (durable && is_forgotten(tl, node, v, s, versions[s], version))
				continue;
			fail(model, "the store of %s holds version %u at volume %u sector %llu: generation %llu between %llu and %llu has %u there",
			     model_node_name(node), version, v, ull(s), ull(tl->generation),
			     ull(low), ull(high), versions[s]);
		}
	}
}

/* Was it said to be on the primary's own disk: by its completion, by a flush's, by a frame? */
static bool is_durable(const struct model_timeline *tl, uint64_t seq)
{
	const struct model_op *op = model_op_at(tl, seq);

	if (op->failed)
		return false;
	if (op->done && op->fua)
		return true;
	return !op->unsure &&
	       (seq <= tl->flushed ||
		(op->done && op->done_order <= tl->flush_order[op->volume]));
}

/* The least content that a primary's own disk must hold: what was flushed there. */
static void flushed_content(const struct model_timeline *tl, unsigned int volume,
			    uint64_t sectors, uint64_t *low)
{
	memset(low, 0, sectors * sizeof(*low));
	for (uint64_t seq = tl->fork_seq + 1; seq <= model_last(tl); seq++) {
		const struct model_op *op = model_op_at(tl, seq);

		if (op->volume != volume || !is_durable(tl, seq))
			continue;
		for (uint32_t s = 0; s < op->sectors; s++)
			low[op->sector + s] = seq;
	}
}

/* A node that was primary of @tl, and whose power was cut. */
static void check_crashed(struct model *model, unsigned int node, const struct model_timeline *tl,
			  bool durable)
{
	const struct model_copy *copy = model_copy(model, node);
	uint64_t low[MODEL_MAX_SECTORS];

	for (unsigned int v = 0; v < copy->nr_volumes; v++) {
		flushed_content(tl, v, copy->sectors, low);
		for (uint64_t s = 0; s < copy->sectors; s++) {
			uint32_t version = on_disk(copy, v, s, durable);
			uint32_t least = low[s] ? model_op_at(tl, low[s])->version : tl->base[v][s];

			if (version == least || written(tl, v, s, low[s], UINT64_MAX, version))
				continue;
			if (has_failed(tl, v, s) ||
			    (durable && is_forgotten(tl, node, v, s, least, version)))
				continue;
			fail(model, "the store of %s, primary of generation %llu, holds version %u at volume %u sector %llu: seq %llu (version %u) was flushed there",
			     model_node_name(node), ull(tl->generation), version, v, ull(s),
			     ull(low[s]), least);
		}
	}
}

/* What the primary's own disk may lack must stay in the log. */
static void check_kept(struct model *model, unsigned int node, const struct stand *stand)
{
	if (stand->current && image.oldest > stand->tl->flushed &&
	    !model_copy(model, node)->media_fault)
		fail(model, "the log of %s begins behind %llu; the primary of generation %llu has flushed only %llu",
		     model_node_name(node), ull(image.oldest), ull(stand->tl->generation),
		     ull(stand->tl->flushed));
}

static void check_replica(struct model *model, unsigned int node, const struct stand *stand)
{
	uint64_t low = image.applied, high = image.evidence < image.tip ? image.evidence : image.tip;

	/* What said that it was committed may be what rotted. */
	if (model_copy(model, node)->media_fault && high < stand->tl->commit)
		high = stand->tl->commit;
	if (model_copy(model, node)->media_fault && high < image.commit)
		high = image.commit;
	if (!stand->current)
		low = high = stand->until;
	check_store(model, node, stand->tl, low, high, true);
}

static void check_log(struct model *model, unsigned int node, const struct stand *stand)
{
	struct log_check lc = { .model = model, .node = node, .tl = stand->tl };

	if (stand->current && image.state == REPRISE_STORE_CLEAN)
		image_read_log(&image, model_copy(model, node), check_op, &lc);
}

void check_copy(struct model *model, unsigned int node)
{
	struct model_copy *copy = model_copy(model, node);
	struct stand stand;

	image_read_record(&image, copy);
	if (!image.valid) {
		if (!copy->media_fault)
			fail(model, "%s holds no valid record", model_node_name(node));
		return;
	}
	if (!image.nr_timelines)
		return;
	stand = find_stand(model, node, NULL);
	check_log(model, node, &stand);
	check_acked(model, node);
	if (image.state == REPRISE_STORE_CLEAN) {
		check_replica(model, node, &stand);
		check_kept(model, node, &stand);
	} else if (stand.current || stand.crash)
		check_crashed(model, node, stand.tl, true);
	else
		check_store(model, node, stand.tl, stand.until, stand.until, true);
}

/* --- roles --------------------------------------------------------------- */

static void take_base(struct model *model, unsigned int node, struct model_timeline *tl)
{
	const struct model_copy *copy = model_copy(model, node);

	for (unsigned int v = 0; v < copy->nr_volumes; v++) {
		for (uint64_t s = 0; s < copy->sectors; s++) {
			tl->base[v][s] = on_disk(copy, v, s, false);
			tl->platter[v][s] = on_disk(copy, v, s, true);
		}
	}
}

static void check_content(struct model *model, unsigned int node, struct model_timeline *tl,
			  const struct stand *parent)
{
	uint64_t low = parent->until < tl->fork_seq ? parent->until : tl->fork_seq, high = low;

	/* What rotted may be the log of what had begun to reach the store. */
	if (model_copy(model, node)->media_fault && high < parent->tl->commit)
		high = parent->tl->commit;
	if (parent->crash)
		check_crashed(model, node, parent->tl, false);
	else
		check_store(model, node, parent->tl, low, high, false);
}

void check_started(struct model *model, unsigned int node, struct model_timeline *tl,
		   const struct nl_resource *res)
{
	struct image_timeline t;
	struct stand parent = { 0 };

	image_read_record(&image, model_copy(model, node));
	if (!image.valid || !image.nr_timelines)
		fail(model, "%s serves I/O without a durable record", model_node_name(node));
	t = image_timeline(&image, image.nr_timelines - 1);
	if (memcmp(t.id, tl->id, 16) || image.state != REPRISE_STORE_UNCLEAN)
		fail(model, "%s serves I/O on generation %llu, its durable record says generation %llu, state %u",
		     model_node_name(node), ull(tl->generation), ull(t.generation), image.state);
	if (image.least_number != image.number)
		fail(model, "%s serves I/O before its record is on all volumes", model_node_name(node));
	if (res->seq != t.fork_seq)
		fail(model, "%s starts at %llu a timeline that begins at %llu",
		     model_node_name(node), ull(res->seq), ull(t.fork_seq));
	tl->fork_seq = t.fork_seq;
	tl->kind = t.kind;
	parent = find_stand(model, node, tl);
	tl->parent = parent.tl;
	check_content(model, node, tl, &parent);
	take_base(model, node, tl);
}

/* How far @peer holds @tl by its durable record and log: false: it does not know it. */
static bool durable_position(struct model *model, unsigned int peer,
			     const struct model_timeline *tl, uint64_t *position)
{
	struct log_check lc = { .model = model, .node = peer, .tl = tl };
	struct image_timeline t;

	for (unsigned int i = image.nr_timelines; i--; *position = t.fork_seq) {
		t = image_timeline(&image, i);
		if (memcmp(t.id, tl->id, 16))
			continue;
		if (i + 1 < image.nr_timelines)
			return true;
		image_read_log(&image, model_copy(model, peer), check_op, &lc);
		*position = image.left && image.left_seq < image.tip ? image.left_seq : image.tip;
		return image.state == REPRISE_STORE_CLEAN;
	}
	return false;
}

/* It may have gone on to another timeline since it answered; then the session soon ends. */
void check_attached(struct model *model, unsigned int peer, const struct model_timeline *tl,
		    uint64_t position)
{
	uint64_t durable = 0;

	image_read_record(&image, model_copy(model, peer));
	if (!image.valid || !durable_position(model, peer, tl, &durable))
		fail(model, "%s is mirrored to on generation %llu, which its durable record does not say",
		     model_node_name(peer), ull(tl->generation));
	if (durable < position && !model_copy(model, peer)->media_fault)
		fail(model, "%s is mirrored to from %llu and holds only %llu durably",
		     model_node_name(peer), ull(position), ull(durable));
}

/* --- at rest ------------------------------------------------------------- */

static void ignore_op(void *ctx, uint64_t seq, const struct reprise_op_desc *desc,
		      const uint8_t *payload)
{
	(void)ctx;
	(void)seq;
	(void)desc;
	(void)payload;
}

void check_in_sync(struct model *model, unsigned int a, unsigned int b)
{
	struct image_timeline t;
	uint8_t id[16];
	uint64_t tip;

	/* What each holds at its tip, check_copy() has judged. */
	check_copy(model, a);
	check_copy(model, b);
	image_read_record(&image, model_copy(model, a));
	image_read_log(&image, model_copy(model, a), ignore_op, NULL);
	t = image_timeline(&image, image.nr_timelines - 1);
	memcpy(id, t.id, sizeof(id));
	tip = image.tip;
	image_read_record(&image, model_copy(model, b));
	image_read_log(&image, model_copy(model, b), ignore_op, NULL);
	t = image_timeline(&image, image.nr_timelines - 1);
	if (memcmp(id, t.id, sizeof(id)) || tip != image.tip)
		fail(model, "%s and %s say that they hold the same, and hold %llu and %llu of generation %llu",
		     model_node_name(a), model_node_name(b), ull(tip), ull(image.tip),
		     ull(t.generation));
	model_agreed(model, a, b);
}

void check_equal(struct model *model, unsigned int a, unsigned int b)
{
	const struct model_copy *x = model_copy(model, a), *y = model_copy(model, b);

	for (unsigned int v = 0; v < x->nr_volumes; v++)
		for (uint64_t s = 0; s < x->sectors; s++)
			if (on_disk(x, v, s, false) != on_disk(y, v, s, false))
				fail(model, "%s and %s say that they hold the same, and differ at volume %u sector %llu: versions %u and %u",
				     model_node_name(a), model_node_name(b), v, ull(s),
				     on_disk(x, v, s, false), on_disk(y, v, s, false));
}

void check_complete(struct model *model, unsigned int node, const struct model_timeline *tl)
{
	image_read_record(&image, model_copy(model, node));
	if (image.state == REPRISE_STORE_LOST && tl->io_error)
		return;
	for (unsigned int i = 0; i < NET_MAX_HOSTS; i++)
		if (tl->peers[i].agreed && tl->peers[i].acked != model_last(tl))
			fail(model, "%s and %s said that they hold the same, nothing is wrong any more, and %s was not mirrored to: it has %llu of %llu",
			     model_node_name(node), model_node_name(i), model_node_name(i),
			     ull(tl->peers[i].acked), ull(model_last(tl)));
	check_store(model, node, tl, model_last(tl), model_last(tl), false);
}
