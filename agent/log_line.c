// SPDX-License-Identifier: GPL-2.0
/*
 * Where the agent's words go.  A line that comes too often within ten seconds
 * is counted and the count is added to the next one, so that a peer that cannot
 * be reached for a week does not fill the disk.
 */
#include "log_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#define REPEAT_NS 10000000000ull

static struct {
	bool debug;
	bool journal;
	struct log_line_memory memory;
} state;

/* JOURNAL_STREAM names the device and inode that stderr was given. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_line_init(bool debug)
{
	state.debug = debug;
	state.journal = stderr_is_journal();
}

/* The entry of @line, or the oldest. */
static unsigned int find_entry(const struct log_line_memory *memory, const char *line)
{
	unsigned int oldest = 0;

	for (unsigned int i = 0; i < LOG_LINE_REMEMBERED; i++) {
		if (!strcmp(memory->entries[i].line, line))
			return i;
		if (memory->entries[i].since_ns < memory->entries[oldest].since_ns)
			oldest = i;
	}
	return oldest;
}

bool log_line_admit(struct log_line_memory *memory, const char *line, uint64_t now_ns,
		    unsigned int *hidden)
{
	unsigned int i = find_entry(memory, line);
	bool known = !strcmp(memory->entries[i].line, line);

	*hidden = 0;
	if (known && now_ns - memory->entries[i].since_ns < REPEAT_NS) {
		if (memory->entries[i].written++ < LOG_LINE_BURST)
			return true;
		memory->entries[i].hidden++;
		return false;
	}
	if (known)
		*hidden = memory->entries[i].hidden;
	memory->entries[i].since_ns = now_ns;
	memory->entries[i].written = 1;
	memory->entries[i].hidden = 0;
	snprintf(memory->entries[i].line, LOG_LINE_BYTES, "%s", line);
	return true;
}

static const char *level_name(int level)
{
	static const char *const names[] = {
		"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug",
	};

	return names[level < 0 ? 0 : level > 7 ? 7 : level];
}

static void write_stderr(int level, const char *line)
{
	struct timespec now;
	char stamp[32];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(stderr, "%s.%03ldZ %s %s\n", stamp, now.tv_nsec / 1000000, level_name(level), line);
}

static void write_journal(int level, const char *resource, const char *peer, const char *line)
{
	char fields[4][LOG_LINE_BYTES + 128];
	struct iovec iov[4];
	int count = 2;

	snprintf(fields[0], sizeof(fields[0]), "MESSAGE=%s", line);
	snprintf(fields[1], sizeof(fields[1]), "PRIORITY=%d", level);
	if (resource)
		snprintf(fields[count++], sizeof(fields[0]), "REPRISE_RESOURCE=%s", resource);
	if (peer)
		snprintf(fields[count++], sizeof(fields[0]), "REPRISE_PEER=%s", peer);
	for (int i = 0; i < count; i++)
		iov[i] = (struct iovec){ fields[i], strlen(fields[i]) };
	if (sd_journal_sendv(iov, count) < 0)
		write_stderr(level, line);
}

static void compose(char *line, const char *resource, const char *peer, const char *text)
{
	int length;

	snprintf(line, LOG_LINE_BYTES, "%s%s%s%s%s%s", resource ? resource : "",
		 resource && peer ? ", " : "", peer ? "peer " : "", peer ? peer : "",
		 resource || peer ? ": " : "", text);
	/* One line stays one line, whatever a peer put into its words. */
	length = strlen(line);
	for (int i = 0; i < length; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
}

void log_line(int level, const char *resource, const char *peer, const char *text)
{
	char line[LOG_LINE_BYTES], repeated[LOG_LINE_BYTES + 64];
	struct timespec now;
	unsigned int hidden;

	if (level >= 7 && !state.debug)
		return;
	compose(line, resource, peer, text);
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!log_line_admit(&state.memory, line, now.tv_sec * 1000000000ull + now.tv_nsec, &hidden))
		return;
	snprintf(repeated, sizeof(repeated), hidden ? "%s (%u more of these were left out)" : "%s", line,
		 hidden);
	if (state.journal)
		write_journal(level, resource, peer, repeated);
	else
		write_stderr(level, repeated);
}
