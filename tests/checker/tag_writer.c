// SPDX-License-Identifier: GPL-2.0
/*
 * tag-writer: runs a program of tag.h against block devices, several
 * operations in flight, O_DIRECT, and tells the world on standard output what
 * it does. One idea: a line is out before what it announces can have an
 * effect, and after what it confirms has happened, so a record kept outside
 * the machine can be held against the replica's content.
 *
 *	program seed=S writer=W block=B sectors=N[,N...]
 *	s COUNTER	is about to be submitted
 *	c COUNTER	has completed
 *	e COUNTER ERRNO	has failed; nothing is submitted afterwards
 *	end		everything that was submitted has its line
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <liburing.h>

#include "tag.h"
#include "tests/load.h"

enum { MAX_DEPTH = 64, RECORD_BYTES = 8192 };

struct slot {
	uint64_t counter;		/* 0: free */
	void *buf;
};

static struct tag_program program = { .seed = 1, .writer = 1, .block_sectors = 1 };
static int fds[TAG_MAX_VOLUMES];
static struct slot slots[MAX_DEPTH];
static unsigned int depth = 16, in_flight;
static uint64_t max_bytes = UINT64_MAX, max_seconds = UINT64_MAX, kib_per_s = UINT64_MAX;
static uint64_t counter, bytes_submitted, start_ns;
static bool failed;
static struct io_uring ring;
static char record[RECORD_BYTES];
static size_t record_used;

static void __attribute__((noreturn)) die(const char *what, int error)
{
	fprintf(stderr, "tag-writer: %s: %s\n", what, strerror(error));
	exit(1);
}

static void record_out(void)
{
	for (size_t done = 0; done < record_used;) {
		ssize_t n = write(STDOUT_FILENO, record + done, record_used - done);

		if (n < 0)
			die("record", errno);
		done += n;
	}
	record_used = 0;
}

static void __attribute__((format(printf, 1, 2))) tell(const char *fmt, ...)
{
	va_list args;

	if (record_used > RECORD_BYTES - 512)
		record_out();
	va_start(args, fmt);
	record_used += vsnprintf(record + record_used, RECORD_BYTES - record_used, fmt, args);
	va_end(args);
}

static void open_devices(char **paths, unsigned int nr)
{
	program.nr_volumes = nr;
	for (unsigned int i = 0; i < nr; i++) {
		uint64_t bytes;

		fds[i] = open(paths[i], O_RDWR | O_DIRECT);
		if (fds[i] < 0 || ioctl(fds[i], BLKGETSIZE64, &bytes))
			die(paths[i], errno);
		program.sectors[i] = bytes / TAG_SECTOR_BYTES;
		if (program.sectors[i] < TAG_MAX_SECTORS)
			die(paths[i], ENOSPC);
	}
}

static struct slot *free_slot(void)
{
	for (unsigned int i = 0; i < depth; i++)
		if (!slots[i].counter)
			return &slots[i];
	return NULL;
}

static void prepare(struct slot *slot)
{
	struct tag_op op = tag_op(&program, ++counter);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	uint32_t bytes = op.sectors * TAG_SECTOR_BYTES;

	slot->counter = counter;
	if (op.kind == TAG_FLUSH) {
		io_uring_prep_fsync(sqe, fds[op.volume], IORING_FSYNC_DATASYNC);
	} else {
		for (uint32_t i = 0; i < op.sectors; i++)
			tag_fill(&program, counter, op.volume, op.sector + i,
				 (char *)slot->buf + i * TAG_SECTOR_BYTES);
		io_uring_prep_write(sqe, fds[op.volume], slot->buf, bytes,
				    op.sector * TAG_SECTOR_BYTES);
		if (op.kind == TAG_WRITE_DSYNC)
			sqe->rw_flags = RWF_DSYNC;
	}
	io_uring_sqe_set_data(sqe, slot);
	bytes_submitted += bytes;
	in_flight++;
	tell("s %llu\n", (unsigned long long)counter);
}

