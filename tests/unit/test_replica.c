// SPDX-License-Identifier: GPL-2.0
/*
 * The replica under a random primary, crashes, power cuts and bad input.
 * Every run follows from its seed: test_replica --seed N [--group NAME].
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crc32c.h"
#include "agent/frame.h"
#include "agent/log.h"
#include "kselftest.h"
#include "env_model.h"

/* Send some, let some happen. */
static void traffic(struct model *model, unsigned int rounds)
{
	while (rounds--) {
		unsigned int frames = env_mem_below(model->mem, 6);

		while (frames-- && env_mem_conn_unread(model->conn) < 200000)
			if (!model_send(model))
				break;
		model_run(model, env_mem_below(model->mem, 30));
	}
}

/* End the session in one of the ways there are. */
static void end_session(struct model *model)
{
	if (!model->ended) {
		if (env_mem_one_in(model->mem, 2))
			env_mem_conn_shut(model->conn);
		else
			CHECK(replica_session_stop(model->replica, "test"));
	}
	while (!model->ended)
		CHECK(env_mem_step(model->mem));
	/* What came on the way out still counts, what comes now would not. */
	model_read_acks(model);
	model_run(model, 10);
	model->conn = NULL;
	CHECK(!replica_state(model->replica)->in_session);
	CHECK(replica_state(model->replica)->received == replica_state(model->replica)->durable);
}

static void one_round(struct model *model)
{
	unsigned int sessions = 1 + env_mem_below(model->mem, 3);

	model->lazy_commit = env_mem_one_in(model->mem, 5);
	while (sessions--) {
		CHECK(!model_connect(model));
		traffic(model, 1 + env_mem_below(model->mem, 40));
		if (sessions || env_mem_one_in(model->mem, 3))
			end_session(model);
	}
	switch (env_mem_below(model->mem, 6)) {
	case 0:
		model_close(model);
		break;
	case 1:
		if (model->conn)
			end_session(model);
		model_check_prefix(model);
		model_crash(model, true);
		break;
	case 2:
	case 3:
		model_crash(model, false);
		break;
	default:
		model_crash(model, true);
	}
	/* An open that is interrupted as well. */
	while (env_mem_one_in(model->mem, 3)) {
		model_up(model);
		model_crash(model, env_mem_one_in(model->mem, 2));
	}
	model_up(model);
}

/* Faults have stopped: everything gets applied, in bounded time (invariant 8). */
static void converge(struct model *model)
{
	unsigned int tries;

	model->lazy_commit = model->lazy_flush = false;
	CHECK(!model_connect(model));
	for (tries = 0; tries < 2000; tries++) {
		if (model->sent < model->made || tries < 5)
			model_send(model);
		else if (model->acked_applied == model->made)
			break;
		else
			model_send_idle(model);
		model_settle_time(model, 20);
		CHECK(!model->ended);
	}
	CHECK(model->acked_applied == model->made);
	CHECK(model_store_is(model, model->made));
}

static void test_crashes(uint64_t seed)
{
	struct model *model = model_create(seed);
	unsigned int rounds = 2 + env_mem_below(model->mem, 6);

	while (rounds--)
		one_round(model);
	if (env_mem_one_in(model->mem, 2))
		model_check_prefix(model);
	converge(model);
	model_destroy(model);
}

/* --- frames that must be refused ---------------------------------------- */

enum bad {
	BAD_FLIP, BAD_DUPLICATE, BAD_GAP, BAD_RESOURCE, BAD_TIMELINE, BAD_GENERATION, BAD_VERSION,
	BAD_OPS, BAD_TYPE, BAD_FLAG, BAD_RESERVED, BAD_END, BAD_VOLUME, BAD_COMMIT, BAD_FLUSHED,
	BAD_LENGTH, BAD_STAMP, BAD_ALIGNMENT, BAD_KINDS,
};

static const char *const bad_words[BAD_KINDS] = {
	[BAD_DUPLICATE] = "expected is", [BAD_GAP] = "expected is",
	[BAD_RESOURCE] = "another resource", [BAD_TIMELINE] = "another timeline",
	[BAD_GENERATION] = "generation", [BAD_VERSION] = "version", [BAD_OPS] = "operations",
	[BAD_TYPE] = "unknown type", [BAD_FLAG] = "unknown flags", [BAD_RESERVED] = "reserved",
	[BAD_END] = "past the end", [BAD_VOLUME] = "does not exist", [BAD_COMMIT] = "its commit",
	[BAD_FLUSHED] = "its flushed", [BAD_LENGTH] = "length", [BAD_STAMP] = "reserved",
	[BAD_ALIGNMENT] = "not aligned",
};

