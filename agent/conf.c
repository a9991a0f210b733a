// SPDX-License-Identifier: GPL-2.0
/*
 * Reads one resource's configuration file.  libconfuse does the syntax; this
 * file says what is allowed.  The one idea: nothing is believed before all of
 * it has been checked, in the finished tree.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_comments.h"
#include "conf_parse.h"

enum {
	MAX_FILE_BYTES = 1 << 20,
	MAX_SEGMENTS = 512,
};

const char *durability_name(enum reprise_durability durability)
{
	switch (durability) {
	case REPRISE_DURABILITY_WRITE:
		return "write";
	case REPRISE_DURABILITY_MEMORY:
		return "memory";
	case REPRISE_DURABILITY_FLUSH:
		return "flush";
	case REPRISE_DURABILITY_ASYNC:
		return "async";
	}
	return "unknown";
}

const char *on_peer_loss_name(enum reprise_on_peer_loss on_peer_loss)
{
	switch (on_peer_loss) {
	case REPRISE_ON_PEER_LOSS_FREEZE:
		return "freeze";
	case REPRISE_ON_PEER_LOSS_HOOK:
		return "hook";
	case REPRISE_ON_PEER_LOSS_ALONE:
		return "alone";
	}
	return "unknown";
}

static bool read_durability(struct conf_parse *p, cfg_t *cfg)
{
	const char *text;

	if (!conf_is_set(cfg, "durability"))
		return true;
	text = cfg_getstr(cfg, "durability");
	for (int i = REPRISE_DURABILITY_WRITE; i <= REPRISE_DURABILITY_ASYNC; i++) {
		if (strcmp(text, durability_name(i)))
			continue;
		p->conf->durability = i;
		return true;
	}
	return conf_complain(p, conf_line_of(p, cfg, "durability"),
			     "'durability' is \"%.32s\"; it can be write, memory, flush or async",
			     text);
}

static bool read_on_peer_loss(struct conf_parse *p, cfg_t *cfg)
{
	const char *text;

	if (!conf_is_set(cfg, "on-peer-loss"))
		return true;
	text = cfg_getstr(cfg, "on-peer-loss");
	if (!strcmp(text, "alone"))
		p->conf->on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE;
	else if (!strcmp(text, "freeze"))
		p->conf->on_peer_loss = REPRISE_ON_PEER_LOSS_FREEZE;
	else if (!strcmp(text, "hook"))
		return conf_complain(p, conf_line_of(p, cfg, "on-peer-loss"),
				     "'on-peer-loss = hook' comes with a later version; "
				     "it can be freeze or alone");
	else
		return conf_complain(p, conf_line_of(p, cfg, "on-peer-loss"),
				     "'on-peer-loss' is \"%.32s\"; it can be freeze or alone",
				     text);
	return true;
}

static bool read_identity(struct conf_parse *p, cfg_t *cfg)
{
	struct conf *conf = p->conf;

	if (!conf_require(p, cfg, "id", "\"32 hexadecimal digits\"") ||
	    !conf_require(p, cfg, "key", "\"64 hexadecimal digits\"") ||
	    !conf_read_hex(p, cfg, "id", conf->id, sizeof(conf->id)) ||
	    !conf_read_hex(p, cfg, "key", conf->key, sizeof(conf->key)))
		return false;
	if (!conf_is_set(cfg, "previous-key"))
		return true;
	conf->has_previous_key = true;
	if (!conf_read_hex(p, cfg, "previous-key", conf->previous_key, sizeof(conf->previous_key)))
		return false;
	if (memcmp(conf->key, conf->previous_key, sizeof(conf->key)))
		return true;
	return conf_complain(
		p, conf_line_of(p, cfg, "previous-key"),
		"'previous-key' equals 'key'; remove it, or rotate with 'reprise key rotate'");
}

static const struct conf_size_rule queue_rule = { "queue", 1 * MIB, 1 * GIB, KIB,
						  "between 1MiB and 1GiB" };

static const struct conf_size_rule log_rule = { "log-size", 32 * MIB, 1024 * GIB, 4 * KIB,
						"between 32MiB and 1024GiB, a multiple of 4KiB" };

static const struct conf_size_rule segment_rule = { "segment-size", 8 * MIB, 4 * GIB, 4 * KIB,
						    "between 8MiB and 4GiB, a multiple of 4KiB" };

static const struct conf_size_rule unapplied_rule = {
	"unapplied", 8 * MIB, 1 * GIB, 64 * KIB, "between 8MiB and 1GiB, a multiple of 64KiB"
};

static bool read_sizes(struct conf_parse *p, cfg_t *cfg)
{
	struct conf *conf = p->conf;
	uint64_t queue_bytes = conf->queue_kib * KIB;
	long block = conf->logical_block_bytes;

	if (!conf_read_size(p, cfg, &queue_rule, &queue_bytes) ||
	    !conf_read_size(p, cfg, &log_rule, &conf->log_bytes) ||
	    !conf_read_size(p, cfg, &segment_rule, &conf->segment_bytes) ||
	    !conf_read_size(p, cfg, &unapplied_rule, &conf->unapplied_bytes))
		return false;
	conf->queue_kib = queue_bytes / KIB;
	if (conf_is_set(cfg, "logical-block-size"))
		block = cfg_getint(cfg, "logical-block-size");
	if (block != 512 && block != 4096)
		return conf_complain(p, conf_line_of(p, cfg, "logical-block-size"),
				     "'logical-block-size' is %ld; it can be 512 or 4096", block);
	conf->logical_block_bytes = block;
	return true;
}

/* What the sizes of a log must have to do with each other. */
static bool check_log(struct conf_parse *p, cfg_t *cfg)
{
	const struct conf *conf = p->conf;
	int line = conf_line_of(p, cfg,
				conf_is_set(cfg, "segment-size") ? "segment-size" : "log-size");

	if (conf->segment_bytes > conf->log_bytes / 4)
		return conf_complain(
			p, line,
			"'segment-size' (%llu MiB) must be at most a quarter of 'log-size' (%llu MiB)",
			(unsigned long long)(conf->segment_bytes / MIB),
			(unsigned long long)(conf->log_bytes / MIB));
	if (conf->log_bytes % conf->segment_bytes)
		return conf_complain(p, line, "'log-size' must be a multiple of 'segment-size'");
	if (conf->log_bytes / conf->segment_bytes > MAX_SEGMENTS)
		return conf_complain(p, line,
				     "'log-size' holds more than %d segments; "
				     "make 'segment-size' larger",
				     MAX_SEGMENTS);
	if (conf->unapplied_bytes > conf->log_bytes / 2)
		return conf_complain(
			p,
			conf_line_of(p, cfg,
				     conf_is_set(cfg, "unapplied") ? "unapplied" : "log-size"),
			"'unapplied' (%llu MiB) must be at most half of 'log-size' (%llu MiB)",
			(unsigned long long)(conf->unapplied_bytes / MIB),
			(unsigned long long)(conf->log_bytes / MIB));
	return true;
}

