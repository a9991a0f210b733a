// SPDX-License-Identifier: GPL-2.0
/*
 * Which operation of the writer's program stands at which seq, and whether
 * that keeps what the record says was promised:
 *
 *  - every sector in the log is written by the program, at that place, by one
 *    operation that was submitted, once;
 *  - what completed before another operation was submitted stands before it;
 *  - what completed (mode write), completed with DSYNC, or completed before a
 *    flush that completed was submitted, is in the log, whole.
 */
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One operation of the program. */
struct entry {
	uint64_t first_seq, last_seq;	/* 0: not in the log */
	uint64_t due_at_submission;	/* flushes: completed operations before it */
	uint32_t sectors;		/* in the log */
	bool submitted, completed;
};

struct check {
	const struct stream *stream;
	struct tag_program program;
	struct entry *entries;		/* by counter */
	uint64_t nr;
	uint64_t *completed;		/* counters of writes, in the record's order */
	uint64_t nr_completed;
	uint64_t nr_due;		/* of those, checked to be in the log */
	uint64_t top_seq;		/* of what has completed; UINT64_MAX: is not in the log */
	uint64_t top_counter;
	struct record_counts *counts;
};

static struct entry *entry(struct check *check, uint64_t counter)
{
	if (counter >= check->nr) {
		uint64_t nr = check->nr ? check->nr : 4096;

		while (nr <= counter)
			nr *= 2;
		check->entries = realloc(check->entries, nr * sizeof(*check->entries));
		check->completed = realloc(check->completed, nr * sizeof(*check->completed));
		if (!check->entries || !check->completed)
			abort();
		memset(check->entries + check->nr, 0,
		       (nr - check->nr) * sizeof(*check->entries));
		check->nr = nr;
	}
	return &check->entries[counter];
}

static bool parse_program(struct tag_program *program, char *line)
{
	unsigned long long seed;
	int used = 0;
	char *word;

	if (sscanf(line, "program seed=%llu writer=%u block=%u sectors=%n", &seed,
		   &program->writer, &program->block_sectors, &used) < 3 || !used)
		return false;
	program->seed = seed;
	for (word = strtok(line + used, ",\n"); word; word = strtok(NULL, ",\n")) {
		if (program->nr_volumes == TAG_MAX_VOLUMES)
			return false;
		program->sectors[program->nr_volumes++] = strtoull(word, NULL, 10);
	}
	return program->nr_volumes && program->block_sectors;
}

/* Whose operation is that of @seq? Every sector of it must agree. */
static uint64_t owner_of(struct check *check, uint64_t seq)
{
	const struct op *op = &check->stream->ops[seq - 1];
	uint64_t counter = 0, owner;
	const char *why;

	for (uint32_t i = 0; i < op->sectors; i++) {
		owner = tag_owner(&check->program, op->volume, op->sector + i,
				  op->payload + i * TAG_SECTOR_BYTES, &why);
		if (owner && (!counter || owner == counter)) {
			counter = owner;
			continue;
		}
		complain("seq %llu, sector %llu: %s", (unsigned long long)seq,
			 (unsigned long long)op->sector + i,
			 owner ? "several writes in one operation" : why);
		return 0;
	}
	return counter;
}

static void match_log(struct check *check)
{
	for (uint64_t seq = 1; seq <= check->stream->tip; seq++) {
		const struct op *op = &check->stream->ops[seq - 1];
		struct entry *e;
		uint64_t counter;

		if (op->type != REPRISE_OP_WRITE) {
			complain("seq %llu is no write", (unsigned long long)seq);
			continue;
		}
		counter = owner_of(check, seq);
		if (!counter)
			continue;
		e = entry(check, counter);
		if (!e->first_seq)
			e->first_seq = seq;
		e->last_seq = seq;
		e->sectors += op->sectors;
		if (e->sectors > tag_op(&check->program, counter).sectors)
			complain("write %llu is in the log more than once, again at seq %llu",
				 (unsigned long long)counter, (unsigned long long)seq);
	}
}

