// SPDX-License-Identifier: GPL-2.0
/*
 * Records in a row, each with its number, round and round over a device; and
 * the check that a device holds exactly what the first K records leave, for
 * some K: that it is a prefix.
 *
 * The one idea: one write at a time, so that the stream's order is the order
 * of the numbers, and every content but a prefix is an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RECORD = 1 << 20, MAX_RECORDS = 1 << 16 };

static const char *device;
static uint64_t records, bytes;
static uint64_t *buffer;

static int fail(const char *what, uint64_t record)
{
	fprintf(stderr, "# stream: %s: record %llu: %s\n", device, (unsigned long long)record, what);
	return 1;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Every word of record @number differs, also from those of other records. */
static uint64_t word(uint64_t number, size_t i)
{
	return (number << 24 | i) * 0x9e3779b97f4a7c15ull;
}

/* Prints the last number written; numbers begin with @number. */
static int write_stream(int fd, uint64_t number, double seconds)
{
	double end = now_s() + seconds;

	for (; now_s() < end; number++) {
		for (size_t i = 0; i < bytes / 8; i++)
			buffer[i] = word(number, i);
		if (pwrite(fd, buffer, bytes, (number - 1) % records * bytes) != (ssize_t)bytes)
			return fail(strerror(errno), number);
	}
	printf("%llu\n", (unsigned long long)number - 1);
	return 0;
}

/* The number of the record in the buffer; 0: empty; -1: none is like this. */
static int64_t identify(uint64_t slot)
{
	uint64_t inverse = 0xf1de83e19937733dull, number = buffer[0] * inverse >> 24;

	if (buffer[0] && (number - 1) % records != slot)
		return -1;
	for (size_t i = 0; i < bytes / 8; i++)
		if (buffer[i] != (buffer[0] ? word(number, i) : 0))
			return -1;
	return buffer[0] ? (int64_t)number : 0;
}

/* Prints K. */
static int check_stream(int fd)
{
	static int64_t found[MAX_RECORDS];
	int64_t last = 0, expected;

	for (uint64_t slot = 0; slot < records; slot++) {
		if (pread(fd, buffer, bytes, slot * bytes) != (ssize_t)bytes)
			return fail(strerror(errno), slot);
		found[slot] = identify(slot);
		if (found[slot] < 0)
			return fail("holds what was never written there", slot);
		if (found[slot] > last)
			last = found[slot];
	}
	for (uint64_t slot = 0; slot < records; slot++) {
		expected = (int64_t)slot < last ? (last - 1 - slot) / records * records + slot + 1 : 0;
		if (found[slot] != expected) {
			fprintf(stderr, "# stream: %s: no prefix: slot %llu holds %lld, the last is %lld\n",
				device, (unsigned long long)slot, (long long)found[slot],
				(long long)last);
			return 1;
		}
	}
	printf("%lld\n", (long long)last);
	return 0;
}

int main(int argc, char **argv)
{
	int writes = argc == 7 && !strcmp(argv[1], "write"), fd;

	if (!writes && (argc != 5 || strcmp(argv[1], "check"))) {
		fprintf(stderr, "usage: stream write DEVICE RECORDS RECORD-BYTES FIRST SECONDS\n"
			"       stream check DEVICE RECORDS RECORD-BYTES\n");
		return 2;
	}
	device = argv[2];
	records = strtoull(argv[3], NULL, 0);
	bytes = strtoull(argv[4], NULL, 0);
	if (!records || records > MAX_RECORDS || bytes < 512 || bytes > MAX_RECORD ||
	    posix_memalign((void **)&buffer, 4096, bytes))
		return 2;
	fd = open(device, (writes ? O_RDWR : O_RDONLY) | O_DIRECT);
	if (fd < 0)
		return fail(strerror(errno), 0);
	return writes ? write_stream(fd, strtoull(argv[5], NULL, 0), strtod(argv[6], NULL)) :
			check_stream(fd);
}
