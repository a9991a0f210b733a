// SPDX-License-Identifier: GPL-2.0
/*
 * Recovery of a log that was tampered with.  The input is a program of edits
 * on a valid log and its metadata, as a crash left them: flipped bytes, zeroed
 * and moved sectors, and edits that repair the checksums, or nothing would get
 * past them.  Whatever it finds, recovery ends; with damage it has changed
 * nothing; without, each operation it offers is in an intact frame, the next
 * recovery offers the same, and after one flipped byte the content is right.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crc32c.h"
#include "agent/log.h"
#include "env_model.h"
#include "input.h"

enum {
	NR_BASES = 12,
	NR_DISKS = MODEL_VOLUMES + 1,
	LOG_BYTES = MODEL_SEGMENTS * MODEL_SEGMENT_BYTES,
	LOG_SECTORS = LOG_BYTES / 512,
	MAX_EDITS = 12,
	MAX_FRAMES = 800,
};

/* A node as a crash left it. */
struct base {
	struct model model;
	uint8_t *disks[NR_DISKS];
	unsigned int nr_frames;
	uint32_t frames[MAX_FRAMES];	/* offsets of intact ones in the log */
};

static struct base *bases[NR_BASES];

static size_t disk_bytes(unsigned int disk)
{
	return disk == MODEL_VOLUMES ? LOG_BYTES : MODEL_DEVICE_BYTES;
}

static uint8_t *content(const struct model *model, unsigned int disk)
{
	return env_mem_content(disk == MODEL_VOLUMES ? model->log : model->store[disk]);
}

static bool frame_at(const uint8_t *log, size_t at, struct frame *frame)
{
	char why[FRAME_WHY_BYTES];

	return !log_frame_at(log + at, MODEL_SEGMENT_BYTES - at % MODEL_SEGMENT_BYTES, NULL, 0,
			     frame, why);
}

static void find_frames(struct base *base)
{
	struct frame frame;

	for (size_t at = 0; at < LOG_BYTES && base->nr_frames < MAX_FRAMES; at += 512)
		if (frame_at(base->disks[MODEL_VOLUMES], at, &frame))
			base->frames[base->nr_frames++] = at;
}

static void traffic(struct model *model, unsigned int frames)
{
	must(!model_connect(model));
	while (frames--) {
		if (env_mem_conn_unread(model->conn) < 100000)
			model_send(model);
		model_run(model, env_mem_below(model->mem, 20));
	}
}

static struct base *make_base(unsigned int number)
{
	struct base *base = calloc(1, sizeof(*base));
	struct model *model = model_create(1000 + number);

	must(base);
	model->lazy_commit = number % 4 == 3;
	traffic(model, number % 3 ? 20 + 40 * number : 4);
	if (number % 5 == 4)
		model_check_prefix(model);
	if (number % 6 == 5) {
		replica_leave(model->replica, model_done, model);
		must(!model_wait(model));
	}
	model_crash(model, number % 2);
	base->model = *model;
	for (unsigned int i = 0; i < NR_DISKS; i++) {
		base->disks[i] = malloc(disk_bytes(i));
		must(base->disks[i]);
		memcpy(base->disks[i], content(model, i), disk_bytes(i));
	}
	env_mem_destroy(model->mem);
	free(model);
	find_frames(base);
	return base;
}

static void restore(struct model *model, const struct base *base)
{
	*model = base->model;
	model->mem = env_mem_create(1);
	model->store[0] = env_mem_disk(model->mem, "store0", MODEL_DEVICE_BYTES,
				       model->block_bytes);
	model->store[1] = env_mem_disk(model->mem, "store1", MODEL_DEVICE_BYTES,
				       model->block_bytes);
	model->log = env_mem_disk(model->mem, "log", LOG_BYTES, 4096);
	for (unsigned int i = 0; i < NR_DISKS; i++)
		memcpy(content(model, i), base->disks[i], disk_bytes(i));
}

/* --- edits ---------------------------------------------------------------------- */

static uint64_t value(struct fuzz_input *in, uint64_t now)
{
	switch (fuzz_below(in, 4)) {
	case 0:
		return fuzz_u64(in);
	case 1:
		return fuzz_u8(in);
	default:
		return now + (int8_t)fuzz_u8(in);
	}
}

