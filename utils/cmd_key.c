// SPDX-License-Identifier: GPL-2.0
/*
 * key rotate: the key becomes the previous key, which is still accepted, and
 * a fresh one takes its place.  The file is rewritten line by line, so that
 * comments stay; the new one is read back by the agent's reader before it
 * replaces the old one, atomically.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "resources.h"
#include "say.h"

struct rotation {
	struct conf conf; /* as it is */
	uint8_t key[CONF_KEY_BYTES]; /* the fresh one */
	char dir[512]; /* private, inside of the configuration's */
	char path[640]; /* of the new file, in it */
};

/* Does @line set @name? */
static bool sets(const char *line, const char *name)
{
	size_t length = strlen(name);

	line += strspn(line, " \t");
	if (strncmp(line, name, length))
		return false;
	line += length;
	return line[strspn(line, " \t")] == '=';
}

static void write_keys(FILE *out, const struct rotation *r)
{
	char hex[2 * CONF_KEY_BYTES + 1];

	fprintf(out, "key = \"%s\"\n", say_hex(r->key, CONF_KEY_BYTES, hex));
	fprintf(out, "previous-key = \"%s\"\n", say_hex(r->conf.key, CONF_KEY_BYTES, hex));
	explicit_bzero(hex, sizeof(hex));
}

static bool copy_lines(FILE *in, FILE *out, const struct rotation *r)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, in) > 0) {
		if (sets(line, "key"))
			write_keys(out, r);
		else if (!sets(line, "previous-key"))
			fputs(line, out);
	}
	if (line)
		explicit_bzero(line, room);
	free(line);
	return !ferror(in) && !fflush(out) && !fsync(fileno(out));
}

static bool write_new(const struct rotation *r)
{
	int fd = open(r->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w"), *in = fopen(r->conf.path, "re");
	bool good = in && out && copy_lines(in, out, r);

	if (!good)
		say_error("io", NULL, "%s cannot be written: %s", r->path, strerror(errno));
	if (in)
		fclose(in);
	if (out)
		fclose(out);
	return good;
}

/* Whatever the old file looked like: the new one must say exactly this. */
static bool check_new(const struct rotation *r)
{
	struct conf conf;
	char error[512];
	uint8_t before[32], after[32];

	if (!conf_load(r->path, &conf, error, sizeof(error))) {
		conf_digest(&r->conf, before);
		conf_digest(&conf, after);
		if (!memcmp(conf.key, r->key, sizeof(conf.key)) && conf.has_previous_key &&
		    !memcmp(conf.previous_key, r->conf.key, sizeof(conf.key)) &&
		    !memcmp(before, after, sizeof(before)))
			return true;
	}
	say_error(
		"invalid", "put 'key' and 'previous-key' on lines of their own, then try again",
		"%s is written in a way that cannot be changed automatically; nothing was changed",
		r->conf.path);
	return false;
}

static bool replace(const struct rotation *r, const char *config_dir)
{
	struct stat st;
	int fd;

	/* A file that belongs to somebody else goes on doing so. */
	if (!stat(r->conf.path, &st) && chown(r->path, st.st_uid, st.st_gid)) {
		say_error("io", NULL, "%s: owner cannot be kept: %s", r->path, strerror(errno));
		return false;
	}
	if (rename(r->path, r->conf.path)) {
		say_error("io", NULL, "%s cannot be replaced: %s", r->conf.path, strerror(errno));
		return false;
	}
	fd = open(config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	return true;
}

static bool rotate(struct rotation *r, const struct options *options)
{
	bool good;

	if (RAND_bytes(r->key, sizeof(r->key)) != 1) {
		say_error("io", NULL, "the system gives no random numbers");
		return false;
	}
	snprintf(r->dir, sizeof(r->dir), "%s/.rotate.XXXXXX", options->config_dir);
	if (!mkdtemp(r->dir)) {
		say_error("io", NULL, "%s cannot be written: %s", options->config_dir,
			  strerror(errno));
		return false;
	}
	snprintf(r->path, sizeof(r->path), "%s/%s.conf", r->dir, r->conf.name);
	good = write_new(r) && check_new(r) && replace(r, options->config_dir);
	unlink(r->path);
	rmdir(r->dir);
	return good;
}

int cmd_key(const struct options *options, const struct command *command)
{
	struct rotation r;
	bool good;

	if (strcmp(options->args[0], "rotate")) {
		fprintf(stderr, "reprise %s: \"%s\": the only thing it can do is: rotate\n",
			command->name, options->args[0]);
		return EXIT_USAGE;
	}
	if (!resources_load(options, options->args[1], &r.conf))
		return EXIT_REFUSED;
	good = rotate(&r, options);
	explicit_bzero(&r, offsetof(struct rotation, dir));
	if (!good)
		return EXIT_REFUSED;
	return say_done(
		json_pack("{s:s}", "resource", options->args[1]),
		"%s: fresh key written, the old one is still accepted.  Next:\n"
		"  1. here: reprise reload %s\n"
		"  2. copy %s/%s.conf to the other node (secretly), and there: reprise reload %s\n"
		"  3. when both have it, remove the line 'previous-key' on both and reload again",
		options->args[1], options->args[1], options->config_dir, options->args[1],
		options->args[1]);
}