/* Spoil the frame at @buf, whose first operation is a write. */
static void spoil(struct model *model, enum bad bad, uint8_t *buf, size_t bytes)
{
	struct reprise_frame_head *head = (struct reprise_frame_head *)buf;

	switch (bad) {
	case BAD_FLIP:
		buf[env_mem_below(model->mem, bytes)] ^= 1 << env_mem_below(model->mem, 8);
		return;
	case BAD_DUPLICATE:
		head->first_seq = htole64(le64toh(head->first_seq) - 1);
		head->commit = head->flushed = 0;
		break;
	case BAD_GAP:
		head->first_seq = htole64(le64toh(head->first_seq) + 1);
		break;
	case BAD_RESOURCE:
		head->resource_id[3] ^= 1;
		break;
	case BAD_TIMELINE:
		head->timeline_id[3] ^= 1;
		break;
	case BAD_GENERATION:
		head->generation = htole64(le64toh(head->generation) + 1);
		break;
	case BAD_VERSION:
		head->version = htole16(2);
		break;
	case BAD_OPS:
		head->nr_ops = htole16(15);
		break;
	case BAD_TYPE:
		head->ops[0].op = 99;
		break;
	case BAD_FLAG:
		head->ops[0].flags = 1 << 4;
		break;
	case BAD_RESERVED:
		head->ops[0].reserved = 1;
		break;
	case BAD_END:
		head->ops[0].sector = htole64(MODEL_SECTORS);
		break;
	case BAD_VOLUME:
		head->ops[0].volume = htole16(MODEL_VOLUMES);
		break;
	case BAD_COMMIT:
		head->commit = htole64(le64toh(head->first_seq) + le16toh(head->nr_ops));
		break;
	case BAD_FLUSHED:
		head->flushed = htole64(le64toh(head->first_seq) + le16toh(head->nr_ops));
		break;
	case BAD_LENGTH:
		head->frame_bytes = htole32(bytes + 512);
		break;
	case BAD_STAMP:
		head->stamp = 1;
		break;
	case BAD_ALIGNMENT:
		head->ops[0].sector = htole64(le64toh(head->ops[0].sector) ^ 1);
		break;
	default:
		abort();
	}
	model_seal(buf);
}

static void send_bad(struct model *model, enum bad bad)
{
	static uint8_t buf[64 << 10];
	size_t bytes;

	/* Until its first operation is a write, not in the last block. */
	for (;;) {
		const struct model_op *op = &model->ops[model->sent + 1];

		bytes = model_build(model, buf, 1);
		if (op->op == REPRISE_OP_WRITE && op->sector + 16 < MODEL_SECTORS)
			break;
		env_mem_conn_put(model->conn, buf, bytes);
		model->sent++;
	}
	spoil(model, bad, buf, bytes);
	env_mem_conn_put(model->conn, buf, bytes);
	/* Good ones behind it count for nothing. */
	bytes = model_build(model, buf, 2);
	env_mem_conn_put(model->conn, buf, bytes);
}

static void test_refused(uint64_t seed)
{
	struct model *model = model_create(seed);
	enum bad bad = seed % BAD_KINDS;
	const struct replica_state *state;

	if (bad == BAD_ALIGNMENT && model->block_bytes == 512)
		bad = BAD_FLIP;
	state = replica_state(model->replica);
	CHECK(!model_connect(model));
	traffic(model, 10);
	send_bad(model, bad);
	while (!model->ended)
		CHECK(env_mem_step(model->mem));
	model_read_acks(model);
	CHECK(!model->fatal);
	CHECK(strstr(model->reason, "refused frame"));
	CHECK(!bad_words[bad] || strstr(model->reason, bad_words[bad]));
	/* Everything intact before it is kept and durable. */
	CHECK(state->durable == model->sent && state->received == model->sent);
	CHECK(state->damage == REPLICA_OK);
	model->conn = NULL;
	if (env_mem_one_in(model->mem, 2)) {
		model_crash(model, true);
		model_up(model);
		CHECK(replica_state(model->replica)->durable == model->sent);
	}
	converge(model);
	model_destroy(model);
}

/* --- rot ---------------------------------------------------------------- */

static void flip(struct env_mem_disk *disk, uint64_t byte, unsigned int bit)
{
	env_mem_content(disk)[byte] ^= 1 << bit;
	env_mem_make_durable(disk);
}

static void wipe_segment(struct model *model, unsigned int s)
{
	memset(env_mem_content(model->log) + s * MODEL_SEGMENT_BYTES, 0, 4096);
	env_mem_make_durable(model->log);
}