static bool is_over(void)
{
	return failed || bytes_submitted >= max_bytes ||
	       (max_seconds != UINT64_MAX && load_now_ns() - start_ns >= max_seconds * 1000000000ULL);
}

/* Ahead of the rate that was asked for? */
static bool is_early(void)
{
	return kib_per_s != UINT64_MAX &&
	       bytes_submitted / 1024 * 1000 > kib_per_s * ((load_now_ns() - start_ns) / 1000000 + 20);
}

static void finish(struct io_uring_cqe *cqe)
{
	struct slot *slot = io_uring_cqe_get_data(cqe);
	struct tag_op op = tag_op(&program, slot->counter);
	int wanted = op.kind == TAG_FLUSH ? 0 : (int)op.sectors * TAG_SECTOR_BYTES;

	if (cqe->res == wanted) {
		tell("c %llu\n", (unsigned long long)slot->counter);
	} else {
		tell("e %llu %d\n", (unsigned long long)slot->counter,
		     cqe->res < 0 ? -cqe->res : EIO);
		failed = true;
	}
	slot->counter = 0;
	in_flight--;
	io_uring_cqe_seen(&ring, cqe);
}

static void reap(bool wait)
{
	struct __kernel_timespec limit = { .tv_nsec = 5000000 };
	struct io_uring_cqe *cqe;
	int err = wait ? io_uring_wait_cqe(&ring, &cqe) :
			 io_uring_wait_cqe_timeout(&ring, &cqe, &limit);

	if (err == -ETIME || err == -EINTR)
		return;
	if (err)
		die("completion", -err);
	do
		finish(cqe);
	while (!io_uring_peek_cqe(&ring, &cqe));
	record_out();
}

static void run(void)
{
	start_ns = load_now_ns();
	while (in_flight || !is_over()) {
		struct slot *slot;
		bool early = false;

		while (!is_over() && !(early = is_early()) && (slot = free_slot()))
			prepare(slot);
		record_out();
		if (io_uring_submit(&ring) < 0)
			die("submission", errno);
		reap(in_flight && !early);
	}
	tell("end\n");
	record_out();
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", 1, NULL, 's' }, { "writer", 1, NULL, 'w' },
		{ "depth", 1, NULL, 'd' }, { "mib", 1, NULL, 'b' },
		{ "seconds", 1, NULL, 't' }, { "kib-per-s", 1, NULL, 'r' },
		{ "block", 1, NULL, 'k' }, { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t value = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (c) {
		case 's':
			program.seed = value;
			break;
		case 'w':
			program.writer = value;
			break;
		case 'd':
			depth = value;
			break;
		case 'b':
			max_bytes = value << 20;
			break;
		case 't':
			max_seconds = value;
			break;
		case 'r':
			kib_per_s = value;
			break;
		case 'k':
			program.block_sectors = value / TAG_SECTOR_BYTES;
			break;
		default:
			exit(2);
		}
	}
	if (optind == argc || argc - optind > TAG_MAX_VOLUMES || !depth || depth > MAX_DEPTH ||
	    !program.block_sectors) {
		fprintf(stderr, "usage: tag-writer [--seed N] [--writer N] [--depth 1..64] [--mib N] [--seconds N] [--kib-per-s N] [--block BYTES] DEVICE...\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	int err;

	parse(argc, argv);
	open_devices(argv + optind, argc - optind);
	for (unsigned int i = 0; i < depth; i++) {
		slots[i].buf = aligned_alloc(4096, TAG_MAX_SECTORS * TAG_SECTOR_BYTES);
		if (!slots[i].buf)
			die("memory", ENOMEM);
	}
	err = io_uring_queue_init(2 * MAX_DEPTH, &ring, 0);
	if (err)
		die("io_uring", -err);
	tell("program seed=%llu writer=%u block=%u sectors=", (unsigned long long)program.seed,
	     program.writer, program.block_sectors);
	for (unsigned int i = 0; i < program.nr_volumes; i++)
		tell("%s%llu", i ? "," : "", (unsigned long long)program.sectors[i]);
	tell("\n");
	run();
	return failed;
}