static bool is_whole(struct check *check, uint64_t counter)
{
	return entry(check, counter)->sectors == tag_op(&check->program, counter).sectors;
}

static void must_be_there(struct check *check, uint64_t counter, const char *promise)
{
	check->counts->due++;
	if (!is_whole(check, counter))
		complain("write %llu %s, but is not in the log, which ends at %llu",
			 (unsigned long long)counter, promise,
			 (unsigned long long)check->stream->tip);
}

static void note_submission(struct check *check, uint64_t counter)
{
	struct entry *e = entry(check, counter);

	e->submitted = true;
	e->due_at_submission = check->nr_completed;
	check->counts->submitted++;
	if (e->first_seq && e->first_seq <= check->top_seq)
		complain("write %llu stands at seq %llu, but was submitted when %llu had completed, which %s",
			 (unsigned long long)counter, (unsigned long long)e->first_seq,
			 (unsigned long long)check->top_counter,
			 check->top_seq == UINT64_MAX ? "is missing" : "stands behind it");
}

static void flush_completed(struct check *check, const struct entry *flush)
{
	check->counts->flushed++;
	for (; check->nr_due < flush->due_at_submission; check->nr_due++)
		must_be_there(check, check->completed[check->nr_due], "was flushed");
}

static void note_completion(struct check *check, uint64_t counter, enum mode mode)
{
	struct tag_op op = tag_op(&check->program, counter);
	struct entry *e = entry(check, counter);
	uint64_t seq;

	if (!e->submitted || e->completed)
		complain("the record is broken: completion of %llu", (unsigned long long)counter);
	e->completed = true;
	check->counts->completed++;
	if (op.kind == TAG_FLUSH) {
		if (mode != MODE_ASYNC)
			flush_completed(check, e);
		return;
	}
	check->completed[check->nr_completed++] = counter;
	seq = is_whole(check, counter) ? e->last_seq : UINT64_MAX;
	if (seq > check->top_seq) {
		check->top_seq = seq;
		check->top_counter = counter;
	}
	if (mode == MODE_WRITE)
		must_be_there(check, counter, "had completed");
	else if (op.kind == TAG_WRITE_DSYNC && mode != MODE_ASYNC)
		must_be_there(check, counter, "had completed with DSYNC");
}

static void read_lines(struct check *check, FILE *file, enum mode mode)
{
	unsigned long long counter;
	char line[1024], what;

	while (fgets(line, sizeof(line), file)) {
		if (!strcmp(line, "end\n"))
			check->counts->whole = true;
		/* A line that the guest's death cut short says nothing. */
		if (!strchr(line, '\n') || sscanf(line, "%c %llu", &what, &counter) != 2)
			continue;
		if (what == 's')
			note_submission(check, counter);
		else if (what == 'c')
			note_completion(check, counter, mode);
	}
}

/* If the record is whole, nobody else may have written. */
static void check_submitted(struct check *check)
{
	for (uint64_t counter = 1; counter < check->nr; counter++)
		if (check->entries[counter].first_seq && !check->entries[counter].submitted)
			complain("write %llu is in the log, but was never submitted",
				 (unsigned long long)counter);
}

void record_check(const char *path, enum mode mode, const struct stream *stream,
		  struct record_counts *counts)
{
	struct check check = { .stream = stream, .counts = counts };
	FILE *file = fopen(path, "r");
	char line[1024];

	*counts = (struct record_counts){ 0 };
	if (!file || !fgets(line, sizeof(line), file) || !parse_program(&check.program, line)) {
		complain("%s: not a record of tag-writer", path);
		return;
	}
	match_log(&check);
	read_lines(&check, file, mode);
	if (counts->whole)
		check_submitted(&check);
	free(check.entries);
	free(check.completed);
	fclose(file);
}
