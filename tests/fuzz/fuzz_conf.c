// SPDX-License-Identifier: GPL-2.0
/*
 * A configuration file.  Refused, it has changed nothing and the complaint
 * names the file and gives away no secret; accepted, everything is within its
 * limits, two readings mean the same, and the description that nodes compare
 * holds no secret either.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/conf.h"
#include "input.h"

enum { DESCRIPTION_BYTES = 16384, SECRET_DIGITS = 12 };

static char dir[32] = "/dev/shm/fuzz_conf.XXXXXX", path[64];

static void clean_up(void)
{
	unlink(path);
	rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/pg.conf", dir);
	atexit(clean_up);
	return 0;
}

static void write_file(const uint8_t *data, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	must(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
	close(fd);
}

/* Is a run of hexadecimal digits of the text's key in @text?  A long one is no chance. */
static bool leaks(const uint8_t *key, const char *text)
{
	char digits[2 * CONF_KEY_BYTES + 1], part[SECRET_DIGITS + 1];

	for (unsigned int i = 0; i < CONF_KEY_BYTES; i++)
		snprintf(digits + 2 * i, 3, "%02x", key[i]);
	for (unsigned int i = 0; i + SECRET_DIGITS < sizeof(digits); i++) {
		memcpy(part, digits + i, SECRET_DIGITS);
		part[SECRET_DIGITS] = '\0';
		if (strspn(part, "0") < 4 && strcasestr(text, part))
			return true;
	}
	return false;
}

/* The key of the seeds: whatever surrounds it, it is never quoted. */
static void check_secret(const uint8_t *data, size_t bytes, const char *error)
{
	static const char digits[] = "00112233445566778899aabbccddeeff";

	if (memmem(data, bytes, digits, sizeof(digits) - 1))
		must(!strstr(error, "112233445566"));
}

static void check_nodes(const struct conf *conf)
{
	for (unsigned int i = 0; i < conf->nr_nodes; i++) {
		const struct conf_node *node = &conf->nodes[i];

		must(node->id >= 1 && node->id <= REPRISE_MAX_NODES);
		must(!i || conf->nodes[i - 1].id < node->id);
		must(conf_node_by_id(conf, node->id) == node);
		must(conf_node_by_name(conf, node->name) == node);
		must(node->nr_volumes == conf->nr_volumes && node->log[0] == '/');
		for (unsigned int v = 0; v < node->nr_volumes; v++)
			must(node->volumes[v].number == conf->volumes[v].number &&
			     node->volumes[v].device[0] == '/');
	}
}

static void check_values(const struct conf *conf)
{
	must(!strcmp(conf->name, "pg") && !strcmp(conf->path, path));
	must(conf->nr_volumes >= 1 && conf->nr_volumes <= REPRISE_MAX_VOLUMES);
	must(conf->nr_nodes >= 2 && conf->nr_nodes <= REPRISE_MAX_NODES);
	must(conf->segment_bytes <= conf->log_bytes / 4);
	must(conf->log_bytes % conf->segment_bytes == 0);
	must(conf->unapplied_bytes <= conf->log_bytes / 2);
	must(conf->logical_block_bytes == 512 || conf->logical_block_bytes == 4096);
	for (unsigned int i = 1; i < conf->nr_volumes; i++)
		must(conf->volumes[i - 1].number < conf->volumes[i].number);
	check_nodes(conf);
}

static void check_description(const struct conf *conf)
{
	static char text[DESCRIPTION_BYTES], other[DESCRIPTION_BYTES], words[512];
	static struct conf again;
	char error[512];
	uint8_t digest[2][32];
	int length = conf_describe(conf, text, sizeof(text));

	must(length > 0 && length < (int)sizeof(text) && !leaks(conf->key, text));
	must(!conf_load(path, &again, error, sizeof(error)));
	must(conf_describe(&again, other, sizeof(other)) == length && !strcmp(text, other));
	conf_digest(conf, digest[0]);
	conf_digest(&again, digest[1]);
	must(!memcmp(digest[0], digest[1], sizeof(digest[0])));
	must(!conf_difference(text, other, "alpha", "beta", words, sizeof(words)));
	again.timeout_ms ^= 1;
	conf_describe(&again, other, sizeof(other));
	must(conf_difference(text, other, "alpha", "beta", words, sizeof(words)) && words[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct conf conf;
	char error[512] = "";
	int err;

	write_file(data, bytes);
	fuzz_poison(&conf, sizeof(conf));
	err = conf_load(path, &conf, error, sizeof(error));
	if (err) {
		must(err == -EINVAL && fuzz_untouched(&conf, sizeof(conf)));
		must(!strncmp(error, path, strlen(path)) && memchr(error, 0, sizeof(error)));
		check_secret(data, bytes, error);
		return 0;
	}
	check_values(&conf);
	check_description(&conf);
	return 0;
}

/* --- mutation ----------------------------------------------------------------- */

static const char *const sizes[] = {
	"\"4KiB\"", "\"1MiB\"", "\"8MiB\"", "\"32MiB\"", "\"64MiB\"", "\"128MiB\"", "\"256MiB\"",
	"\"512MiB\"", "\"1GiB\"", "\"4GiB\"", "\"1024GiB\"",
};

static const char *const values[] = {
	"write", "memory", "flush", "async", "alone", "freeze", "hook", "\"6s\"", "\"100ms\"",
	"\"600s\"", "0", "1", "2", "16", "17", "-1", "512", "4096", "\"/dev/vdb\"", "\"relative\"",
	"\"10.0.0.1\"", "\"10.0.0.1:7\"", "\"[::1]\"", "\"[fe80::1]:65536\"", "\"\"",
};

/* Where the value after the equals sign at @sign begins and ends. */
static void find_value(const uint8_t *data, size_t bytes, size_t sign, size_t *start, size_t *end)
{
	for (*start = sign + 1; *start < bytes && data[*start] == ' '; ++*start)
		;
	for (*end = *start; *end < bytes && !memchr("\n }", data[*end], 3); ++*end)
		;
}

/* A size for a size, mostly. */
static const char *other_value(struct fuzz_random *random, const uint8_t *old, size_t bytes)
{
	if (memmem(old, bytes, "iB", 2) && fuzz_random_below(random, 8))
		return sizes[fuzz_random_below(random, sizeof(sizes) / sizeof(sizes[0]))];
	return values[fuzz_random_below(random, sizeof(values) / sizeof(values[0]))];
}

/* Another value for one setting; 0: there is none, or no room. */
static size_t mutate_value(uint8_t *data, size_t bytes, size_t max, struct fuzz_random *random)
{
	size_t from = bytes ? fuzz_random_below(random, bytes) : 0;
	const uint8_t *sign = memchr(data + from, '=', bytes - from);
	size_t start, end, length;
	const char *value;

	if (!sign)
		return 0;
	find_value(data, bytes, sign - data, &start, &end);
	value = other_value(random, data + start, end - start);
	length = strlen(value);
	if (bytes - (end - start) + length > max)
		return 0;
	memmove(data + start + length, data + end, bytes - end);
	memcpy(data + start, value, length);
	return bytes - (end - start) + length;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max, unsigned int seed)
{
	struct fuzz_random random = { seed };
	bool changed = false;

	for (unsigned int n = fuzz_random_below(&random, 4); n; n--) {
		size_t made = mutate_value(data, bytes, max, &random);

		changed |= made;
		bytes = made ? made : bytes;
	}
	return changed ? bytes : LLVMFuzzerMutate(data, bytes, max);
}
