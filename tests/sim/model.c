// SPDX-License-Identifier: GPL-2.0
/*
 * Timelines, operations, promises, and what reads may see.  What disks must
 * hold is judged in check.c.
 */
#include "model.h"

#include <string.h>

#include "check.h"
#include "heap.h"
#include "module.h"

enum {
	SECTOR_WORDS = 512 / 8,
	ACKS_CHECKED_PPM = 10000,
};

struct model {
	struct world *world;
	unsigned int nodes;
	uint32_t versions;
	uint64_t completions;
	struct model_timeline *timelines[MODEL_MAX_TIMELINES];
	unsigned int nr_timelines;
	struct model_copy copies[NET_MAX_HOSTS];
	bool forced[NET_MAX_HOSTS], agreed[NET_MAX_HOSTS];
	uint64_t asked_ns[NET_MAX_HOSTS], forced_ns[NET_MAX_HOSTS];
};

#define fail(model, ...) world_fail((model)->world, __VA_ARGS__)
#define ull(x) ((unsigned long long)(x))

const char *model_node_name(unsigned int node)
{
	static const char *const names[] = { "alpha", "beta", "gamma", "delta" };

	return names[node];
}

struct world *model_world(struct model *model)
{
	return model->world;
}

struct model *model_create(struct world *world, unsigned int nodes)
{
	struct model *model = sim_alloc(sizeof(*model));

	model->world = world;
	model->nodes = nodes;
	return model;
}

static void drop_timelines(struct model *model)
{
	while (model->nr_timelines) {
		struct model_timeline *tl = model->timelines[--model->nr_timelines];

		for (unsigned int v = 0; v < MODEL_MAX_VOLUMES; v++) {
			sim_free(tl->base[v]);
			sim_free(tl->platter[v]);
			sim_free(tl->completed[v]);
		}
		sim_free(tl->ops);
		sim_free(tl);
	}
}

void model_destroy(struct model *model)
{
	drop_timelines(model);
	sim_free(model);
}

struct model_copy *model_copy(struct model *model, unsigned int node)
{
	return &model->copies[node];
}

static struct model_timeline *add_timeline(struct model *model)
{
	struct model_timeline *tl = sim_alloc(sizeof(*tl));

	if (model->nr_timelines == MODEL_MAX_TIMELINES)
		fail(model, "more promotions in a round than the model has room for");
	model->timelines[model->nr_timelines++] = tl;
	tl->node = -1;
	tl->waived = UINT64_MAX;
	for (unsigned int v = 0; v < MODEL_MAX_VOLUMES; v++) {
		tl->base[v] = sim_alloc(MODEL_MAX_SECTORS * sizeof(*tl->base[v]));
		tl->platter[v] = sim_alloc(MODEL_MAX_SECTORS * sizeof(*tl->platter[v]));
		tl->completed[v] = sim_alloc(MODEL_MAX_SECTORS * sizeof(*tl->completed[v]));
	}
	return tl;
}

/* Timeline 0: all zeros. */
void model_begin_round(struct model *model)
{
	drop_timelines(model);
	add_timeline(model);
	for (unsigned int i = 0; i < NET_MAX_HOSTS; i++)
		model->copies[i].media_fault = model->forced[i] = model->agreed[i] = false;
}

void model_promoting(struct model *model, unsigned int node, bool first, bool force)
{
	if (first)
		model->asked_ns[node] = world_now(model->world);
	if (force && (first || !model->forced[node]))
		model->forced_ns[node] = world_now(model->world);
	model->forced[node] = force;
}

void model_agreed(struct model *model, unsigned int a, unsigned int b)
{
	model->agreed[a] = model->agreed[b] = true;
}

/* --- content ------------------------------------------------------------- */

static uint64_t first_word(uint32_t version, unsigned int volume, uint64_t sector)
{
	return version | (uint64_t)volume << 32 | sector << 40;
}

void model_fill(uint32_t version, unsigned int volume, uint64_t sector, void *buf)
{
	uint64_t *words = buf, first = first_word(version, volume, sector);

	for (unsigned int i = 0; i < SECTOR_WORDS; i++)
		words[i] = version ? first ^ i * 0x9e3779b97f4a7c15ull : 0;
}

uint32_t model_version(unsigned int volume, uint64_t sector, const void *buf)
{
	const uint64_t *words = buf;
	uint32_t version = words[0];
	uint64_t first = version ? first_word(version, volume, sector) : 0, other = 0;

	for (unsigned int i = 0; i < SECTOR_WORDS; i++)
		other |= words[i] ^ (version ? first ^ i * 0x9e3779b97f4a7c15ull : 0);
	return other ? MODEL_UNKNOWN : version;
}

