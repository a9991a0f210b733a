// SPDX-License-Identifier: GPL-2.0
/*
 * fake-replica DIRECTORY FAULT: writes a replica's disks and a record as a
 * run of tag-writer would leave them, right or with one fault, to show that
 * log-check tells them apart: DIRECTORY/store, log, record.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kmod/uapi/reprise_frame.h"
#include "kmod/uapi/reprise_meta.h"

#include "crc.h"
#include "tag.h"

enum {
	STORE_BYTES = 17 << 20,
	VOLUME_SECTORS = 16 << 11,
	LOG_BYTES = 64 << 20,
	SEGMENT_BYTES = 8 << 20,
	NR_OPS = 300,
	LAG = 10,		/* of the commit behind the tip */
	UNAPPLIED = 40,		/* recorded as applied, behind the tip */
	DEPTH = 4,		/* writes in flight */
	OPS_OF_FRAME = 3,
};

static const struct tag_program program = {
	.seed = 42, .writer = 1, .block_sectors = 1, .nr_volumes = 1, .sectors = { VOLUME_SECTORS },
};
static uint64_t counters[NR_OPS + 1];	/* by seq */
static uint8_t store[STORE_BYTES], log_image[LOG_BYTES];
static uint64_t frame_at[NR_OPS + 1];	/* offset of the frame that begins with a seq */
static uint64_t applied = NR_OPS - UNAPPLIED, commit = NR_OPS - LAG, last_frame, log_end;
static const char *fault;

static bool is(const char *name)
{
	return !strcmp(fault, name);
}

static void write_file(const char *dir, const char *name, const void *data, size_t bytes)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	if (!file || fwrite(data, bytes, 1, file) != 1 || fclose(file)) {
		perror(path);
		exit(2);
	}
}

/* Flushes have no seq. */
static void number(void)
{
	uint64_t counter = 0;

	for (uint64_t seq = 1; seq <= NR_OPS; seq++) {
		do
			counter++;
		while (tag_op(&program, counter).kind == TAG_FLUSH);
		counters[seq] = counter;
	}
	if (is("order")) {
		counter = counters[100];
		counters[100] = counters[150];
		counters[150] = counter;
	}
	if (is("twice"))
		counters[200] = counters[199];
}

static void *fill(uint64_t seq, void *to)
{
	struct tag_op op = tag_op(&program, counters[seq]);

	for (uint32_t i = 0; i < op.sectors; i++)
		tag_fill(&program, counters[seq], 0, op.sector + i,
			 (uint8_t *)to + i * TAG_SECTOR_BYTES);
	return (uint8_t *)to + op.sectors * TAG_SECTOR_BYTES;
}

static void apply(uint64_t seq)
{
	fill(seq, store + tag_op(&program, counters[seq]).sector * TAG_SECTOR_BYTES);
}

static void make_record_copy(void)
{
	uint8_t *at = store + STORE_BYTES - REPRISE_META_AREA_BYTES + REPRISE_META_COPY1_OFFSET;
	struct reprise_meta_record *record = (void *)at;

	memcpy(record->magic, REPRISE_META_MAGIC, 8);
	record->version = htole32(REPRISE_META_VERSION);
	record->number = htole64(1);
	memset(record->resource_id, 0x11, 16);
	memset(record->log_id, 0x22, 16);
	record->size_sectors = htole64(VOLUME_SECTORS);
	record->applied = htole64(applied);
	record->crc = htole32(crc_of(record, sizeof(*record)));
}

static void make_store(void)
{
	for (uint64_t seq = 1; seq <= applied; seq++)
		if (!is("store-behind") || seq != applied)
			apply(seq);
	/* Of what may be there, some is, in any order. */
	for (uint64_t seq = commit; seq > applied; seq -= 3)
		apply(seq);
	if (is("store-ahead"))
		apply(NR_OPS);
	if (is("store-rot"))
		store[tag_op(&program, counters[applied]).sector * TAG_SECTOR_BYTES + 77] ^= 4;
	make_record_copy();
}

static uint64_t begin_segment(unsigned int ordinal, uint64_t prev_seq)
{
	uint64_t base = (uint64_t)(LOG_BYTES / SEGMENT_BYTES - ordinal) * SEGMENT_BYTES;
	struct reprise_log_head *head = (void *)(log_image + base);

	memcpy(head->magic, REPRISE_LOG_MAGIC, 8);
	head->version = htole32(REPRISE_LOG_VERSION);
	memset(head->resource_id, 0x11, 16);
	memset(head->log_id, 0x22, 16);
	memset(head->timeline_id, 0x33, 16);
	head->ordinal = htole64(ordinal);
	head->segment_bytes = htole64(SEGMENT_BYTES);
	head->prev_seq = htole64(prev_seq);
	head->first_seq = htole64(prev_seq + 1);
	head->first_offset = htole32(REPRISE_LOG_HEAD_BYTES + 1024);
	head->crc = htole32(crc_of(head, sizeof(*head)));
	return base + REPRISE_LOG_HEAD_BYTES + 1024;
}