static uint32_t disks_crc(struct model *model)
{
	uint32_t crc = crc32c(env_mem_content(model->log), MODEL_SEGMENTS * MODEL_SEGMENT_BYTES);
	unsigned int v;

	for (v = 0; v < MODEL_VOLUMES; v++)
		crc = crc32c_continue(crc, env_mem_content(model->store[v]), MODEL_DEVICE_BYTES);
	return crc;
}

static void flip_somewhere(struct model *model)
{
	struct env_mem *mem = model->mem;
	struct env_mem_disk *store = model->store[env_mem_below(mem, MODEL_VOLUMES)];
	uint64_t copy = meta_copy_offset(MODEL_DEVICE_BYTES, env_mem_below(mem, 2));
	unsigned int bit = env_mem_below(mem, 8);

	switch (env_mem_below(mem, 5)) {
	case 0:		/* a metadata record, mostly where something is */
		flip(store, copy + env_mem_below(mem, env_mem_one_in(mem, 2) ? 600 : 16384), bit);
		break;
	case 1:		/* a segment's header */
		flip(model->log, env_mem_below(mem, MODEL_SEGMENTS) * MODEL_SEGMENT_BYTES +
				 env_mem_below(mem, 160), bit);
		break;
	default:
		flip(model->log, env_mem_below(mem, MODEL_SEGMENTS * MODEL_SEGMENT_BYTES), bit);
	}
}

static void test_rot(uint64_t seed)
{
	struct model *model = model_create(seed);
	const struct replica_state *state;
	uint32_t before;
	int error;

	CHECK(!model_connect(model));
	traffic(model, 20 + env_mem_below(model->mem, 60));
	if (env_mem_one_in(model->mem, 4))
		model_close(model);
	else
		model_crash(model, env_mem_one_in(model->mem, 2));
	flip_somewhere(model);
	env_mem_make_durable(model->log);
	before = disks_crc(model);
	error = model_open(model);
	state = replica_state(model->replica);
	if (state->damage != REPLICA_OK) {
		CHECK(*state->damage_text);
		CHECK(!error || state->damage == REPLICA_META_INVALID);
		CHECK(disks_crc(model) == before);
		CHECK(model_connect(model) == -EUCLEAN);
	} else {
		/* Perhaps shorter than acknowledged, as after a torn tail, but never mixed. */
		CHECK(!error && state->durable <= model->made);
		model->acked_durable = 0;
		model_check_prefix(model);
	}
	model_destroy(model);
}

/* All frames of the log that can be found, wherever they are; how many. */
static unsigned int list_frames(struct model *model, struct frame *frames, uint64_t *offsets,
				unsigned int max)
{
	const uint8_t *log = env_mem_content(model->log);
	char why[FRAME_WHY_BYTES];
	unsigned int nr = 0;
	uint64_t at = 0;

	while (at < MODEL_SEGMENTS * MODEL_SEGMENT_BYTES && nr < max) {
		if (log_frame_at(log + at, MODEL_SEGMENT_BYTES - at % MODEL_SEGMENT_BYTES, NULL,
				 0, &frames[nr], why)) {
			at += 512;
			continue;
		}
		offsets[nr] = at;
		at += frames[nr++].frame_bytes;
	}
	return nr;
}

/* A frame that a later one in the log says is final is never taken for a torn tail. */
static void test_committed_rot(uint64_t seed)
{
	struct model *model = model_create(seed);
	const struct replica_state *state;
	struct frame frames[400];
	uint64_t offsets[400], commit = 0;
	unsigned int nr, i, pick;

	model_slow_apply(model);
	CHECK(!model_connect(model));
	state = replica_state(model->replica);
	while (state->frame_bytes < 30000) {
		if (!env_mem_conn_unread(model->conn))
			CHECK(model_send(model));
		model_run(model, 1);
	}
	model_settle_time(model, 50);
	CHECK(!state->applied);
	model_crash(model, env_mem_one_in(model->mem, 2));
	env_mem_make_durable(model->log);
	nr = list_frames(model, frames, offsets, 400);
	for (i = 0; i < nr; i++)
		if (frames[i].nr_ops && frames[i].commit > commit)
			commit = frames[i].commit;
	pick = nr ? env_mem_below(model->mem, nr) : 0;
	if (nr && frames[pick].nr_ops && frames[pick].first_seq <= commit) {
		flip(model->log, offsets[pick] + env_mem_below(model->mem, frames[pick].frame_bytes),
		     env_mem_below(model->mem, 8));
		CHECK(!model_open(model));
		state = replica_state(model->replica);
		CHECK(state->damage == REPLICA_LOG_DAMAGED);
		CHECK(strstr(state->damage_text, "offset"));
		model_close(model);
	}
	model_destroy(model);
}