/* One little-endian field of some size in the first @span bytes of @block. */
static void edit_field(struct fuzz_input *in, uint8_t *block, unsigned int span)
{
	unsigned int bytes = 1u << fuzz_below(in, 4);
	unsigned int at = fuzz_below(in, span / bytes) * bytes;
	uint64_t v = 0;

	memcpy(&v, block + at, bytes);
	v = htole64(value(in, le64toh(v)));
	memcpy(block + at, &v, bytes);
}

static void edit_frame(struct fuzz_input *in, const struct base *base, uint8_t *log)
{
	struct reprise_frame_head *head;

	if (!base->nr_frames)
		return;
	head = (void *)(log + base->frames[fuzz_below(in, base->nr_frames)]);
	if (fuzz_below(in, 3))
		edit_field(in, (uint8_t *)head, offsetof(struct reprise_frame_head, ops));
	else
		edit_field(in, (uint8_t *)&head->ops[fuzz_below(in, 4)], sizeof(head->ops[0]));
	model_seal((uint8_t *)head);
}

static void edit_head(struct fuzz_input *in, uint8_t *log)
{
	struct reprise_log_head *head =
		(void *)(log + (size_t)fuzz_below(in, MODEL_SEGMENTS) * MODEL_SEGMENT_BYTES);

	edit_field(in, (uint8_t *)head, offsetof(struct reprise_log_head, reserved));
	head->crc = htole32(crc32c_with_hole(head, sizeof(*head),
					     offsetof(struct reprise_log_head, crc)));
}

static void edit_record(struct fuzz_input *in, struct model *model)
{
	uint8_t *disk = content(model, fuzz_below(in, MODEL_VOLUMES));
	struct reprise_meta_record *record =
		(void *)(disk + meta_copy_offset(MODEL_DEVICE_BYTES, fuzz_below(in, 2)));

	if (fuzz_below(in, 3))
		edit_field(in, (uint8_t *)record, offsetof(struct reprise_meta_record, reserved));
	else
		edit_field(in, (uint8_t *)&record->timelines[fuzz_below(in, 3)],
			   sizeof(record->timelines[0]));
	record->crc = htole32(crc32c_with_hole(record, sizeof(*record),
					       offsetof(struct reprise_meta_record, crc)));
}

/* Where a frame begins, or anywhere. */
static size_t pick_sector(struct fuzz_input *in, const struct base *base, unsigned int below)
{
	size_t at = fuzz_below(in, LOG_SECTORS);

	if (base->nr_frames && fuzz_below(in, 4))
		at = base->frames[at % base->nr_frames] / 512;
	return at < below ? at : below;
}

/* Frames over others: repeated, left out, in another segment. */
static void move_sectors(struct fuzz_input *in, const struct base *base, uint8_t *log)
{
	unsigned int count = 1 + fuzz_below(in, 128);
	size_t from = pick_sector(in, base, LOG_SECTORS - count);
	size_t to = pick_sector(in, base, LOG_SECTORS - count);

	memmove(log + to * 512, log + from * 512, count * 512);
}

static void zero_sectors(struct fuzz_input *in, uint8_t *log)
{
	unsigned int count = 1 + fuzz_below(in, 128);

	memset(log + (size_t)fuzz_below(in, LOG_SECTORS - count) * 512, 0, count * 512);
}

static void flip(struct fuzz_input *in, uint8_t *log)
{
	size_t at = (size_t)fuzz_below(in, LOG_SECTORS) * 512;

	log[at + fuzz_below(in, 512)] ^= 1 << fuzz_below(in, 8);
}

static void edit(struct fuzz_input *in, unsigned int kind, const struct base *base,
		 struct model *model)
{
	uint8_t *log = content(model, MODEL_VOLUMES);

	switch (kind) {
	case 0:
		flip(in, log);
		break;
	case 1:
		zero_sectors(in, log);
		break;
	case 2:
		move_sectors(in, base, log);
		break;
	case 3:
	case 4:
		edit_frame(in, base, log);
		break;
	case 5:
		edit_head(in, log);
		break;
	default:
		edit_record(in, model);
	}
}

/* Return: was it no more than one flipped byte? */
static bool tamper(struct fuzz_input *in, const struct base *base, struct model *model)
{
	unsigned int edits = 0, kind = 0;

	while (in->left && edits < MAX_EDITS) {
		kind = fuzz_below(in, 7);
		edit(in, kind, base, model);
		edits++;
	}
	for (unsigned int i = 0; i < MODEL_VOLUMES; i++)
		env_mem_make_durable(model->store[i]);
	env_mem_make_durable(model->log);
	return !edits || (edits == 1 && kind == 0);
}