static uint32_t make_frame(uint64_t first, unsigned int nr, uint8_t *to)
{
	struct reprise_frame_head *head = (void *)to;
	uint8_t *p = to + REPRISE_FRAME_HEAD_BYTES;
	uint64_t last = first + nr - 1;

	memset(head, 0, sizeof(*head));
	head->magic = htole32(REPRISE_FRAME_MAGIC);
	head->version = htole16(REPRISE_FRAME_VERSION);
	head->head_bytes = htole16(REPRISE_FRAME_HEAD_BYTES);
	head->nr_ops = htole16(nr);
	head->origin = htole16(1);
	memset(head->resource_id, 0x11, 16);
	memset(head->timeline_id, 0x33, 16);
	head->first_seq = htole64(first);
	head->commit = htole64(last > LAG ? last - LAG : 0);
	for (unsigned int i = 0; i < nr; i++) {
		struct tag_op op = tag_op(&program, counters[first + i]);
		uint8_t *end = fill(first + i, p);

		head->ops[i].sector = htole64(op.sector);
		head->ops[i].sectors = htole32(op.sectors);
		head->ops[i].op = REPRISE_OP_WRITE;
		head->ops[i].crc = htole32(crc_of(p, end - p));
		p = end;
	}
	head->frame_bytes = htole32(p - to);
	head->head_crc = htole32(crc_of(head, sizeof(*head)));
	return p - to;
}

static void make_log(void)
{
	static uint8_t frame[REPRISE_FRAME_MAX_BYTES];
	unsigned int ordinal = 1;
	uint64_t at = begin_segment(1, 0), base = at / SEGMENT_BYTES * SEGMENT_BYTES;

	for (uint64_t seq = 1; seq <= NR_OPS; seq += OPS_OF_FRAME) {
		uint32_t bytes = make_frame(seq, OPS_OF_FRAME, frame);

		if (at + bytes > base + SEGMENT_BYTES) {
			at = begin_segment(++ordinal, seq - 1);
			base = at / SEGMENT_BYTES * SEGMENT_BYTES;
		}
		memcpy(log_image + at, frame, bytes);
		frame_at[seq] = last_frame = at;
		at += bytes;
	}
	log_end = at;
}

static void spoil_log(void)
{
	uint64_t bad = NR_OPS - 4 * OPS_OF_FRAME - LAG / OPS_OF_FRAME * OPS_OF_FRAME + 1;

	if (is("torn-tail"))
		memset(log_image + log_end, 0x5a, 3000);
	if (is("torn-frame") || is("lost-frame"))
		log_image[last_frame + REPRISE_FRAME_HEAD_BYTES + 9] ^= 1;
	if (is("log-rot"))
		log_image[frame_at[1] + REPRISE_FRAME_HEAD_BYTES + 9] ^= 1;
	if (is("committed-lost"))
		log_image[frame_at[bad] + REPRISE_FRAME_HEAD_BYTES + 9] ^= 1;
	if (is("header-rot"))
		log_image[last_frame / SEGMENT_BYTES * SEGMENT_BYTES + 200] ^= 1;
}

/* Everything was submitted; in "torn-frame" its last operations had not completed. */
static void make_record(const char *dir)
{
	uint64_t last = 0, nr;
	char path[4096];
	FILE *file;

	for (uint64_t seq = 1; seq <= NR_OPS; seq++)
		if (counters[seq] > last)
			last = counters[seq];
	nr = is("torn-frame") ? last - 3 * OPS_OF_FRAME : last;
	snprintf(path, sizeof(path), "%s/record", dir);
	file = fopen(path, "w");
	if (!file)
		exit(2);
	fprintf(file, "program seed=42 writer=1 block=1 sectors=%u\n", VOLUME_SECTORS);
	for (uint64_t counter = 1; counter <= last + DEPTH; counter++) {
		if (counter <= last && !(is("never-submitted") && counter == last))
			fprintf(file, "s %llu\n", (unsigned long long)counter);
		if (counter > DEPTH && counter - DEPTH <= nr &&
		    !(is("never-submitted") && counter - DEPTH == last))
			fprintf(file, "c %llu\n", (unsigned long long)counter - DEPTH);
	}
	fprintf(file, "end\n");
	fclose(file);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	fault = argv[2];
	number();
	make_store();
	make_log();
	spoil_log();
	write_file(argv[1], "store", store, sizeof(store));
	write_file(argv[1], "log", log_image, sizeof(log_image));
	make_record(argv[1]);
	return 0;
}
