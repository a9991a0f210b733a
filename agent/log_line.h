/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Log lines: to the journal with fields under systemd, else to stderr.  A
 * line that repeats is counted instead of written again.
 */
#ifndef REPRISE_LOG_LINE_H
#define REPRISE_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_LINE_BYTES = 1024 };

/* @debug: level 7 is written, too.  Chooses journal or stderr. */
void log_line_init(bool debug);
/* One line; @level as in syslog, @resource and @peer may be NULL. */
void log_line(int level, const char *resource, const char *peer, const char *text);
/* Write what was only counted (at the end). */
void log_line_flush(void);

/**
 * struct log_line_repeat - the decision, apart from clock and output
 * @last: the line that was written last
 * @hidden: how often it came again since
 */
struct log_line_repeat {
	char last[LOG_LINE_BYTES];
	uint64_t last_ns;
	unsigned int hidden;
};

/* Is @line to be written now?  *@hidden: repetitions of the previous line to report first. */
bool log_line_admit(struct log_line_repeat *repeat, const char *line, uint64_t now_ns,
		    unsigned int *hidden);

#endif /* REPRISE_LOG_LINE_H */