/* What was settled is promised by the record: without the last frame it is damage. */
static void test_settled_rot(uint64_t seed)
{
	struct model *model = model_create(seed);
	struct frame frames[800];
	uint64_t offsets[800];
	unsigned int nr, i, last = 0;

	CHECK(!model_connect(model));
	traffic(model, 10);
	model_check_prefix(model);
	model_crash(model, true);
	nr = list_frames(model, frames, offsets, 800);
	for (i = 0; i < nr; i++)
		if (frames[i].nr_ops && frame_last_seq(&frames[i]) > frame_last_seq(&frames[last]))
			last = i;
	if (nr && frame_last_seq(&frames[last]) == model->acked_durable && model->acked_durable) {
		flip(model->log, offsets[last] + env_mem_below(model->mem, frames[last].frame_bytes),
		     3);
		CHECK(!model_open(model));
		CHECK(replica_state(model->replica)->damage == REPLICA_LOG_DAMAGED);
		model_close(model);
	}
	model_destroy(model);
}

/* The segment with the highest ordinal that is on the disk, and its header. */
static unsigned int newest_segment(struct model *model, struct log_head *newest)
{
	const uint8_t *log = env_mem_content(model->log);
	struct log_head head;
	unsigned int s, best = 0;
	const char *why;

	newest->ordinal = 0;
	for (s = 0; s < MODEL_SEGMENTS; s++) {
		if (log_head_decode(log + s * MODEL_SEGMENT_BYTES, &head, &why) ||
		    head.ordinal < newest->ordinal)
			continue;
		*newest = head;
		best = s;
	}
	return best;
}

/* The newest segment's header is gone: missed, or nothing of it is in the store. */
static void test_newest_rot(uint64_t seed)
{
	struct model *model = model_create(seed);
	const struct replica_state *state;
	struct log_head head;

	model_close(model);
	model->apply_delay_ms = 1;
	model_up(model);
	/* Records take long, the log does not. */
	env_mem_slow(model->store[0], MODEL_SECTORS * 512, 50);
	CHECK(!model_connect(model));
	state = replica_state(model->replica);
	/* As soon as the store holds something of a new segment. */
	do {
		if (!env_mem_conn_unread(model->conn))
			model_send(model);
		model_run(model, 1);
		newest_segment(model, &head);
	} while (!model->ended && model->sent < 600 &&
		 (head.ordinal < 1 + seed % 3 || state->applied <= head.prev_seq));
	model_crash(model, env_mem_one_in(model->mem, 2));
	wipe_segment(model, newest_segment(model, &head));
	CHECK(!model_open(model));
	state = replica_state(model->replica);
	if (state->damage != REPLICA_OK) {
		CHECK(state->damage == REPLICA_LOG_MISSING);
	} else {
		model->acked_durable = 0;
		model_check_prefix(model);
	}
	model_destroy(model);
}

/* --- limits ------------------------------------------------------------- */

static void test_log_full(uint64_t seed)
{
	struct model *model = model_create(seed);
	unsigned int rounds;

	model->lazy_flush = true;
	CHECK(!model_connect(model));
	for (rounds = 0; rounds < 3000 && !model->ended; rounds++) {
		if (env_mem_conn_unread(model->conn) < 100000)
			model_send(model);
		model_run(model, 20);
	}
	model_settle_time(model, 5000);
	CHECK(model->ended && model->fatal && strstr(model->reason, "log full"));
	CHECK(replica_state(model->replica)->damage == REPLICA_OK);
	CHECK(replica_state(model->replica)->log_used_bytes > 4 * MODEL_SEGMENT_BYTES);
	model->conn = NULL;
	if (env_mem_one_in(model->mem, 2)) {
		model_crash(model, true);
		model_up(model);
	}
	converge(model);
	model_destroy(model);
}

/* The commit of everything comes after more than the ring can hold. */
static void test_ring_overflow(uint64_t seed)
{
	struct model *model = model_create(seed);
	const struct replica_state *state = replica_state(model->replica);

	model->lazy_commit = true;
	CHECK(!model_connect(model));
	while (state->frame_bytes < 3 * MODEL_RING_BYTES / 2) {
		if (env_mem_conn_unread(model->conn) < 50000)
			CHECK(model_send(model));
		CHECK(env_mem_step(model->mem));
	}
	CHECK(!model->ended && !state->applied && !state->store_writes);
	while (model->acked_durable < model->sent)
		model_run(model, 1);
	model->lazy_commit = false;
	while (model->acked_applied < model->sent) {
		model_send_idle(model);
		model_settle_time(model, 50);
		CHECK(!model->ended);
	}
	CHECK(model_store_is(model, model->sent));
	model_destroy(model);
}

