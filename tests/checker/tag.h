/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The load that checks itself: a program of writes and flushes that follows
 * from its seed alone, operation by operation, numbered from 1 (the counter).
 * Every sector written says which operation of which program it belongs to,
 * so that the checker knows from a sector what it must hold and who wrote it,
 * and from the record of the counters what had been promised.
 */
#ifndef CHECKER_TAG_H
#define CHECKER_TAG_H

#include <stdbool.h>
#include <stdint.h>

enum {
	TAG_SECTOR_BYTES = 512,
	TAG_MAX_SECTORS = 512,		/* of one write: 256 KiB */
	TAG_MAX_VOLUMES = 16,
};

struct tag_program {
	uint64_t seed;
	uint32_t writer;
	uint32_t block_sectors;		/* everything is a multiple of it */
	unsigned int nr_volumes;
	uint64_t sectors[TAG_MAX_VOLUMES];
};

enum tag_kind {
	TAG_WRITE,
	TAG_WRITE_DSYNC,		/* durable once it has completed */
	TAG_FLUSH,			/* fdatasync of one volume */
};

struct tag_op {
	enum tag_kind kind;
	unsigned int volume;
	uint64_t sector;
	uint32_t sectors;
};

/* The program's operation number @counter. */
struct tag_op tag_op(const struct tag_program *program, uint64_t counter);
/* What it writes at @sector. */
void tag_fill(const struct tag_program *program, uint64_t counter, unsigned int volume,
	      uint64_t sector, void *buf);
/*
 * Whose the 512 bytes at @buf are: the counter, or 0 if no operation of the
 * program writes them to this place; then @why says what is wrong.
 */
uint64_t tag_owner(const struct tag_program *program, unsigned int volume, uint64_t sector,
		   const void *buf, const char **why);

#endif /* CHECKER_TAG_H */
