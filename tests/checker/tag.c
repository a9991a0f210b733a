// SPDX-License-Identifier: GPL-2.0
/*
 * The program and the sectors it writes.
 */
#include "tag.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

#include "crc.h"

#define TAG_MAGIC 0x6761742d65737072ULL

struct tag {
	uint64_t magic;
	uint64_t seed;
	uint64_t counter;
	uint64_t sector;
	uint32_t writer;
	uint32_t volume;
	uint64_t filler[58];
	uint32_t reserved;
	uint32_t crc;
};
_Static_assert(sizeof(struct tag) == TAG_SECTOR_BYTES, "a tag is a sector");

/* splitmix64's finalizer, https://prng.di.unimi.it/splitmix64.c */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t dice(const struct tag_program *program, uint64_t counter, unsigned int nr)
{
	return mix(mix(mix(program->seed) + program->writer) + counter * 8 + nr);
}

struct tag_op tag_op(const struct tag_program *program, uint64_t counter)
{
	struct tag_op op = { .kind = TAG_WRITE };
	uint64_t blocks, area, kind = dice(program, counter, 0) % 32;

	op.volume = dice(program, counter, 1) % program->nr_volumes;
	if (kind < 2) {
		op.kind = kind ? TAG_WRITE_DSYNC : TAG_FLUSH;
		if (!kind)
			return op;
	}
	/* Sizes from one block to 256 KiB, each order of magnitude equally often. */
	area = 1 << dice(program, counter, 2) % 10;
	op.sectors = 1 + dice(program, counter, 3) % area;
	op.sectors += program->block_sectors - 1;
	op.sectors -= op.sectors % program->block_sectors;
	/* A quarter goes to the first mebibyte: overlaps, several in flight. */
	area = program->sectors[op.volume];
	if (dice(program, counter, 4) % 4 == 0 && area > 2048)
		area = 2048;
	blocks = (area - op.sectors) / program->block_sectors + 1;
	op.sector = dice(program, counter, 5) % blocks * program->block_sectors;
	return op;
}

void tag_fill(const struct tag_program *program, uint64_t counter, unsigned int volume,
	      uint64_t sector, void *buf)
{
	struct tag tag = {
		.magic = htole64(TAG_MAGIC),
		.seed = htole64(program->seed),
		.counter = htole64(counter),
		.sector = htole64(sector),
		.writer = htole32(program->writer),
		.volume = htole32(volume),
	};
	uint64_t word = mix(counter << 32 ^ sector);

	for (unsigned int i = 0; i < sizeof(tag.filler) / 8; i++)
		tag.filler[i] = htole64(word += 0x9e3779b97f4a7c15);
	tag.crc = htole32(crc_of(&tag, offsetof(struct tag, crc)));
	memcpy(buf, &tag, sizeof(tag));
}

uint64_t tag_owner(const struct tag_program *program, unsigned int volume, uint64_t sector,
		   const void *buf, const char **why)
{
	struct tag_op op;
	struct tag tag, wanted;
	uint64_t counter;

	memcpy(&tag, buf, sizeof(tag));
	counter = le64toh(tag.counter);
	*why = NULL;
	if (le64toh(tag.magic) != TAG_MAGIC)
		*why = "not written by this program";
	else if (le32toh(tag.crc) != crc_of(&tag, offsetof(struct tag, crc)))
		*why = "checksum of the tag is wrong";
	else if (le64toh(tag.seed) != program->seed || le32toh(tag.writer) != program->writer)
		*why = "of another run";
	else if (le64toh(tag.sector) != sector || le32toh(tag.volume) != volume || !counter)
		*why = "belongs to another place";
	if (*why)
		return 0;
	op = tag_op(program, counter);
	tag_fill(program, counter, volume, sector, &wanted);
	if (op.kind == TAG_FLUSH || op.volume != volume || sector < op.sector ||
	    sector >= op.sector + op.sectors || memcmp(&tag, &wanted, sizeof(tag)))
		*why = "the program never writes this";
	return *why ? 0 : counter;
}