static void test_io_errors(uint64_t seed)
{
	struct model *model = model_create(seed);
	struct env_mem_disk *disk = env_mem_one_in(model->mem, 2) ? model->log :
				    model->store[env_mem_below(model->mem, MODEL_VOLUMES)];

	CHECK(!model_connect(model));
	env_mem_fail(disk, 1 + env_mem_below(model->mem, 60), -EIO);
	traffic(model, 60);
	if (replica_state(model->replica)->damage != REPLICA_OK) {
		while (!model->ended)
			CHECK(env_mem_step(model->mem));
		CHECK(model->fatal);
		CHECK(replica_state(model->replica)->damage == REPLICA_IO_ERROR);
		CHECK(model_connect(model) == -EUCLEAN);
		replica_leave(model->replica, model_done, model);
		CHECK(model_wait(model));
		model_close(model);
	} else {
		model_crash(model, true);
	}
	env_mem_fail(disk, 0, 0);
	model_up(model);
	converge(model);
	model_destroy(model);
}

/* --- stores and logs that do not fit ------------------------------------ */

static void change_head(struct model *model, unsigned int s,
			void (*change)(struct log_head *head))
{
	uint8_t *at = env_mem_content(model->log) + s * MODEL_SEGMENT_BYTES;
	struct log_head head;
	const char *why;

	if (log_head_decode(at, &head, &why))
		return;
	change(&head);
	log_head_encode(&head, at);
	env_mem_make_durable(model->log);
}

static void other_log(struct log_head *head)
{
	head->log_id[0] ^= 1;
}

static void other_size(struct log_head *head)
{
	head->segment_bytes *= 2;
}

static void same_ordinal(struct log_head *head)
{
	head->ordinal = 2;
	head->session_ordinal = 1;
}

static void rewind_volume(struct model *model, unsigned int records)
{
	const uint64_t offset = meta_copy_offset(MODEL_DEVICE_BYTES, 0);
	uint8_t *content = env_mem_content(model->store[1]);
	const uint8_t *copy0 = content + offset;
	const uint8_t *copy1 = content + meta_copy_offset(MODEL_DEVICE_BYTES, 1);
	struct meta meta;
	struct meta_volume volume;
	const char *why;

	CHECK(!meta_choose(copy0, copy1, &meta, &volume, &why));
	memset(content + offset, 0, 1 << 20 >> 1);
	memset(content + meta_copy_offset(MODEL_DEVICE_BYTES, 1), 0, REPRISE_META_RECORD_BYTES);
	meta.number -= records;
	meta_encode(&meta, &volume, content + meta_copy_offset(MODEL_DEVICE_BYTES, meta.number));
	env_mem_make_durable(model->store[1]);
}

enum misfit {
	MISFIT_WIPED, MISFIT_ONE_WIPED, MISFIT_OTHER_LOG, MISFIT_SEGMENT_SIZE, MISFIT_TWINS,
	MISFIT_RESOURCE, MISFIT_VOLUME_BEHIND, MISFIT_SHORTER, MISFIT_NO_RECORD, MISFIT_KINDS,
};

static void make_misfit(struct model *model, enum misfit misfit)
{
	unsigned int s;

	switch (misfit) {
	case MISFIT_WIPED:
		for (s = 0; s < MODEL_SEGMENTS; s++)
			wipe_segment(model, s);
		break;
	case MISFIT_ONE_WIPED:
		wipe_segment(model, 1);
		break;
	case MISFIT_OTHER_LOG:
		for (s = 0; s < MODEL_SEGMENTS; s++)
			change_head(model, s, other_log);
		break;
	case MISFIT_SEGMENT_SIZE:
		for (s = 0; s < MODEL_SEGMENTS; s++)
			change_head(model, s, other_size);
		break;
	case MISFIT_TWINS:
		change_head(model, 0, same_ordinal);
		break;
	case MISFIT_RESOURCE:
		model->resource_id[0] ^= 1;
		break;
	case MISFIT_VOLUME_BEHIND:
		rewind_volume(model, 2);
		break;
	case MISFIT_SHORTER:
		model->device_bytes -= 4096;
		break;
	default:
		rewind_volume(model, 0);
		memset(env_mem_content(model->store[1]) + MODEL_SECTORS * 512, 0, 1 << 20);
	}
}