static bool read_resource(struct conf_parse *p, cfg_t *cfg)
{
	if (!read_identity(p, cfg) || !read_durability(p, cfg) || !read_on_peer_loss(p, cfg) ||
	    !conf_read_timeout(p, cfg) || !read_sizes(p, cfg) || !check_log(p, cfg))
		return false;
	return conf_read_volumes(p, cfg) && conf_read_nodes(p, cfg);
}

static const char *const noted_settings[] = {
	"id",		"key",		"previous-key", "durability",
	"on-peer-loss", "timeout",	"queue",	"logical-block-size",
	"log-size",	"segment-size", "unapplied",	"volume|minor",
	"node|id",	"node|address", "node|log",	"node|volume|device",
};

static cfg_t *make_grammar(void)
{
	cfg_opt_t volume_opts[] = { CFG_INT("minor", 0, CFGF_NODEFAULT), CFG_END() };
	cfg_opt_t node_volume_opts[] = { CFG_STR("device", NULL, CFGF_NODEFAULT), CFG_END() };
	cfg_opt_t node_opts[] = {
		CFG_INT("id", 0, CFGF_NODEFAULT), CFG_STR("address", NULL, CFGF_NODEFAULT),
		CFG_STR("log", NULL, CFGF_NODEFAULT),
		CFG_SEC("volume", node_volume_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_END()
	};
	cfg_opt_t opts[] = {
		CFG_STR("id", NULL, CFGF_NODEFAULT),
		CFG_STR("key", NULL, CFGF_NODEFAULT),
		CFG_STR("previous-key", NULL, CFGF_NODEFAULT),
		CFG_STR("durability", NULL, CFGF_NODEFAULT),
		CFG_STR("on-peer-loss", NULL, CFGF_NODEFAULT),
		CFG_STR("timeout", NULL, CFGF_NODEFAULT),
		CFG_STR("queue", NULL, CFGF_NODEFAULT),
		CFG_INT("logical-block-size", 0, CFGF_NODEFAULT),
		CFG_STR("log-size", NULL, CFGF_NODEFAULT),
		CFG_STR("segment-size", NULL, CFGF_NODEFAULT),
		CFG_STR("unapplied", NULL, CFGF_NODEFAULT),
		CFG_SEC("volume", volume_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("node", node_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_END()
	};
	cfg_t *cfg = cfg_init(opts, CFGF_NONE);

	if (!cfg)
		return NULL;
	conf_parse_note(cfg, noted_settings, sizeof(noted_settings) / sizeof(noted_settings[0]));
	return cfg;
}

static bool parse_stream(struct conf_parse *p, FILE *stream)
{
	cfg_t *cfg = make_grammar();
	bool good;

	if (!cfg)
		return conf_complain(p, 0, "out of memory");
	good = conf_parse_stream(p, cfg, stream) && read_resource(p, cfg);
	cfg_free(cfg);
	return good;
}

static bool parse_text(struct conf_parse *p, char *text, size_t length)
{
	const char *why;
	FILE *stream;
	bool good;
	int line;

	if (!conf_comments_blank(text, length, &line, &why))
		return conf_complain(p, line, "%s", why);
	/* So that what is missing is missed in the last line, not after it. */
	while (length && text[length - 1] == '\n')
		length--;
	if (!length)
		return conf_complain(p, 1, "the file is empty");
	stream = fmemopen(text, length, "r");
	if (!stream)
		return conf_complain(p, 0, "out of memory");
	good = parse_stream(p, stream);
	fclose(stream);
	return good;
}

/* "/etc/reprise/pg.conf" is the resource pg. */
static bool read_name(struct conf_parse *p)
{
	const char *slash = strrchr(p->path, '/');
	const char *base = slash ? slash + 1 : p->path;
	const char *dot = strrchr(base, '.');
	char name[REPRISE_NAME_MAX + 2];

	if (!dot || strcmp(dot, ".conf"))
		return conf_complain(p, 0, "the file's name must end in .conf");
	snprintf(name, sizeof(name), "%.*s", (int)(dot - base), base);
	if (!conf_name_is_valid(name))
		return conf_complain(
			p, 0,
			"a resource's name has 1 to %d of the characters A-Z a-z 0-9 _ . - and begins with a letter, digit or _",
			REPRISE_NAME_MAX);
	strcpy(p->conf->name, name);
	if (strlen(p->path) >= sizeof(p->conf->path))
		return conf_complain(p, 0, "the path is too long");
	strcpy(p->conf->path, p->path);
	return true;
}

static int check_file(struct conf_parse *p, int fd)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		conf_complain(p, 0, "is not a regular file");
		return -EINVAL;
	}
	if (st.st_mode & 077) {
		conf_complain(p, 0,
			      "holds the key, but others than its owner may access it (mode %04o); "
			      "run: chmod 600 %s",
			      st.st_mode & 07777, p->path);
		return -EACCES;
	}
	if (st.st_size >= MAX_FILE_BYTES) {
		conf_complain(p, 0, "is larger than 1 MiB, which no configuration is");
		return -EINVAL;
	}
	return 0;
}

static bool read_file(struct conf_parse *p, int fd)
{
	char *text = malloc(MAX_FILE_BYTES);
	size_t length = 0;
	ssize_t n = 1;
	bool good;

	if (!text)
		return conf_complain(p, 0, "out of memory");
	while (n > 0 && length < MAX_FILE_BYTES) {
		n = read(fd, text + length, MAX_FILE_BYTES - length);
		if (n > 0)
			length += n;
	}
	if (n < 0)
		good = conf_complain(p, 0, "cannot be read: %s", strerror(errno));
	else
		good = parse_text(p, text, length);
	/* It held the key. */
	explicit_bzero(text, length);
	free(text);
	return good;
}

static int load_file(struct conf_parse *p)
{
	int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int ret;

	if (fd < 0) {
		ret = errno == ENOENT ? -ENOENT : errno == EACCES ? -EACCES : -EINVAL;
		conf_complain(p, 0, "cannot be opened: %s", strerror(errno));
		return ret;
	}
	ret = check_file(p, fd);
	if (!ret && !read_file(p, fd))
		ret = -EINVAL;
	close(fd);
	return ret;
}

int conf_load(const char *path, struct conf *conf, char *error, size_t error_bytes)
{
	struct conf fresh = {
		.durability = REPRISE_DURABILITY_WRITE,
		.on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE,
		.timeout_ms = 6000,
		.queue_kib = 64 * KIB,
		.logical_block_bytes = 512,
		.log_bytes = 512 * MIB,
		.segment_bytes = 64 * MIB,
		.unapplied_bytes = 20 * MIB,
	};
	struct conf_parse parse = {
		.path = path,
		.error = error,
		.error_bytes = error_bytes,
		.conf = &fresh,
	};
	int ret;

	if (!read_name(&parse))
		return -EINVAL;
	ret = load_file(&parse);
	if (!ret)
		*conf = fresh;
	return ret;
}

const struct conf_node *conf_node_by_id(const struct conf *conf, unsigned int id)
{
	for (unsigned int i = 0; i < conf->nr_nodes; i++)
		if (conf->nodes[i].id == id)
			return &conf->nodes[i];
	return NULL;
}

const struct conf_node *conf_node_by_name(const struct conf *conf, const char *name)
{
	for (unsigned int i = 0; i < conf->nr_nodes; i++)
		if (!strcmp(conf->nodes[i].name, name))
			return &conf->nodes[i];
	return NULL;
}
