// SPDX-License-Identifier: GPL-2.0
/*
 * A primary as small as it can be, and the node under test.  The one idea:
 * an operation's payload follows from its seq, so that the content at any
 * seq can be worked out again from the list of operations.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crc32c.h"
#include "agent/log.h"
#include "env_model.h"

uint64_t model_seed;

void model_failed(const char *file, int line, const char *what)
{
	printf("# seed %llu: %s:%d: %s\n", (unsigned long long)model_seed, file, line, what);
	fflush(stdout);
	abort();
}

static void write_record(struct model *model, unsigned int volume, const struct meta *meta)
{
	struct meta_volume on_disk = {
		.number = volume,
		.size_sectors = MODEL_SECTORS,
		.device_sectors = MODEL_DEVICE_BYTES / 512,
	};
	uint8_t *content = env_mem_content(model->store[volume]);

	meta_encode(meta, &on_disk, content + meta_copy_offset(MODEL_DEVICE_BYTES, meta->number));
	env_mem_make_durable(model->store[volume]);
}

static void format(struct model *model)
{
	struct meta meta = {
		.resource_name = "pg",
		.node_name = "beta",
		.node = 2,
		.nr_volumes = MODEL_VOLUMES,
		.state = REPRISE_STORE_CLEAN,
		.durability = env_mem_one_in(model->mem, 3) ? REPRISE_DURABILITY_MEMORY :
							       REPRISE_DURABILITY_WRITE,
		.on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE,
		.logical_block_bytes = model->block_bytes,
		.nr_timelines = 1,
	};
	unsigned int i;

	memcpy(meta.resource_id, model->resource_id, REPRISE_ID_BYTES);
	memset(meta.log_id, 0x77, REPRISE_ID_BYTES);
	for (i = 0; i < MODEL_VOLUMES; i++) {
		meta.number = 0;
		write_record(model, i, &meta);
		meta.number = 1;
		write_record(model, i, &meta);
	}
}

void model_new_timeline(struct model *model, uint64_t fork_seq)
{
	struct meta_timeline old = model->timeline;

	model->timeline = (struct meta_timeline){
		.generation = old.generation + 1,
		.fork_seq = fork_seq,
		.kind = REPRISE_FORK_CLEAN,
		.opener = 1,
	};
	memset(model->timeline.id, 0x10 + (int)model->timeline.generation, REPRISE_ID_BYTES);
	memcpy(model->timeline.parent, old.id, REPRISE_ID_BYTES);
	model->made = model->commit = model->flushed = fork_seq;
	model->acked_durable = fork_seq;
}

struct model *model_create(uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));
	char name[16];
	unsigned int i;

	CHECK(model);
	model_seed = seed;
	model->mem = env_mem_create(seed);
	model->device_bytes = MODEL_DEVICE_BYTES;
	model->block_bytes = env_mem_one_in(model->mem, 4) ? 4096 : 512;
	memset(model->resource_id, 0x42, REPRISE_ID_BYTES);
	for (i = 0; i < MODEL_VOLUMES; i++) {
		snprintf(name, sizeof(name), "store%u", i);
		model->store[i] = env_mem_disk(model->mem, name, MODEL_DEVICE_BYTES,
					       model->block_bytes);
	}
	model->log = env_mem_disk(model->mem, "log", MODEL_SEGMENTS * MODEL_SEGMENT_BYTES, 4096);
	format(model);
	model_up(model);
	model_new_timeline(model, 0);
	replica_settle(model->replica, model_done, model);
	CHECK(!model_wait(model));
	replica_enter(model->replica, &model->timeline, REPRISE_STORE_CLEAN, model_done, model);
	CHECK(!model_wait(model));
	return model;
}

void model_destroy(struct model *model)
{
	if (model->replica)
		model_close(model);
	env_mem_destroy(model->mem);
	free(model);
}

void model_done(void *ctx, int error)
{
	struct model *model = ctx;

	model->called_back = true;
	model->error = error;
}

int model_wait(struct model *model)
{
	while (!model->called_back)
		CHECK(env_mem_step(model->mem));
	model->called_back = false;
	model_read_acks(model);
	return model->error;
}

static void session_ended(void *ctx, const char *reason, bool fatal)
{
	struct model *model = ctx;

	CHECK(!model->ended);
	model->ended = true;
	model->fatal = fatal;
	snprintf(model->reason, sizeof(model->reason), "%s", reason);
}

void model_volumes(struct model *model, struct replica_volume volumes[MODEL_VOLUMES])
{
	unsigned int i;

	for (i = 0; i < MODEL_VOLUMES; i++)
		volumes[i] = (struct replica_volume){
			i, env_mem_file(model->store[i]), model->device_bytes,
			MODEL_SECTORS - (MODEL_DEVICE_BYTES - model->device_bytes) / 512,
		};
}

int model_open(struct model *model)
{
	struct replica_volume volumes[MODEL_VOLUMES];
	struct replica_segment segments[MODEL_SEGMENTS];
	struct replica_config config = {
		.env = env_mem_env(model->mem),
		.name = "pg",
		.node = 2,
		.logical_block_bytes = model->block_bytes,
		.ring_bytes = MODEL_RING_BYTES,
		.unapplied_bytes = model->unapplied_bytes ? model->unapplied_bytes :
							    MODEL_RING_BYTES,
		/* Hardly more than the largest frame, so that reading goes on in pieces. */
		.reread_bytes = 56 << 10,
		.apply_delay_ms = model->apply_delay_ms ? model->apply_delay_ms :
							  1 + env_mem_below(model->mem, 20),
		.segment_bytes = MODEL_SEGMENT_BYTES,
		.volumes = volumes,
		.nr_volumes = MODEL_VOLUMES,
		.segments = segments,
		.nr_segments = MODEL_SEGMENTS,
		.ctx = model,
		.session_ended = session_ended,
	};
	unsigned int i;

	memcpy(config.resource_id, model->resource_id, REPRISE_ID_BYTES);
	model_volumes(model, volumes);
	for (i = 0; i < MODEL_SEGMENTS; i++)
		segments[i] = (struct replica_segment){
			env_mem_file(model->log), i * MODEL_SEGMENT_BYTES,
		};
	model->conn = NULL;
	model->replica = replica_create(&config);
	CHECK(model->replica);
	replica_open(model->replica, model_done, model);
	return model_wait(model);
}