static const enum replica_damage misfit_damage[MISFIT_KINDS] = {
	[MISFIT_WIPED] = REPLICA_LOG_MISSING,
	[MISFIT_ONE_WIPED] = REPLICA_LOG_MISSING,
	[MISFIT_OTHER_LOG] = REPLICA_LOG_MISSING,
	[MISFIT_SEGMENT_SIZE] = REPLICA_LOG_DAMAGED,
	[MISFIT_TWINS] = REPLICA_LOG_DAMAGED,
	[MISFIT_RESOURCE] = REPLICA_META_INVALID,
	[MISFIT_VOLUME_BEHIND] = REPLICA_META_INVALID,
	[MISFIT_SHORTER] = REPLICA_META_INVALID,
	[MISFIT_NO_RECORD] = REPLICA_META_INVALID,
};

/* Three segments of frames that are not final, so that all of them are needed. */
static void fill_segments(struct model *model)
{
	const struct replica_state *state = replica_state(model->replica);

	model->lazy_commit = true;
	CHECK(!model_connect(model));
	while (state->frame_bytes < 150000) {
		if (env_mem_conn_unread(model->conn) < 50000)
			CHECK(model_send(model));
		CHECK(env_mem_step(model->mem));
	}
	model_settle_time(model, 100);
	CHECK(!model->ended);
}

static void test_misfit(uint64_t seed)
{
	struct model *model = model_create(seed);
	enum misfit misfit = seed % MISFIT_KINDS;
	const struct replica_state *state;
	uint32_t before;
	int error;

	fill_segments(model);
	model_crash(model, true);
	make_misfit(model, misfit);
	env_mem_make_durable(model->log);
	before = disks_crc(model);
	error = model_open(model);
	state = replica_state(model->replica);
	CHECK(state->damage == misfit_damage[misfit] && *state->damage_text);
	CHECK(error == (state->damage == REPLICA_META_INVALID ? -EINVAL : 0));
	CHECK(disks_crc(model) == before);
	CHECK(model_connect(model) == -EUCLEAN);
	model_close(model);
	CHECK(disks_crc(model) == before);
	model_destroy(model);
}

/* A volume that is one record behind is what a crash leaves: it is caught up. */
static void test_record_behind(uint64_t seed)
{
	struct model *model = model_create(seed);

	CHECK(!model_connect(model));
	traffic(model, 20);
	model_close(model);
	rewind_volume(model, 1);
	model_up(model);
	if (env_mem_one_in(model->mem, 2)) {
		CHECK(!model_connect(model));
		traffic(model, 10);
	}
	model_crash(model, true);
	model_up(model);
	converge(model);
	model_destroy(model);
}

/* --- back-pressure -------------------------------------------------------- */

static void send_one(struct model *model)
{
	static uint8_t buf[64 << 10];
	size_t bytes = model_build(model, buf, 1);

	env_mem_conn_put(model->conn, buf, bytes);
	model->sent++;
	model_settle_time(model, 200);
}

/* A store that stands still: receiving stops at the bound, with one receive under way. */
static void test_back_pressure(uint64_t seed)
{
	struct model *model = model_create(seed);
	const struct replica_state *state;
	uint64_t frames;

	model_close(model);
	model->unapplied_bytes = 16 << 10;
	model_up(model);
	state = replica_state(model->replica);
	CHECK(!model_connect(model));
	for (unsigned int i = 0; i < MODEL_VOLUMES; i++)
		env_mem_slow(model->store[i], 0, 1000000);
	while (state->frame_bytes < model->unapplied_bytes)
		send_one(model);
	send_one(model);
	frames = state->frames;
	send_one(model);
	CHECK(state->frames == frames && env_mem_conn_unread(model->conn) && !model->ended);
	for (unsigned int i = 0; i < MODEL_VOLUMES; i++)
		env_mem_slow(model->store[i], 0, 0);
	model_settle_time(model, 5000000);
	CHECK(state->received == model->sent && !env_mem_conn_unread(model->conn));
	model_destroy(model);
}

/* --- a session's end --------------------------------------------------------- */

/* What has arrived intact goes to the log, but nothing is acknowledged once the end has begun. */
static void test_ending(uint64_t seed)
{
	struct model *model = model_create(seed);
	const struct replica_state *state = replica_state(model->replica);
	uint64_t acked, expect;

	model->lazy_commit = true;
	CHECK(!model_connect(model));
	traffic(model, 1);
	model_settle_time(model, 5000);
	CHECK(model->acked_durable == model->sent);
	/* one log write on its way, and frames that wait for the next */
	env_mem_slow(model->log, 0, 1000);
	expect = model->sent + 8;
	while (state->received < expect) {
		CHECK(model_send(model));
		while (env_mem_conn_unread(model->conn))
			CHECK(env_mem_step(model->mem));
	}
	env_mem_slow(model->log, 0, 0);
	model_read_acks(model);
	acked = model->acked_durable;
	expect = state->received;
	CHECK(acked < expect && replica_session_stop(model->replica, "test"));
	while (!model->ended)
		CHECK(env_mem_step(model->mem));
	model_read_acks(model);
	CHECK(model->acked_durable == acked);
	CHECK(state->durable == expect);
	model_destroy(model);
}

