/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Log lines: to the journal with fields under systemd, else to stderr.  A
 * line that repeats too often is counted instead of written again.
 */
#ifndef REPRISE_LOG_LINE_H
#define REPRISE_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LOG_LINE_BYTES = 1024,
	LOG_LINE_REMEMBERED = 16,
	LOG_LINE_BURST = 5,
};

/* Chooses journal or stderr; @debug: level 7 is written, too. */
void log_line_init(bool debug);
/* One line; @level as in syslog, @resource and @peer may be NULL. */
void log_line(int level, const char *resource, const char *peer, const char *text);

/* The lines written last, how often since @since_ns, and how often hidden. */
struct log_line_memory {
	struct {
		char line[LOG_LINE_BYTES];
		uint64_t since_ns;
		unsigned int written;
		unsigned int hidden;
	} entries[LOG_LINE_REMEMBERED];
};

/*
 * Is @line to be written now?  Not, if it was five times within ten seconds.
 * *@hidden: how often it was hidden before.  Apart from clock and output, for
 * the tests.
 */
bool log_line_admit(struct log_line_memory *memory, const char *line, uint64_t now_ns,
		    unsigned int *hidden);

#endif /* REPRISE_LOG_LINE_H */
