// SPDX-License-Identifier: GPL-2.0
/*
 * Where the agent's words go.  Lines that repeat within ten seconds are
 * counted and the count is added to the next one, so that a peer that cannot
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

bool log_line_admit(struct log_line_memory *memory, const char *line, uint64_t now_ns,
		    unsigned int *hidden)
{
	unsigned int oldest = 0;

	*hidden = 0;
	for (unsigned int i = 0; i < LOG_LINE_REMEMBERED; i++) {
		if (memory->entries[i].line[0] && !strcmp(memory->entries[i].line, line)) {
			if (now_ns - memory->entries[i].written_ns < REPEAT_NS) {
				memory->entries[i].hidden++;
				return false;
			}
			*hidden = memory->entries[i].hidden;
			oldest = i;
			break;
		}
		if (memory->entries[i].written_ns < memory->entries[oldest].written_ns)
			oldest = i;
	}
	memory->entries[oldest].written_ns = now_ns;
	memory->entries[oldest].hidden = 0;
	snprintf(memory->entries[oldest].line, LOG_LINE_BYTES, "%s", line);
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
	snprintf(repeated, sizeof(repeated), hidden ? "%s (and %u times more before)" : "%s", line,
		 hidden);
	if (state.journal)
		write_journal(level, resource, peer, repeated);
	else
		write_stderr(level, repeated);
}