uint32_t model_new_version(struct model *model)
{
	return ++model->versions;
}

struct model_timeline *model_find(struct model *model, const uint8_t id[16])
{
	for (unsigned int i = 0; i < model->nr_timelines; i++)
		if (!memcmp(model->timelines[i]->id, id, 16))
			return model->timelines[i];
	return NULL;
}

struct model_timeline *model_running(struct model *model, unsigned int node)
{
	for (unsigned int i = 0; i < model->nr_timelines; i++)
		if (model->timelines[i]->running && model->timelines[i]->node == (int)node)
			return model->timelines[i];
	return NULL;
}

uint64_t model_last(const struct model_timeline *tl)
{
	return tl->fork_seq + tl->nr_ops;
}

const struct model_op *model_op_at(const struct model_timeline *tl, uint64_t seq)
{
	return seq > tl->fork_seq && seq <= model_last(tl) ? &tl->ops[seq - tl->fork_seq - 1] : NULL;
}

void model_content(const struct model_timeline *tl, unsigned int volume, uint64_t sectors,
		   uint64_t seq, uint32_t *versions)
{
	memcpy(versions, tl->base[volume], sectors * sizeof(*versions));
	for (uint64_t i = 0; i < tl->nr_ops && tl->fork_seq + i < seq; i++) {
		const struct model_op *op = &tl->ops[i];

		for (uint32_t s = 0; op->volume == volume && s < op->sectors; s++)
			versions[op->sector + s] = op->version;
	}
}

/* --- promotion ----------------------------------------------------------- */

/* How much of @tl the history that ends in @end holds: a seq, or 0. */
static bool on_history(const struct model_timeline *end, const struct model_timeline *tl,
		       uint64_t *until)
{
	*until = UINT64_MAX;
	for (; end; end = end->parent) {
		if (end == tl)
			return true;
		*until = end->kind == REPRISE_FORK_CRASH ? UINT64_MAX : end->fork_seq;
	}
	return false;
}

bool model_is_superseded(struct model *model, const struct model_timeline *tl)
{
	for (unsigned int i = 0; i < model->nr_timelines; i++)
		if (model->timelines[i] != tl && model->timelines[i]->generation >= tl->generation)
			return true;
	return false;
}

/*
 * The administrator said, out of contact, that @new's node cannot become the
 * primary, while he was promoting it.
 */
static bool was_forced_meanwhile(const struct model *model, const struct model_timeline *new,
				 const struct model_timeline *tl)
{
	return !new->forced && tl->forced &&
	       model->forced_ns[tl->node] > model->asked_ns[new->node];
}

/* Invariant 1. */
static void check_promises(struct model *model, const struct model_timeline *new)
{
	for (unsigned int i = 0; i < model->nr_timelines; i++) {
		const struct model_timeline *tl = model->timelines[i];
		uint64_t until, promise = new->forced ? tl->peers[new->node].promise : tl->promise;

		if (tl == new || tl->async_ever || model->copies[new->node].media_fault ||
		    was_forced_meanwhile(model, new, tl))
			continue;
		if (promise > tl->waived)
			promise = tl->waived;
		if (!on_history(new, tl, &until))
			until = tl->fork_seq;
		if (promise > until)
			fail(model, "%s is promoted%s, and lacks what was promised: seq %llu of generation %llu, it holds %llu",
			     model_node_name(new->node), new->forced ? " with force" : "",
			     ull(promise), ull(tl->generation), ull(until));
	}
}

/* The administrator has taken the responsibility for what the new history lacks, or will lack. */
static void waive(struct model *model, const struct model_timeline *new)
{
	for (unsigned int i = 0; i < model->nr_timelines; i++) {
		struct model_timeline *tl = model->timelines[i];
		uint64_t until;

		if (!on_history(new, tl, &until))
			until = tl->fork_seq;
		if (until < tl->waived)
			tl->waived = until;
	}
}

/* Invariant 4. */
static void check_only_writer(struct model *model, const struct model_timeline *new)
{
	for (unsigned int i = 0; i < model->nr_timelines; i++) {
		const struct model_timeline *tl = model->timelines[i];

		if (tl != new && tl->running && !was_forced_meanwhile(model, new, tl) &&
		    !new->forced)
			fail(model, "%s becomes primary, unforced, while %s is",
			     model_node_name(new->node), model_node_name(tl->node));
	}
}

