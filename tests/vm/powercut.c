// SPDX-License-Identifier: GPL-2.0
/*
 * A disk with a volatile write cache that can lose its power: an nbdkit plugin.
 *
 * A write goes into a list of unflushed writes and into an image of the
 * current content, which serves reads; only a FLUSH carries it to the durable
 * file (or FUA, which here takes the older writes along, for the sake of
 * overlaps; QEMU sends none to a disk with a cache). A power cut decides for each
 * unflushed write whether it reached the medium: wholly, not at all, or torn,
 * some of its sectors only. Decisions are independent, so a later write may
 * survive an earlier one, and they depend on nothing but the seed and the list.
 * Connections that existed before the cut get errors from then on.
 *
 * The cache is finite: beyond cache_mib its oldest writes become durable by
 * themselves, as in a real disk.
 *
 * Parameters: file= (the durable file, of the disk's size), control= (path of
 * the unix socket), sector= (the unit of tearing: 512 or 4096), cache_mib=.
 * The control socket takes one line per connection and answers with one:
 *
 *	cut SEED drop|keep|random	the power cut
 *	settle				all writes become durable (orderly off)
 *	delay MICROSECONDS		of every write and flush from now on
 *	stat				the numbers of unflushed writes and bytes
 */
#define NBDKIT_API_VERSION 2
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

enum {
	SECTOR_DEFAULT = 512,
	CACHE_MIB_DEFAULT = 512,
	COPY_CHUNK = 1 << 20,
	LINE_MAX_BYTES = 256,
};

enum cut_mode { CUT_DROP, CUT_KEEP, CUT_RANDOM };

/* An unflushed write; without data, of zeroes. */
struct entry {
	struct entry *next;
	uint64_t offset;
	uint32_t length;
	char *data;
};

struct cut_report {
	unsigned int writes;
	unsigned int kept;
	unsigned int dropped;
	unsigned int torn;
};

/* A client's connection: dead once the power was cut after it came. */
struct connection {
	unsigned int power_cycle;
};

static const char *file_path;
static const char *control_path;
static uint32_t sector = SECTOR_DEFAULT;
static uint64_t cache_max = (uint64_t)CACHE_MIB_DEFAULT << 20;
static uint64_t size;

/* Everything below is protected by `lock`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int durable_fd = -1;
static int current_fd = -1;
static struct entry *oldest;
static struct entry **newest = &oldest;
static unsigned int unflushed_writes;
static uint64_t unflushed_bytes;
static uint64_t cached_bytes; /* memory held by the list */
static unsigned int power_cycle;
static unsigned int delay_us;
static uint64_t flushes;

static uint64_t mix(uint64_t x)
{
	/* splitmix64's finalizer, https://prng.di.unimi.it/splitmix64.c */
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static int write_range(int fd, const char *data, uint64_t offset, uint64_t len)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		offset += n;
		len -= n;
	}
	return 0;
}

static int read_range(int fd, char *data, uint64_t offset, uint64_t len)
{
	while (len) {
		ssize_t n = pread(fd, data, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		offset += n;
		len -= n;
	}
	return 0;
}

static int zero_range(int fd, uint64_t offset, uint64_t len)
{
	static const char zeroes[65536];

	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
		       len))
		return 0;
	while (len) {
		uint64_t n = len < sizeof(zeroes) ? len : sizeof(zeroes);

		if (write_range(fd, zeroes, offset, n))
			return -1;
		offset += n;
		len -= n;
	}
	return 0;
}

static int copy_range(int to, int from, uint64_t offset, uint64_t len)
{
	static char buf[COPY_CHUNK];

	while (len) {
		uint64_t n = len < sizeof(buf) ? len : sizeof(buf);

		if (read_range(from, buf, offset, n) ||
		    write_range(to, buf, offset, n))
			return -1;
		offset += n;
		len -= n;
	}
	return 0;
}

/* Writes the part [from, from + len) of an entry to the file. */
static int entry_store(int fd, const struct entry *e, uint32_t from,
		       uint32_t len)
{
	if (!e->data)
		return zero_range(fd, e->offset + from, len);
	return write_range(fd, e->data + from, e->offset + from, len);
}

