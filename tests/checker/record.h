/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The record that tag-writer left outside the machines, held against the
 * order of the log.
 */
#ifndef CHECKER_RECORD_H
#define CHECKER_RECORD_H

#include "stream.h"
#include "tag.h"

enum mode { MODE_ASYNC, MODE_FLUSH, MODE_MEMORY, MODE_WRITE };

struct record_counts {
	uint64_t submitted, completed, flushed;
	uint64_t due;		/* operations that had to be in the log */
	bool whole;		/* the writer reached its end */
};

/*
 * Check every operation of @stream and the record's promises against each
 * other; complains.
 */
void record_check(const char *path, enum mode mode, const struct stream *stream,
		  struct record_counts *counts);

#endif /* CHECKER_RECORD_H */
