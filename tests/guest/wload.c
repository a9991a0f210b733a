// SPDX-License-Identifier: GPL-2.0
/*
 * A load that knows what it wrote: threads write, overwrite, zero, discard and
 * flush their own parts of a device, and keep a shadow of what the device must
 * hold, in a file.  "--check" compares a device with the shadow, whenever and
 * on whichever node that is.
 *
 * The one idea: a thread has one operation under way and owns its part, so
 * that the shadow is exact whenever the load has ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/load.h"

enum { MAX_BYTES = 1 << 20, MAX_THREADS = 64, ALIGN = 4096 };

struct worker {
	pthread_t thread;
	uint64_t random, begin, bytes;
	unsigned char *buffer;
};

static struct {
	const char *device;
	int fd;
	unsigned char *shadow;
	uint64_t begin, bytes, block, end_ns, seed;
	atomic_ulong writes, fua, zeroes, discards, flushes;
} load;
static volatile sig_atomic_t stop;

static void die(const char *what, uint64_t offset)
{
	fprintf(stderr, "# wload: %s: %s at %llu: %s\n", load.device, what,
		(unsigned long long)offset, strerror(errno));
	exit(1);
}

static void fill(struct worker *w, size_t bytes)
{
	uint64_t *words = (uint64_t *)w->buffer, v = load_random(&w->random);

	for (size_t i = 0; i < bytes / sizeof(*words); i++)
		words[i] = v += 0x9e3779b97f4a7c15ull;
}

static void do_write(struct worker *w, uint64_t offset, uint64_t bytes, int flags)
{
	struct iovec iov = { w->buffer, bytes };

	fill(w, bytes);
	if (pwritev2(load.fd, &iov, 1, load.begin + offset, flags) != (ssize_t)bytes)
		die("write", load.begin + offset);
	memcpy(load.shadow + offset, w->buffer, bytes);
	atomic_fetch_add(flags ? &load.fua : &load.writes, 1);
}

static void do_zero(uint64_t offset, uint64_t bytes, unsigned long request)
{
	uint64_t range[2] = { load.begin + offset, bytes };

	if (ioctl(load.fd, request, range)) {
		if (errno == EOPNOTSUPP && request == BLKDISCARD)
			return;
		die(request == BLKDISCARD ? "discard" : "write zeroes", range[0]);
	}
	memset(load.shadow + offset, 0, bytes);
	atomic_fetch_add(request == BLKDISCARD ? &load.discards : &load.zeroes, 1);
}

static void step(struct worker *w)
{
	/* sizes: any power of two equally likely, then anything up to it */
	uint64_t blocks = 1 + load_random(&w->random) % (1ull << (load_random(&w->random) % 12));
	uint64_t bytes = blocks * load.block, offset;
	unsigned int what = load_random(&w->random) % 100;

	if (bytes > MAX_BYTES)
		bytes = MAX_BYTES;
	if (bytes > w->bytes)
		bytes = w->bytes;
	offset = w->begin + load_random(&w->random) % ((w->bytes - bytes) / load.block + 1) * load.block;
	if (what < 60)
		do_write(w, offset, bytes, 0);
	else if (what < 75)
		do_write(w, offset, bytes, RWF_DSYNC);
	else if (what < 82)
		do_zero(offset, bytes, BLKZEROOUT);
	else if (what < 90)
		do_zero(offset, bytes, BLKDISCARD);
	else if (fdatasync(load.fd))
		die("flush", 0);
	else
		atomic_fetch_add(&load.flushes, 1);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!stop && load_now_ns() < load.end_ns)
		step(w);
	return NULL;
}

static void open_device(int flags)
{
	load.fd = open(load.device, flags | O_DIRECT | O_CLOEXEC);
	if (load.fd < 0)
		die("open", 0);
}

static void map_shadow(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || (!st.st_size && ftruncate(fd, load.bytes)))
		die(path, 0);
	if (st.st_size && (uint64_t)st.st_size != load.bytes) {
		errno = EINVAL;
		die("shadow of another size", 0);
	}
	load.shadow = mmap(NULL, load.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (load.shadow == MAP_FAILED)
		die(path, 0);
	close(fd);
}

static unsigned char *make_buffer(void)
{
	void *buffer;

	if (posix_memalign(&buffer, ALIGN, MAX_BYTES))
		die("memory", 0);
	return buffer;
}

static int check(void)
{
	unsigned char *buffer = make_buffer();
	uint64_t bad = 0, first = 0;

	open_device(O_RDONLY);
	for (uint64_t at = 0; at < load.bytes; at += MAX_BYTES) {
		if (pread(load.fd, buffer, MAX_BYTES, load.begin + at) != MAX_BYTES)
			die("read", load.begin + at);
		for (uint64_t i = 0; i < MAX_BYTES; i += load.block) {
			if (!memcmp(buffer + i, load.shadow + at + i, load.block))
				continue;
			if (!bad++)
				first = load.begin + at + i;
		}
	}
	if (bad)
		printf("# wload: %s: %llu blocks differ from what was written, the first at %llu\n",
		       load.device, (unsigned long long)bad, (unsigned long long)first);
	return bad ? 1 : 0;
}

static int run(unsigned int threads)
{
	static struct worker workers[MAX_THREADS];
	uint64_t part = load.bytes / threads / load.block * load.block;

	open_device(O_RDWR);
	for (unsigned int i = 0; i < threads; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){ .random = load.seed + i * 0x1234567ull, .begin = i * part,
				      .bytes = part, .buffer = make_buffer() };
		if (pthread_create(&w->thread, NULL, work, w))
			die("thread", 0);
	}
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	printf("# wload: %s seed %llu: %lu writes, %lu FUA, %lu zeroed, %lu discarded, %lu flushes\n",
	       load.device, (unsigned long long)load.seed, load.writes, load.fua, load.zeroes,
	       load.discards, load.flushes);
	return !load.writes || !load.flushes;
}

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

int main(int argc, char **argv)
{
	bool checking = argc == 6 && !strcmp(argv[1], "--check");
	char **a = checking ? argv + 2 : argv + 1;

	if (!checking && argc != 9) {
		fprintf(stderr, "usage: wload DEVICE SHADOW BEGIN-MIB MIB SECONDS SEED THREADS BLOCK\n"
			"       wload --check DEVICE SHADOW BEGIN-MIB MIB\n");
		return 2;
	}
	signal(SIGTERM, on_signal);
	load.device = a[0];
	load.begin = number(a[2]) << 20;
	load.bytes = number(a[3]) << 20;
	load.block = 512;
	map_shadow(a[1]);
	if (checking)
		return check();
	load.end_ns = load_now_ns() + number(a[4]) * 1000000000ull;
	load.seed = number(a[5]);
	load.block = number(a[7]);
	if (!number(a[6]) || number(a[6]) > MAX_THREADS || load.block < 512)
		return 2;
	return run(number(a[6]));
}