static uint32_t sector_length(const struct entry *e, uint32_t from)
{
	uint32_t to_boundary = sector - (e->offset + from) % sector;

	return to_boundary < e->length - from ? to_boundary : e->length - from;
}

static int entry_append(const void *data, uint64_t offset, uint32_t len)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return -1;
	if (data) {
		e->data = malloc(len);
		if (!e->data) {
			free(e);
			return -1;
		}
		memcpy(e->data, data, len);
		cached_bytes += len;
	}
	e->offset = offset;
	e->length = len;
	*newest = e;
	newest = &e->next;
	unflushed_writes++;
	unflushed_bytes += len;
	cached_bytes += sizeof(*e);
	return 0;
}

static struct entry *entry_pop(void)
{
	struct entry *e = oldest;

	if (!e)
		return NULL;
	oldest = e->next;
	if (!oldest)
		newest = &oldest;
	unflushed_writes--;
	unflushed_bytes -= e->length;
	cached_bytes -= sizeof(*e) + (e->data ? e->length : 0);
	return e;
}

static void entry_free(struct entry *e)
{
	free(e->data);
	free(e);
}

/* Makes the oldest writes durable until at most `keep_bytes` are cached. */
static int destage(uint64_t keep_bytes)
{
	while (oldest && cached_bytes > keep_bytes) {
		struct entry *e = entry_pop();
		int err = entry_store(durable_fd, e, 0, e->length);

		entry_free(e);
		if (err)
			return -1;
	}
	return 0;
}

/* A torn write: each sector by itself, or the head up to some sector. */
static int entry_tear(const struct entry *e, uint64_t seed)
{
	uint32_t sectors = (e->length + sector - 1) / sector;
	uint32_t head = mix(seed ^ 1) % (sectors + 1);
	bool scattered = mix(seed ^ 2) & 1;
	uint32_t from = 0;
	uint32_t i;

	for (i = 0; from < e->length; i++) {
		uint32_t len = sector_length(e, from);
		bool keep = scattered ? mix(seed + 16 + i) & 1 : i < head;

		if (keep && entry_store(durable_fd, e, from, len))
			return -1;
		from += len;
	}
	return 0;
}

static int entry_cut(const struct entry *e, uint64_t seed, enum cut_mode mode,
		     struct cut_report *report)
{
	unsigned int dice = mix(seed) % 3;

	report->writes++;
	if (mode == CUT_KEEP || (mode == CUT_RANDOM && dice == 0)) {
		report->kept++;
		return entry_store(durable_fd, e, 0, e->length);
	}
	if (mode == CUT_DROP || dice == 1) {
		report->dropped++;
		return 0;
	}
	report->torn++;
	return entry_tear(e, seed);
}

static int power_cut(uint64_t seed, enum cut_mode mode,
		     struct cut_report *report)
{
	struct entry *list = oldest;
	struct entry *e;
	int err = 0;

	memset(report, 0, sizeof(*report));
	power_cycle++;
	for (e = list; e; e = e->next)
		err |= entry_cut(e, mix(seed) + report->writes, mode, report);
	/* All entries first: they overlap, and the file is now what counts. */
	while ((e = entry_pop())) {
		err |= copy_range(current_fd, durable_fd, e->offset, e->length);
		entry_free(e);
	}
	return err;
}

static void control_cut(const char *line, char *answer, size_t len)
{
	static const char *const modes[] = { "drop", "keep", "random" };
	struct cut_report r;
	char word[16];
	uint64_t seed;
	unsigned int i;

	if (sscanf(line, "cut %" SCNu64 " %15s", &seed, word) != 2) {
		snprintf(answer, len, "error: cut SEED drop|keep|random\n");
		return;
	}
	for (i = 0; i < 3; i++)
		if (!strcmp(word, modes[i]))
			break;
	if (i == 3)
		snprintf(answer, len, "error: unknown mode %s\n", word);
	else if (power_cut(seed, i, &r))
		snprintf(answer, len, "error: %s\n", strerror(errno));
	else
		snprintf(answer, len,
			 "ok unflushed %u kept %u dropped %u torn %u\n",
			 r.writes, r.kept, r.dropped, r.torn);
}

