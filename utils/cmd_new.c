// SPDX-License-Identifier: GPL-2.0
/*
 * new: writes a resource's configuration with a fresh identity and key.  What
 * it writes is read back by the agent's own reader before it is kept.
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

struct new_node {
	char name[REPRISE_NAME_MAX + 1];
	char address[128], device[256], log[256];
};

static bool usage(const char *text)
{
	fprintf(stderr,
		"reprise new: --node %s: expected NAME=ADDRESS,DEVICE,LOG, for example alpha=10.77.0.1:7799,/dev/vdb,/var/lib/reprise/pg\n",
		text);
	return false;
}

static bool take_part(const char **text, char end, char *out, size_t bytes)
{
	const char *stop = strchrnul(*text, end);
	size_t length = stop - *text;

	/* A quote or backslash would leave the string it is written into. */
	if (!length || length >= bytes || (end && !*stop))
		return false;
	memcpy(out, *text, length);
	out[length] = 0;
	*text = *stop ? stop + 1 : stop;
	return !strpbrk(out, "\"\\\n${}");
}

static bool parse_node(const char *text, struct new_node *node)
{
	const char *at = text;

	return (take_part(&at, '=', node->name, sizeof(node->name)) &&
		take_part(&at, ',', node->address, sizeof(node->address)) &&
		take_part(&at, ',', node->device, sizeof(node->device)) &&
		take_part(&at, 0, node->log, sizeof(node->log))) ||
	       usage(text);
}

static void write_text(FILE *file, const char *resource, const struct new_node *nodes,
		       unsigned int nr_nodes, const char *id, const char *key)
{
	fprintf(file, "# Resource %s: the same file on every node; see reprise.conf(5).\n",
		resource);
	fprintf(file, "id = \"%s\"\nkey = \"%s\"\n\n", id, key);
	fprintf(file, "durability = write       # write, memory, flush, async\n"
		      "on-peer-loss = alone     # freeze, alone\n"
		      "timeout = \"6s\"\n"
		      "log-size = \"512MiB\"\n"
		      "segment-size = \"64MiB\"\n"
		      "unapplied = \"20MiB\"\n\n"
		      "volume 0 { }\n");
	for (unsigned int i = 0; i < nr_nodes; i++)
		fprintf(file,
			"\nnode %s {\n  id = %u\n  address = \"%s\"\n  log = \"%s\"\n"
			"  volume 0 { device = \"%s\" }\n}\n",
			nodes[i].name, i + 1, nodes[i].address, nodes[i].log, nodes[i].device);
}

static bool make_secret(char *hex, size_t bytes)
{
	uint8_t secret[CONF_KEY_BYTES];
	bool good = RAND_bytes(secret, bytes) == 1;

	say_hex(secret, bytes, hex);
	explicit_bzero(secret, sizeof(secret));
	if (!good)
		say_error("io", NULL, "the system gives no random numbers");
	return good;
}

/* O_EXCL: never overwrites. */
static FILE *make_file(const struct options *options, const char *path)
{
	int fd;

	if (mkdir(options->config_dir, 0755) && errno != EEXIST) {
		say_error("io", NULL, "%s cannot be made: %s", options->config_dir,
			  strerror(errno));
		return NULL;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fdopen(fd, "w");
	if (errno == EEXIST)
		say_error("exists", "change it with an editor, or remove it first",
			  "%s exists already and stays as it is", path);
	else
		say_error("io", NULL, "%s cannot be made: %s", path, strerror(errno));
	return NULL;
}

static bool finish_file(FILE *file, const char *path)
{
	bool good = !fflush(file) && !fsync(fileno(file));

	good = !fclose(file) && good;
	if (!good)
		say_error("io", NULL, "%s cannot be written: %s", path, strerror(errno));
	return good;
}

static bool write_conf(const struct options *options, const char *path,
		       const struct new_node *nodes, unsigned int nr_nodes)
{
	char id[2 * REPRISE_ID_BYTES + 1], key[2 * CONF_KEY_BYTES + 1];
	struct conf conf;
	FILE *file;
	bool good;

	if (!make_secret(id, REPRISE_ID_BYTES) || !make_secret(key, CONF_KEY_BYTES))
		return false;
	file = make_file(options, path);
	if (!file)
		return false;
	write_text(file, options->args[0], nodes, nr_nodes, id, key);
	explicit_bzero(key, sizeof(key));
	good = finish_file(file, path) && resources_load(options, options->args[0], &conf);
	if (!good)
		unlink(path);
	return good;
}

int cmd_new(const struct options *options, const struct command *command)
{
	struct new_node nodes[OPTIONS_MAX_NODES];
	char path[512];

	(void)command;
	for (unsigned int i = 0; i < options->nr_nodes; i++)
		if (!parse_node(options->nodes[i], &nodes[i]))
			return EXIT_USAGE;
	if (strchr(options->args[0], '/') ||
	    (size_t)snprintf(path, sizeof(path), "%s/%s.conf", options->config_dir,
			     options->args[0]) >= sizeof(path))
		return say_error("invalid", NULL, "\"%.64s\" is no resource's name",
				 options->args[0]);
	if (!write_conf(options, path, nodes, options->nr_nodes))
		return EXIT_REFUSED;
	return say_done(
		json_pack("{s:s, s:s}", "resource", options->args[0], "path", path),
		"%s written; copy it to the other node (it holds the key: keep it secret), then on each node: reprise create %s",
		path, options->args[0]);
}