/* The primary may still ask for what its own disks have not flushed. */
static bool log_holds_unflushed(struct model *model)
{
	static bool held[MODEL_MAX_OPS + 1];
	const uint8_t *log = env_mem_content(model->log);
	char why[FRAME_WHY_BYTES];
	struct frame frame;
	uint64_t seq, at;

	memset(held, 0, sizeof(held));
	for (at = 0; at < MODEL_SEGMENTS * MODEL_SEGMENT_BYTES; at += 512)
		if (!log_frame_at(log + at, MODEL_SEGMENT_BYTES - at % MODEL_SEGMENT_BYTES, NULL,
				  0, &frame, why) &&
		    !memcmp(frame.timeline_id, model->timeline.id, REPRISE_ID_BYTES))
			for (seq = frame.first_seq; seq <= frame_last_seq(&frame); seq++)
				held[seq] = true;
	for (seq = model->flushed + 1; seq <= replica_state(model->replica)->durable; seq++)
		if (!held[seq])
			return false;
	return true;
}

void model_up(struct model *model)
{
	const struct replica_state *state;

	CHECK(!model_open(model));
	state = replica_state(model->replica);
	if (state->damage != REPLICA_OK)
		printf("# %s\n", state->damage_text);
	CHECK(state->damage == REPLICA_OK);
	CHECK(state->durable >= model->acked_durable);
	CHECK(state->durable <= model->made);
	CHECK(state->applied <= state->durable);
	CHECK(state->applied <= model->commit);
	CHECK(state->commit <= model->commit);
	/* Nothing beyond is in the store: see (d) in replica_recover.c. */
	CHECK(model_store_is(model, state->applied));
	CHECK(log_holds_unflushed(model));
	/* This is what a handshake tells the primary: it may rely on it from now on. */
	model->acked_durable = state->durable;
}

void model_close(struct model *model)
{
	replica_close(model->replica, model_done, model);
	model_wait(model);
	replica_destroy(model->replica);
	model->replica = NULL;
	model->conn = NULL;
}

void model_crash(struct model *model, bool power)
{
	model_read_acks(model);
	if (power)
		env_mem_power_cut(model->mem);
	else
		env_mem_kill(model->mem);
	/* Memory of a dead process: nothing of it may be used again. */
	replica_abandon(model->replica);
	model->replica = NULL;
	model->conn = NULL;
	model->called_back = false;
}

void model_run(struct model *model, unsigned int steps)
{
	while (steps-- && env_mem_step(model->mem))
		model_read_acks(model);
}

void model_settle_time(struct model *model, uint64_t ms)
{
	struct env *env = env_mem_env(model->mem);
	uint64_t until = env_monotonic_ns(env) + ms * 1000000;

	while (env_mem_step_until(model->mem, until))
		model_read_acks(model);
}