static void control_line(const char *line, char *answer, size_t len)
{
	unsigned int us;

	pthread_mutex_lock(&lock);
	if (!strncmp(line, "cut ", 4)) {
		control_cut(line, answer, len);
	} else if (!strcmp(line, "settle")) {
		snprintf(answer, len, destage(0) ? "error: %s\n" : "ok\n",
			 strerror(errno));
	} else if (sscanf(line, "delay %u", &us) == 1) {
		delay_us = us;
		snprintf(answer, len, "ok\n");
	} else if (!strcmp(line, "stat")) {
		snprintf(answer, len,
			 "ok unflushed %u bytes %" PRIu64 " flushes %" PRIu64
			 " cycle %u\n",
			 unflushed_writes, unflushed_bytes, flushes,
			 power_cycle);
	} else {
		snprintf(answer, len, "error: unknown command\n");
	}
	pthread_mutex_unlock(&lock);
}

static void *control_loop(void *arg)
{
	int listener = (int)(intptr_t)arg;

	for (;;) {
		char line[LINE_MAX_BYTES] = "";
		char answer[LINE_MAX_BYTES] = "";
		int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ssize_t n;

		if (sock < 0)
			continue;
		n = read(sock, line, sizeof(line) - 1);
		if (n > 0) {
			line[strcspn(line, "\n")] = 0;
			control_line(line, answer, sizeof(answer));
			(void)!write(sock, answer, strlen(answer));
		}
		close(sock);
	}
	return NULL;
}

static int control_start(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	pthread_t thread;
	int fd;

	if (strlen(control_path) >= sizeof(addr.sun_path)) {
		nbdkit_error("control: path too long");
		return -1;
	}
	strcpy(addr.sun_path, control_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(fd, 8)) {
		nbdkit_error("control socket %s: %m", control_path);
		return -1;
	}
	if (pthread_create(&thread, NULL, control_loop, (void *)(intptr_t)fd)) {
		nbdkit_error("control thread: %m");
		return -1;
	}
	pthread_detach(thread);
	return 0;
}

static int pc_config(const char *key, const char *value)
{
	uint32_t mib;

	if (!strcmp(key, "file")) {
		file_path = value;
		return 0;
	}
	if (!strcmp(key, "control")) {
		control_path = value;
		return 0;
	}
	if (!strcmp(key, "sector"))
		return nbdkit_parse_uint32_t("sector", value, &sector);
	if (!strcmp(key, "cache_mib")) {
		if (nbdkit_parse_uint32_t("cache_mib", value, &mib))
			return -1;
		cache_max = (uint64_t)mib << 20;
		return 0;
	}
	nbdkit_error("unknown parameter %s", key);
	return -1;
}

static int pc_config_complete(void)
{
	if (!file_path || !control_path) {
		nbdkit_error("file= and control= are required");
		return -1;
	}
	if (sector != 512 && sector != 4096) {
		nbdkit_error("sector= is 512 or 4096");
		return -1;
	}
	return 0;
}

/* Copies what is there of the file, hole by hole, into the current image. */
static int image_load(void)
{
	off_t data = 0;
	off_t hole;

	while ((data = lseek(durable_fd, data, SEEK_DATA)) >= 0) {
		hole = lseek(durable_fd, data, SEEK_HOLE);
		if (hole < 0 ||
		    copy_range(current_fd, durable_fd, data, hole - data))
			return -1;
		data = hole;
	}
	return errno == ENXIO ? 0 : -1;
}

static int pc_get_ready(void)
{
	struct stat st;

	durable_fd = open(file_path, O_RDWR | O_CLOEXEC);
	if (durable_fd < 0 || fstat(durable_fd, &st)) {
		nbdkit_error("%s: %m", file_path);
		return -1;
	}
	size = st.st_size;
	current_fd = memfd_create("powercut", MFD_CLOEXEC);
	if (current_fd < 0 || ftruncate(current_fd, size) || image_load()) {
		nbdkit_error("cannot load %s: %m", file_path);
		return -1;
	}
	return 0;
}

static int pc_after_fork(void)
{
	return control_start();
}