void model_started(struct model *model, unsigned int node, const struct nl_resource *res)
{
	struct model_timeline *tl = add_timeline(model);

	memcpy(tl->id, res->timeline_id, sizeof(tl->id));
	tl->generation = res->generation;
	tl->node = node;
	tl->forced = model->forced[node];
	tl->durability = res->durability;
	tl->on_peer_loss = res->on_peer_loss;
	tl->async_ever = res->durability == REPRISE_DURABILITY_ASYNC;
	check_started(model, node, tl, res);
	world_trace(model->world, "model: %s is primary of generation %llu from seq %llu%s",
		    model_node_name(node), ull(tl->generation), ull(tl->fork_seq),
		    tl->forced ? ", forced" : "");
	check_only_writer(model, tl);
	check_promises(model, tl);
	if (tl->forced)
		waive(model, tl);
	tl->promise = tl->commit = tl->may_commit = tl->flushed = tl->fork_seq;
	for (unsigned int i = 0; i < model->nodes && model->agreed[node]; i++)
		tl->peers[i].agreed = model->agreed[i] && i != node;
	tl->running = true;
}

void model_stopped(struct model *model, unsigned int node, uint64_t seq, bool force)
{
	struct model_timeline *tl = model_running(model, node);

	world_trace(model->world, "model: %s is no longer primary, seq %llu%s",
		    model_node_name(node), ull(seq), force ? ", forced" : "");
	tl->running = false;
	if (seq != model_last(tl))
		fail(model, "%s says that its stream ended at %llu, it was %llu",
		     model_node_name(node), ull(seq), ull(model_last(tl)));
}

void model_crashed(struct model *model, unsigned int node)
{
	struct model_timeline *tl = model_running(model, node);

	if (tl)
		tl->running = false;
}

void model_set(struct model *model, unsigned int node, enum reprise_durability durability,
	       enum reprise_on_peer_loss on_peer_loss)
{
	struct model_timeline *tl = model_running(model, node);

	tl->durability = durability;
	tl->on_peer_loss = on_peer_loss;
	tl->async_ever |= durability == REPRISE_DURABILITY_ASYNC;
	tl->excused = model_last(tl);
}

/* --- peers --------------------------------------------------------------- */

static bool is_required(const struct model_timeline *tl, unsigned int i)
{
	return tl->peers[i].live || tl->peers[i].held;
}

/* What a frame may say is committed. */
static void move_commit(struct model *model, struct model_timeline *tl)
{
	uint64_t least = model_last(tl);

	for (unsigned int i = 0; i < model->nodes; i++)
		if (is_required(tl, i) && tl->peers[i].acked < least)
			least = tl->peers[i].acked;
	if (least > tl->may_commit)
		tl->may_commit = least;
}

void model_attached(struct model *model, unsigned int node, unsigned int peer_id,
		    uint64_t position)
{
	struct model_timeline *tl = model_running(model, node);
	unsigned int peer = peer_id - 1;

	world_trace(model->world, "model: %s mirrors to %s from %llu", model_node_name(node),
		    model_node_name(peer), ull(position));
	/* Until now nobody else was required: what is there is final. */
	move_commit(model, tl);
	check_attached(model, peer, tl, position);
	tl->peers[peer].live = true;
	tl->peers[peer].held = false;
	tl->peers[peer].acked = position;
	tl->next_cut = position + 1;
}

void model_lost(struct model *model, unsigned int node, unsigned int peer_id)
{
	struct model_timeline *tl = model_running(model, node);
	unsigned int peer = peer_id - 1;

	tl->peers[peer].live = false;
	tl->peers[peer].held = tl->on_peer_loss != REPRISE_ON_PEER_LOSS_ALONE;
}

void model_alone(struct model *model, unsigned int node)
{
	struct model_timeline *tl = model_running(model, node);

	for (unsigned int i = 0; i < model->nodes; i++)
		tl->peers[i].held = false;
}

void model_acked(struct model *model, unsigned int node, unsigned int peer_id, uint64_t durable,
		 uint64_t applied)
{
	struct model_timeline *tl = model_running(model, node);
	unsigned int peer = peer_id - 1;

	if (durable > model_last(tl) || applied > durable)
		fail(model, "%s acknowledges %llu as durable, %llu as applied; the stream ends at %llu",
		     model_node_name(peer), ull(durable), ull(applied), ull(model_last(tl)));
	if (durable != tl->peers[peer].acked)
		world_trace(model->world, "%s: %s acknowledges %llu, applied %llu",
			    model_node_name(node), model_node_name(peer), ull(durable),
			    ull(applied));
	tl->peers[peer].acked = durable;
	/* What is acknowledged must be on its disks, now. */
	if (world_chance(model->world, ACKS_CHECKED_PPM))
		check_copy(model, peer);
}