/* --- what must hold ---------------------------------------------------------------- */

static void check_unchanged(const struct model *model, uint8_t *const before[NR_DISKS])
{
	for (unsigned int i = 0; i < NR_DISKS; i++)
		must(!memcmp(before[i], content(model, i), disk_bytes(i)));
}

/* Is each seq past what the record says is applied in an intact frame of the timeline? */
static bool tip_is_held(const uint8_t *log, const struct replica_state *state, uint64_t applied)
{
	static bool held[MAX_FRAMES * REPRISE_FRAME_MAX_OPS];
	uint64_t missing = state->durable - applied;
	struct frame frame;

	if (state->durable < applied || missing >= sizeof(held))
		return false;
	memset(held, 0, sizeof(held));
	for (size_t at = 0; at < LOG_BYTES; at += 512) {
		if (!frame_at(log, at, &frame) ||
		    memcmp(frame.timeline_id, state->timeline_id, REPRISE_ID_BYTES))
			continue;
		for (uint64_t i = 0; i < frame.nr_ops; i++)
			if (frame.first_seq + i > applied && frame.first_seq + i <= state->durable)
				held[frame.first_seq + i - applied - 1] = true;
	}
	return !missing || !memchr(held, false, missing);
}

static bool decode_record(uint8_t *const disks[NR_DISKS], unsigned int which, struct meta *meta)
{
	struct meta_volume volume;
	const char *why;

	return !meta_decode(disks[which / 2] + meta_copy_offset(MODEL_DEVICE_BYTES, which % 2),
			    meta, &volume, &why) && (meta->number & 1) == which % 2;
}

/* Does what was found follow from one of the newest records, by the formats alone? */
static bool is_explained(const struct replica_state *state, uint8_t *const disks[NR_DISKS])
{
	static struct meta meta;
	uint64_t newest = 0;

	for (unsigned int i = 0; i < 2 * MODEL_VOLUMES; i++)
		if (decode_record(disks, i, &meta) && meta.number > newest)
			newest = meta.number;
	for (unsigned int i = 0; i < 2 * MODEL_VOLUMES; i++)
		if (decode_record(disks, i, &meta) && meta.number == newest &&
		    (!meta.left || state->durable <= meta.left_seq) &&
		    tip_is_held(disks[MODEL_VOLUMES], state, meta.applied))
			return true;
	return false;
}

static void check_state(struct model *model, uint8_t *const before[NR_DISKS])
{
	const struct replica_state *state = replica_state(model->replica);

	if (state->damage != REPLICA_OK) {
		must(state->damage_text[0]);
		check_unchanged(model, before);
		return;
	}
	must(state->applied <= state->durable && state->received == state->durable);
	must(state->commit <= state->durable && state->flushed <= state->durable);
	must(is_explained(state, before));
}

static void close_down(struct model *model)
{
	replica_close(model->replica, model_done, model);
	model_wait(model);
	replica_destroy(model->replica);
	model->replica = NULL;
}

static void recover(struct model *model, bool truthful)
{
	const struct replica_state *state;
	static uint8_t copies[NR_DISKS][MODEL_DEVICE_BYTES];
	uint8_t *const before[NR_DISKS] = { copies[0], copies[1], copies[2] };
	uint64_t durable;
	bool sound;

	for (unsigned int i = 0; i < NR_DISKS; i++)
		memcpy(before[i], content(model, i), disk_bytes(i));
	if (model_open(model))
		must(replica_state(model->replica)->damage != REPLICA_OK);
	check_state(model, before);
	state = replica_state(model->replica);
	sound = state->damage == REPLICA_OK;
	durable = state->durable;
	if (sound && truthful) {
		must(durable <= model->made);
		model->acked_durable = 0;
		model_check_prefix(model);
	}
	close_down(model);
	if (sound) {
		must(!model_open(model));
		state = replica_state(model->replica);
		must(state->damage == REPLICA_OK && state->durable == durable);
		close_down(model);
	} else {
		check_unchanged(model, before);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct model model;
	struct fuzz_input in = { data, bytes };
	unsigned int number = fuzz_below(&in, NR_BASES);
	bool truthful;

	if (!bases[number])
		bases[number] = make_base(number);
	restore(&model, bases[number]);
	truthful = tamper(&in, bases[number], &model);
	recover(&model, truthful);
	env_mem_destroy(model.mem);
	return 0;
}