int model_connect(struct model *model)
{
	const struct replica_state *state = replica_state(model->replica);
	int error;

	model->conn = env_mem_conn(model->mem);
	model->ended = false;
	model->session = env_mem_random(model->mem);
	model->sent = state->durable;
	model->acked_received = state->durable;
	model->acked_applied = state->applied;
	error = replica_session_start(model->replica, model->conn, model->session,
				      model->timeline.id);
	if (error)
		model->conn = NULL;
	return error;
}

static void check_ack(struct model *model, const struct reprise_ack *ack)
{
	uint64_t received = le64toh(ack->received), durable = le64toh(ack->durable);
	uint64_t applied = le64toh(ack->applied);

	CHECK(le32toh(ack->magic) == REPRISE_ACK_MAGIC);
	CHECK(le32toh(ack->crc) == crc32c(ack, 56) && !ack->reserved && !ack->flags);
	CHECK(le64toh(ack->session) == model->session);
	CHECK(!memcmp(ack->timeline_id, model->timeline.id, REPRISE_ID_BYTES));
	CHECK(applied <= durable && durable <= received && received <= model->sent);
	CHECK(applied <= model->commit);
	CHECK(received >= model->acked_received && applied >= model->acked_applied);
	CHECK(durable >= model->acked_durable);
	model->acked_received = received;
	model->acked_durable = durable;
	model->acked_applied = applied;
}

void model_read_acks(struct model *model)
{
	struct reprise_ack ack;
	size_t bytes;

	while (model->conn && (bytes = env_mem_conn_get(model->conn, &ack, sizeof(ack)))) {
		CHECK(bytes == sizeof(ack));
		check_ack(model, &ack);
	}
}

static void random_op(struct model *model, struct model_op *op)
{
	struct env_mem *mem = model->mem;
	uint32_t block = model->block_bytes / 512, blocks = MODEL_SECTORS / block;
	uint64_t first = env_mem_below(mem, blocks), nr;

	*op = (struct model_op){ .volume = env_mem_below(mem, MODEL_VOLUMES) };
	op->op = REPRISE_OP_WRITE;
	nr = 1 + env_mem_below(mem, block == 1 ? 16 : 2);
	if (env_mem_one_in(mem, 8)) {
		op->op = REPRISE_OP_WRITE_ZEROES;
		nr = 1 + env_mem_below(mem, blocks);
		op->flags = env_mem_one_in(mem, 2) ? REPRISE_OP_UNMAP : 0;
	} else if (env_mem_one_in(mem, 40)) {
		*op = (struct model_op){ .op = REPRISE_OP_CHECKPOINT, .sectors = 1 };
		return;
	} else if (env_mem_one_in(mem, 40)) {
		*op = (struct model_op){
			.op = 77, .sectors = env_mem_below(mem, 3), .flags = REPRISE_OP_SKIPPABLE,
		};
		return;
	}
	if (nr > blocks - first)
		nr = blocks - first;
	op->sector = first * block;
	op->sectors = nr * block;
}

static void fill_payload(uint64_t seq, uint8_t *buf, size_t bytes)
{
	uint64_t word = seq * 0x9e3779b97f4a7c15ULL;
	size_t i;

	for (i = 0; i < bytes; i += 8) {
		word = word * 6364136223846793005ULL + 1442695040888963407ULL;
		memcpy(buf + i, &word, 8);
	}
}

static void build_op(struct model *model, uint64_t seq, struct reprise_op_desc *desc,
		     uint8_t *frame, size_t *bytes)
{
	const struct model_op *op = &model->ops[seq];
	size_t payload = op->op == REPRISE_OP_WRITE_ZEROES ? 0 : op->sectors * 512;

	desc->sector = htole64(op->sector);
	desc->sectors = htole32(op->sectors);
	desc->volume = htole16(op->volume);
	desc->op = op->op;
	desc->flags = op->flags;
	fill_payload(seq, frame + *bytes, payload);
	desc->crc = payload ? htole32(crc32c(frame + *bytes, payload)) : 0;
	*bytes += payload;
}

void model_seal(uint8_t *frame)
{
	struct reprise_frame_head *head = (struct reprise_frame_head *)frame;

	head->head_crc = htole32(crc32c_with_hole(head, sizeof(*head),
						  offsetof(struct reprise_frame_head, head_crc)));
}

static void move_watermarks(struct model *model, uint64_t last)
{
	struct env_mem *mem = model->mem;
	uint64_t commit = model->acked_durable < last ? model->acked_durable : last;

	if (!model->lazy_commit && commit > model->commit && !env_mem_one_in(mem, 3))
		model->commit += 1 + env_mem_below(mem, commit - model->commit);
	if (!model->lazy_flush && last > model->flushed && !env_mem_one_in(mem, 3))
		model->flushed += 1 + env_mem_below(mem, last - model->flushed);
}