/* --- roles -------------------------------------------------------------- */

/* Wait for the call, or crash on the way; then true. */
static bool crashes_first(struct model *model)
{
	unsigned int steps = env_mem_below(model->mem, 60);

	if (env_mem_one_in(model->mem, 2)) {
		CHECK(!model_wait(model));
		return false;
	}
	while (steps-- && !model->called_back)
		CHECK(env_mem_step(model->mem));
	model->called_back = false;
	model_crash(model, env_mem_one_in(model->mem, 2));
	return true;
}

static void refuses_to_enter(struct model *model, const struct meta_timeline *timeline)
{
	replica_enter(model->replica, timeline, REPRISE_STORE_CLEAN, model_done, model);
	CHECK(model_wait(model) == -EINVAL);
}

/* Its content is not that of its parent: nobody enters it as it is. */
static void refuses_crash_fork(struct model *model)
{
	struct meta_timeline fork = model->timeline;

	fork.kind = REPRISE_FORK_CRASH;
	refuses_to_enter(model, &fork);
}

/* An id stands for one timeline; the record with two would not be read again. */
static void refuses_known_id(struct model *model)
{
	struct meta_timeline again = model->timeline;

	memcpy(again.id, again.parent, sizeof(again.id));
	refuses_to_enter(model, &again);
}

/* Follow another primary's timeline, crashing anywhere; in the end it is followed. */
static void follow(struct model *model)
{
	const struct replica_state *state;
	const struct meta_timeline old = model->timeline;

	for (;;) {
		state = replica_state(model->replica);
		if (memcmp(state->timeline_id, old.id, REPRISE_ID_BYTES))
			break;
		replica_leave(model->replica, model_done, model);
		if (crashes_first(model))
			goto again;
		CHECK(state->meta->left && state->meta->left_seq == state->durable);
		CHECK(model_connect(model) == -EUCLEAN);
		model->commit = model->acked_durable = state->durable;
		replica_settle(model->replica, model_done, model);
		if (crashes_first(model))
			goto again;
		CHECK(model_store_is(model, state->durable));
		model->timeline = old;
		model_new_timeline(model, state->durable);
		refuses_crash_fork(model);
		refuses_known_id(model);
		replica_enter(model->replica, &model->timeline, REPRISE_STORE_CLEAN, model_done,
			      model);
		if (!crashes_first(model))
			break;
again:
		model_up(model);
	}
	state = replica_state(model->replica);
	CHECK(!memcmp(state->timeline_id, model->timeline.id, REPRISE_ID_BYTES));
	CHECK(state->durable == model->timeline.fork_seq && state->applied == state->durable);
	CHECK(!state->meta->left && state->meta->state == REPRISE_STORE_CLEAN);
}

/* Writes that this node makes as the primary go straight to its store. */
static void write_as_primary(struct model *model)
{
	unsigned int nr = env_mem_below(model->mem, 50);

	while (nr--)
		model_write_through(model);
}

/* Writes had failed: no session on such a copy; it goes on only as a fork of its own. */
static void regain_lost(struct model *model, struct replica_volume *volumes)
{
	replica_regain(model->replica, volumes, model->made, REPRISE_STORE_LOST, model_done, model);
	if (crashes_first(model))
		CHECK(!model_open(model));
	if (replica_state(model->replica)->meta->state != REPRISE_STORE_UNCLEAN) {
		CHECK(replica_state(model->replica)->meta->state == REPRISE_STORE_LOST);
		CHECK(model_connect(model) == -EUCLEAN);
		replica_settle(model->replica, model_done, model);
		CHECK(model_wait(model) == -EBUSY);
		model_new_timeline(model, model->made);
		model->timeline.kind = REPRISE_FORK_CRASH;
		model->timeline.opener = 2;
		replica_enter(model->replica, &model->timeline, REPRISE_STORE_UNCLEAN, model_done,
			      model);
		CHECK(!model_wait(model));
		replica_release(model->replica);
		write_as_primary(model);
	}
	model_volumes(model, volumes);
}