void model_cut(struct model *model, unsigned int node, uint64_t first_seq, unsigned int nr_ops,
	       uint64_t commit, uint64_t flushed)
{
	struct model_timeline *tl = model_running(model, node);

	world_trace(model->world, "%s: frame %llu+%u commit %llu flushed %llu",
		    model_node_name(node), ull(first_seq), nr_ops, ull(commit), ull(flushed));
	if (first_seq != tl->next_cut)
		fail(model, "a frame of %s begins at %llu, the one before ended at %llu",
		     model_node_name(node), ull(first_seq), ull(tl->next_cut - 1));
	tl->next_cut += nr_ops;
	move_commit(model, tl);
	if (commit > tl->may_commit)
		fail(model, "a frame of %s says that %llu is committed, but only %llu is durable where it must be",
		     model_node_name(node), ull(commit), ull(tl->may_commit));
	if (commit > tl->commit)
		tl->commit = commit;
	if (flushed > tl->flushed)
		tl->flushed = flushed;
}

/* --- writes -------------------------------------------------------------- */

static void grow(struct model_timeline *tl)
{
	uint64_t room = tl->room ? 2 * tl->room : 256;
	struct model_op *ops = sim_alloc(room * sizeof(*ops));

	if (tl->nr_ops)
		memcpy(ops, tl->ops, tl->nr_ops * sizeof(*ops));
	sim_free(tl->ops);
	tl->ops = ops;
	tl->room = room;
}

void model_stamped(struct model *model, unsigned int node, struct bio *bio, uint64_t seq)
{
	struct model_timeline *tl = model_running(model, node);

	if (tl->nr_ops == tl->room)
		grow(tl);
	tl->ops[tl->nr_ops++] = (struct model_op){
		.version = bio->op == BIO_WRITE ? bio->version : 0, .volume = bio->volume,
		.zeroes = bio->op == BIO_ZEROES, .fua = bio->fua, .sector = bio->sector,
		.sectors = bio->sectors,
	};
	bio->seq = seq;
	world_trace(model->world, "%s: write %llu, volume %u, %llu+%u%s%s", model_node_name(node),
		    ull(seq), bio->volume, ull(bio->sector), bio->sectors,
		    bio->op == BIO_ZEROES ? " zeroes" : "", bio->fua ? " fua" : "");
	if (seq != model_last(tl))
		fail(model, "%s stamps %llu, the next one is %llu", model_node_name(node), ull(seq),
		     ull(model_last(tl)));
}

/* What no flush has covered may be gone, whatever a later one says. */
static void flush_failed(struct model *model, struct model_timeline *tl, unsigned int volume)
{
	uint64_t now = ++model->completions;

	for (uint64_t i = 0; i < tl->nr_ops; i++) {
		struct model_op *op = &tl->ops[i];

		if (op->volume == volume && !op->fua && !op->unsure &&
		    !(op->done && op->done_order <= tl->disk_order[volume]))
			op->unsure = now;
	}
	tl->io_error = true;
}

uint64_t model_disk_flush(struct model *model)
{
	return model->completions;
}

void model_disk_flushed(struct model *model, unsigned int node, unsigned int volume,
			uint64_t order, bool failed)
{
	struct model_timeline *tl = model_running(model, node);

	if (failed) {
		world_trace(model->world, "%s: the disk of volume %u has failed a flush",
			    model_node_name(node), volume);
		flush_failed(model, tl, volume);
	} else if (order > tl->disk_order[volume]) {
		tl->disk_order[volume] = order;
	}
}

void model_local_error(struct model *model, unsigned int node, uint64_t seq)
{
	struct model_timeline *tl = model_running(model, node);

	struct model_op *op = &tl->ops[seq - tl->fork_seq - 1];

	op->failed = true;
	tl->io_error = true;
	/* On a disk without FUA that may have been the flush after it. */
	if (op->fua)
		flush_failed(model, tl, op->volume);
}

/* Something up to @seq completed as durable: so it must be, and stay. */
static void promise(struct model *model, struct model_timeline *tl, uint64_t seq,
		    const char *what)
{
	if (tl->durability == REPRISE_DURABILITY_ASYNC || seq <= tl->excused)
		return;
	if (seq > tl->promise)
		tl->promise = seq;
	for (unsigned int i = 0; i < model->nodes; i++) {
		if (!is_required(tl, i))
			continue;
		if (tl->peers[i].acked < seq)
			fail(model, "%s completes a %s of %llu, but %s, which is required, has only %llu",
			     model_node_name(tl->node), what, ull(seq), model_node_name(i),
			     ull(tl->peers[i].acked));
		if (seq > tl->peers[i].promise)
			tl->peers[i].promise = seq;
	}
}