size_t model_build(struct model *model, uint8_t *buf, unsigned int nr_ops)
{
	struct reprise_frame_head *head = (struct reprise_frame_head *)buf;
	size_t bytes = sizeof(*head);
	unsigned int i;

	memset(buf, 0, bytes);
	for (i = 0; i < nr_ops; i++) {
		uint64_t seq = model->sent + 1 + i;

		if (seq > model->made) {
			random_op(model, &model->ops[seq]);
			model->made = seq;
		}
		build_op(model, seq, &head->ops[i], buf, &bytes);
	}
	move_watermarks(model, model->sent + nr_ops);
	head->magic = htole32(REPRISE_FRAME_MAGIC);
	head->version = htole16(REPRISE_FRAME_VERSION);
	head->head_bytes = htole16(sizeof(*head));
	head->frame_bytes = htole32(bytes);
	head->nr_ops = htole16(nr_ops);
	head->origin = htole16(1);
	memcpy(head->resource_id, model->resource_id, REPRISE_ID_BYTES);
	memcpy(head->timeline_id, model->timeline.id, REPRISE_ID_BYTES);
	head->generation = htole64(model->timeline.generation);
	head->first_seq = htole64(model->sent + 1);
	head->commit = htole64(model->commit);
	/* A frame sent again may be older than what is flushed now. */
	head->flushed = htole64(model->flushed < model->sent + nr_ops ? model->flushed :
								     model->sent + nr_ops);
	if (model->commit > model->sent + nr_ops)
		head->commit = htole64(model->sent + nr_ops);
	head->realtime_ns = htole64(env_realtime_ns(env_mem_env(model->mem)));
	model_seal(buf);
	return bytes;
}

bool model_send(struct model *model)
{
	static uint8_t buf[64 << 10];
	unsigned int nr_ops = env_mem_one_in(model->mem, 6) ? 0 :
			      1 + env_mem_below(model->mem, 6);
	size_t bytes;

	if (model->sent + nr_ops > MODEL_MAX_OPS || !model->conn || model->ended)
		return false;
	bytes = model_build(model, buf, nr_ops);
	env_mem_conn_put(model->conn, buf, bytes);
	model->sent += nr_ops;
	return true;
}

void model_send_idle(struct model *model)
{
	static uint8_t buf[REPRISE_FRAME_HEAD_BYTES];

	env_mem_conn_put(model->conn, buf, model_build(model, buf, 0));
}

void model_slow_apply(struct model *model)
{
	model_close(model);
	model->apply_delay_ms = 100000000;
	model_up(model);
}

static void play(const struct model_op *op, uint64_t seq, uint8_t *image)
{
	if (op->op == REPRISE_OP_WRITE)
		fill_payload(seq, image + op->sector * 512, op->sectors * 512);
	else if (op->op == REPRISE_OP_WRITE_ZEROES)
		memset(image + op->sector * 512, 0, op->sectors * 512);
}

void model_write_through(struct model *model)
{
	uint64_t seq = model->made + 1;
	struct model_op *op = &model->ops[seq];

	if (seq > MODEL_MAX_OPS)
		return;
	random_op(model, op);
	play(op, seq, env_mem_content(model->store[op->volume]));
	env_mem_make_durable(model->store[op->volume]);
	model->made = seq;
}

bool model_store_is(struct model *model, uint64_t seq)
{
	static uint8_t images[MODEL_VOLUMES][MODEL_SECTORS * 512];
	bool same = true;
	unsigned int v;
	uint64_t i;

	memset(images, 0, sizeof(images));
	for (i = 1; i <= seq; i++)
		play(&model->ops[i], i, images[model->ops[i].volume]);
	for (v = 0; v < MODEL_VOLUMES; v++)
		same &= !memcmp(images[v], env_mem_content(model->store[v]), MODEL_SECTORS * 512);
	return same;
}

void model_check_prefix(struct model *model)
{
	const struct replica_state *state = replica_state(model->replica);

	replica_leave(model->replica, model_done, model);
	CHECK(!model_wait(model));
	CHECK(state->durable >= model->acked_durable && state->durable <= model->made);
	replica_settle(model->replica, model_done, model);
	CHECK(!model_wait(model));
	CHECK(state->applied == state->durable);
	CHECK(model_store_is(model, state->durable));
	/* Settled: final, whoever said so. */
	model->acked_durable = state->durable;
	if (model->commit < state->durable)
		model->commit = state->durable;
	replica_unleave(model->replica, model_done, model);
	CHECK(!model_wait(model));
}