static void reign(struct model *model)
{
	const struct replica_state *state = replica_state(model->replica);
	struct replica_volume volumes[MODEL_VOLUMES];

	replica_leave(model->replica, model_done, model);
	CHECK(!model_wait(model));
	model->commit = model->acked_durable = state->durable;
	replica_settle(model->replica, model_done, model);
	CHECK(!model_wait(model));
	model_new_timeline(model, state->durable);
	model->timeline.opener = 2;
	replica_enter(model->replica, &model->timeline, REPRISE_STORE_UNCLEAN, model_done, model);
	CHECK(!model_wait(model));
	CHECK(model_connect(model) == -EUCLEAN);
	replica_release(model->replica);
	write_as_primary(model);
	if (env_mem_one_in(model->mem, 3)) {
		/* The agent restarts beside a kernel that goes on. */
		replica_destroy(model->replica);
		CHECK(!model_open(model));
		state = replica_state(model->replica);
		CHECK(state->damage == REPLICA_OK);
		CHECK(state->meta->state == REPRISE_STORE_UNCLEAN);
	}
	model_volumes(model, volumes);
	if (env_mem_one_in(model->mem, 8))
		regain_lost(model, volumes);
	replica_regain(model->replica, volumes, model->made, REPRISE_STORE_CLEAN,
		       model_done, model);
	if (crashes_first(model)) {
		CHECK(!model_open(model));
		state = replica_state(model->replica);
		if (state->meta->state == REPRISE_STORE_UNCLEAN) {
			CHECK(model_connect(model) == -EUCLEAN);
			replica_regain(model->replica, volumes, model->made, REPRISE_STORE_CLEAN,
				       model_done, model);
			CHECK(!model_wait(model));
		}
	}
	state = replica_state(model->replica);
	CHECK(state->durable == model->made && state->applied == model->made);
	CHECK(state->meta->state == REPRISE_STORE_CLEAN);
	model->acked_durable = model->commit = model->flushed = model->made;
}

static void test_roles(uint64_t seed)
{
	struct model *model = model_create(seed);
	unsigned int rounds = 1 + env_mem_below(model->mem, 5);

	while (rounds--) {
		CHECK(!model_connect(model));
		traffic(model, env_mem_below(model->mem, 30));
		if (env_mem_one_in(model->mem, 2))
			end_session(model);
		if (env_mem_one_in(model->mem, 2))
			follow(model);
		else
			reign(model);
		if (env_mem_one_in(model->mem, 4)) {
			replica_set_policy(model->replica, REPRISE_DURABILITY_MEMORY,
					   REPRISE_ON_PEER_LOSS_FREEZE, model_done, model);
			CHECK(!model_wait(model));
		}
	}
	converge(model);
	model_check_prefix(model);
	model_destroy(model);
}

struct group {
	const char *name;
	void (*run)(uint64_t seed);
	unsigned int seeds;
};

static const struct group groups[] = {
	{ "crashes", test_crashes, 300 },
	{ "refused", test_refused, 200 },
	{ "rot", test_rot, 400 },
	{ "committed_rot", test_committed_rot, 100 },
	{ "settled_rot", test_settled_rot, 60 },
	{ "newest_rot", test_newest_rot, 100 },
	{ "log_full", test_log_full, 20 },
	{ "ring_overflow", test_ring_overflow, 30 },
	{ "io_errors", test_io_errors, 100 },
	{ "misfit", test_misfit, 9 * 5 },
	{ "record_behind", test_record_behind, 50 },
	{ "back_pressure", test_back_pressure, 20 },
	{ "ending", test_ending, 100 },
	{ "roles", test_roles, 200 },
};

int main(int argc, char **argv)
{
	unsigned int nr = sizeof(groups) / sizeof(groups[0]), i;
	const char *only = NULL;
	uint64_t seed = 0, one = 0;
	int arg;

	for (arg = 1; arg + 1 < argc; arg += 2) {
		if (!strcmp(argv[arg], "--seed"))
			one = strtoull(argv[arg + 1], NULL, 0);
		else if (!strcmp(argv[arg], "--group"))
			only = argv[arg + 1];
	}
	ksft_print_header();
	ksft_set_plan(nr);
	for (i = 0; i < nr; i++) {
		if (only && strcmp(only, groups[i].name)) {
			ksft_test_result_skip("%s\n", groups[i].name);
			continue;
		}
		for (seed = 1; seed <= groups[i].seeds; seed++)
			if (!one || seed == one || one > groups[i].seeds)
				groups[i].run(one ? one : seed);
		ksft_test_result_pass("%s: %u seeds\n", groups[i].name, one ? 1 : groups[i].seeds);
	}
	ksft_finished();
}
