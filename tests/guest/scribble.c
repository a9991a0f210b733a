// SPDX-License-Identifier: GPL-2.0
/*
 * Writes whose pages change while they are in flight, and writes that overlap
 * others in flight.  What the device holds afterwards is up to chance; that
 * all copies hold the same is what the test is about.
 *
 * The one idea: many threads, each with one O_DIRECT write under way, so that
 * as many writes are in flight; others only scribble over their buffers.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/load.h"

enum { MIB = 1 << 20, MAX_THREADS = 64, BLOCK = 512, SCRIBBLE_BYTES = 256 << 10 };

struct writer {
	pthread_t thread;
	uint64_t random;
	unsigned char *buffer;
	unsigned long writes;
};

static const char *device;
static int fd;
static uint64_t end_ns, region;
static volatile int over;

static void put(struct writer *w, uint64_t offset, size_t bytes)
{
	if (pwrite(fd, w->buffer, bytes, offset) != (ssize_t)bytes) {
		fprintf(stderr, "# scribble: %s: %s\n", device, strerror(errno));
		exit(1);
	}
	w->writes++;
}

/* Anywhere in the one mebibyte, any size: most writes meet others. */
static void *overlap(void *arg)
{
	struct writer *w = arg;

	while (load_now_ns() < end_ns) {
		uint64_t blocks = 1 + load_random(&w->random) % 256;
		uint64_t at = load_random(&w->random) % (MIB / BLOCK - blocks + 1);

		memset(w->buffer, load_random(&w->random), blocks * BLOCK);
		memcpy(w->buffer, &w->random, sizeof(w->random));
		put(w, region + at * BLOCK, blocks * BLOCK);
	}
	return NULL;
}

static void *write_scribbled(void *arg)
{
	struct writer *w = arg;

	while (load_now_ns() < end_ns)
		put(w, region + load_random(&w->random) % 4 * SCRIBBLE_BYTES, SCRIBBLE_BYTES);
	return NULL;
}

/* Never waits: whenever a writer sleeps in its write, this one runs. */
static void *scribble(void *arg)
{
	struct writer *writers = arg;

	while (!over) {
		for (int i = 0; i < 4; i++) {
			uint64_t *words = (uint64_t *)writers[i].buffer;

			for (size_t n = 0; n < SCRIBBLE_BYTES / sizeof(*words); n += 8)
				words[n]++;
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct writer writers[MAX_THREADS];
	bool scribbles = argc == 6 && !strcmp(argv[1], "change");
	int count = scribbles ? 4 : MAX_THREADS;
	unsigned long writes = 0;
	pthread_t scribbler;

	if (argc != 6 || (!scribbles && strcmp(argv[1], "overlap"))) {
		fprintf(stderr, "usage: scribble change|overlap DEVICE AT-MIB SECONDS SEED\n");
		return 2;
	}
	device = argv[2];
	fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC);
	region = strtoull(argv[3], NULL, 0) * MIB;
	end_ns = load_now_ns() + strtoull(argv[4], NULL, 0) * 1000000000ull;
	for (int i = 0; i < count; i++) {
		writers[i].random = strtoull(argv[5], NULL, 0) * 1000 + i;
		if (posix_memalign((void **)&writers[i].buffer, 4096, SCRIBBLE_BYTES))
			return 1;
		memset(writers[i].buffer, i, SCRIBBLE_BYTES);
	}
	if (scribbles && pthread_create(&scribbler, NULL, scribble, writers))
		return 1;
	for (int i = 0; i < count; i++)
		if (pthread_create(&writers[i].thread, NULL, scribbles ? write_scribbled : overlap,
				   &writers[i]))
			return 1;
	for (int i = 0; i < count; i++) {
		pthread_join(writers[i].thread, NULL);
		writes += writers[i].writes;
	}
	over = 1;
	if (scribbles)
		pthread_join(scribbler, NULL);
	printf("# scribble: %s: %lu writes\n", argv[1], writes);
	return !writes;
}