static void *pc_open(int readonly)
{
	struct connection *c = calloc(1, sizeof(*c));

	(void)readonly;
	if (!c)
		return NULL;
	pthread_mutex_lock(&lock);
	c->power_cycle = power_cycle;
	pthread_mutex_unlock(&lock);
	return c;
}

static void pc_close(void *handle)
{
	free(handle);
}

static int64_t pc_get_size(void *handle)
{
	(void)handle;
	return size;
}

static int pc_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
			 uint32_t *maximum)
{
	(void)handle;
	*minimum = 512;
	*preferred = 4096;
	*maximum = 32 << 20;
	return 0;
}

static int pc_yes(void *handle)
{
	(void)handle;
	return 1;
}

static int pc_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

static void wait_delay(void)
{
	struct timespec ts;
	unsigned int us;

	pthread_mutex_lock(&lock);
	us = delay_us;
	pthread_mutex_unlock(&lock);
	if (!us)
		return;
	ts.tv_sec = us / 1000000;
	ts.tv_nsec = us % 1000000 * 1000L;
	nanosleep(&ts, NULL);
}

/* Takes the lock for a request; false: the power was cut meanwhile. */
static bool begin(const struct connection *c)
{
	pthread_mutex_lock(&lock);
	if (c->power_cycle == power_cycle)
		return true;
	pthread_mutex_unlock(&lock);
	nbdkit_set_error(ESHUTDOWN);
	return false;
}

static int end(int err)
{
	if (err)
		nbdkit_error("%s: %m", file_path);
	pthread_mutex_unlock(&lock);
	return err ? -1 : 0;
}

static int pc_pread(void *handle, void *buf, uint32_t count, uint64_t offset,
		    uint32_t flags)
{
	(void)flags;
	if (!begin(handle))
		return -1;
	return end(read_range(current_fd, buf, offset, count));
}

static int pc_pwrite(void *handle, const void *buf, uint32_t count,
		     uint64_t offset, uint32_t flags)
{
	int err;

	wait_delay();
	if (!begin(handle))
		return -1;
	err = write_range(current_fd, buf, offset, count);
	/*
	 * FUA concerns this write alone, but it may overlap older ones of the
	 * list, which would be stored after it: those go first.
	 */
	if (!err && (flags & NBDKIT_FLAG_FUA))
		err = destage(0) || write_range(durable_fd, buf, offset, count);
	else if (!err)
		err = entry_append(buf, offset, count) || destage(cache_max);
	return end(err);
}

static int pc_zero(void *handle, uint32_t count, uint64_t offset,
		   uint32_t flags)
{
	int err;

	wait_delay();
	if (!begin(handle))
		return -1;
	err = zero_range(current_fd, offset, count);
	if (!err && (flags & NBDKIT_FLAG_FUA))
		err = destage(0) || zero_range(durable_fd, offset, count);
	else if (!err)
		err = entry_append(NULL, offset, count) || destage(cache_max);
	return end(err);
}

/* A trimmed range reads as zeroes, from then on or after the next flush. */
static int pc_trim(void *handle, uint32_t count, uint64_t offset,
		   uint32_t flags)
{
	return pc_zero(handle, count, offset, flags);
}

static int pc_flush(void *handle, uint32_t flags)
{
	(void)flags;
	wait_delay();
	if (!begin(handle))
		return -1;
	flushes++;
	return end(destage(0));
}

static struct nbdkit_plugin plugin = {
	.name = "powercut",
	.description =
		"a disk with a volatile write cache that can lose its power",
	.config = pc_config,
	.config_complete = pc_config_complete,
	.config_help = "file=, control=, sector=512|4096, cache_mib=",
	.get_ready = pc_get_ready,
	.after_fork = pc_after_fork,
	.open = pc_open,
	.close = pc_close,
	.get_size = pc_get_size,
	.block_size = pc_block_size,
	.can_flush = pc_yes,
	.can_trim = pc_yes,
	.can_zero = pc_yes,
	.can_multi_conn = pc_yes,
	.can_fua = pc_can_fua,
	.pread = pc_pread,
	.pwrite = pc_pwrite,
	.zero = pc_zero,
	.trim = pc_trim,
	.flush = pc_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