static void note_completed(struct model_timeline *tl, const struct model_op *op, uint64_t seq)
{
	for (uint32_t s = 0; s < op->sectors; s++)
		if (tl->completed[op->volume][op->sector + s] < seq)
			tl->completed[op->volume][op->sector + s] = seq;
}

/* No flush may say yes while another one may have lost what it is for. */
static void check_told(struct model *model, const struct model_timeline *tl,
		       const struct bio *bio)
{
	for (uint64_t i = 0; i < tl->nr_ops; i++) {
		const struct model_op *op = &tl->ops[i];

		if (op->volume == bio->volume && op->done && op->done_order <= bio->order &&
		    op->unsure > bio->order)
			fail(model, "a flush of volume %u of %s is done, but another one has failed meanwhile, with %llu",
			     bio->volume, model_node_name(tl->node), ull(tl->fork_seq + 1 + i));
	}
}

void model_write_done(struct model *model, struct model_timeline *tl, const struct bio *bio,
		      int error)
{
	struct model_op *op;

	if (!bio->seq)
		return;
	op = &tl->ops[bio->seq - tl->fork_seq - 1];
	if (op->done)
		fail(model, "write %llu completes twice", ull(bio->seq));
	op->done = true;
	op->failed |= error != 0;
	op->done_order = ++model->completions;
	tl->io_error |= error;
	world_trace(model->world, "%s: write %llu done%s", model_node_name(tl->node), ull(bio->seq),
		    error ? " with an error" : "");
	if (error)
		return;
	if (bio->fua)
		check_told(model, tl, bio);
	note_completed(tl, op, bio->seq);
	if (tl->durability == REPRISE_DURABILITY_WRITE || bio->fua)
		promise(model, tl, bio->seq, "write");
}

void model_flush_begin(struct model *model, unsigned int node, struct model_flush *flush)
{
	flush->timeline = model_running(model, node);
	flush->seq = flush->timeline ? model_last(flush->timeline) : 0;
	flush->order = model->completions;
}

void model_flush_done(struct model *model, const struct model_flush *flush, const struct bio *bio,
		      int error)
{
	struct model_timeline *tl = flush->timeline;

	world_trace(model->world, "%s: flush of volume %u up to %llu done%s",
		    model_node_name(tl->node), bio->volume, ull(flush->seq),
		    error ? " with an error" : "");
	if (error)
		return;
	check_told(model, tl, bio);
	if (flush->order > tl->flush_order[bio->volume])
		tl->flush_order[bio->volume] = flush->order;
	promise(model, tl, flush->seq, "flush");
}

/* --- reads --------------------------------------------------------------- */

void model_read_begin(struct model *model, unsigned int node, const struct bio *bio,
		      struct model_read *read)
{
	struct model_timeline *tl = model_running(model, node);

	read->timeline = tl;
	for (uint32_t s = 0; tl && s < bio->sectors; s++)
		read->low[s] = tl->completed[bio->volume][bio->sector + s];
}

/* Is @version what @sector held at some time since @low, at the latest now? */
static bool readable(const struct model_timeline *tl, unsigned int volume, uint64_t sector,
		     uint64_t low, uint32_t version)
{
	const struct model_op *op;

	if (low ? model_op_at(tl, low)->version == version : tl->base[volume][sector] == version)
		return true;
	for (uint64_t seq = model_last(tl); seq > low && seq > tl->fork_seq; seq--) {
		op = model_op_at(tl, seq);
		if (op->version == version && op->volume == volume && op->sector <= sector &&
		    sector < op->sector + op->sectors)
			return true;
	}
	return false;
}

void model_read_done(struct model *model, const struct model_read *read, const struct bio *bio,
		     int error)
{
	for (uint32_t s = 0; !error && s < bio->sectors; s++) {
		uint64_t sector = bio->sector + s;
		uint32_t version = model_version(bio->volume, sector, bio->data + s * 512);

		if (!readable(read->timeline, bio->volume, sector, read->low[s], version))
			fail(model, "%s reads version %u at volume %u sector %llu, where seq %llu had completed",
			     model_node_name(read->timeline->node), version, bio->volume,
			     ull(sector), ull(read->low[s]));
	}
}
