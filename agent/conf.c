// SPDX-License-Identifier: GPL-2.0
/*
 * Reads one resource's configuration file.  libconfuse does the syntax; this
 * file says what is allowed.  The one idea: nothing is believed before all of
 * it has been checked, and every complaint names the line it is about, so the
 * line of each setting is noted while libconfuse reads (its callbacks), and
 * the checks run afterwards over the finished tree.
 */
#include <arpa/inet.h>
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "conf_comments.h"

enum {
	MAX_FILE_BYTES = 1 << 20,
	MAX_SETTINGS = 512,
	MIN_TIMEOUT_MS = 100,
	MAX_TIMEOUT_MS = 600000,
	MAX_SEGMENTS = 512,
	MAX_MINOR = (1 << 20) - 1,
	NR_NODES = 2,			/* exactly, in this version */
};

#define KIB	1024ULL
#define MIB	(1024 * KIB)
#define GIB	(1024 * MIB)

struct setting {
	const cfg_opt_t *opt;
	int line;
};

struct parse {
	const char *path;
	char *error;
	size_t error_bytes;
	bool failed;
	struct conf *conf;
	struct setting settings[MAX_SETTINGS];
	unsigned int nr_settings;
};

/* libconfuse hands no context to its callbacks. */
static _Thread_local struct parse *parsing;

static void vcomplain(struct parse *p, int line, const char *fmt, va_list ap)
{
	int n;

	if (p->failed)
		return;
	p->failed = true;
	if (line)
		n = snprintf(p->error, p->error_bytes, "%s:%d: ", p->path, line);
	else
		n = snprintf(p->error, p->error_bytes, "%s: ", p->path);
	if (n >= 0 && (size_t)n < p->error_bytes)
		vsnprintf(p->error + n, p->error_bytes - n, fmt, ap);
}

/* The first complaint counts; always returns false. */
static bool __attribute__((format(printf, 3, 4)))
complain(struct parse *p, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcomplain(p, line, fmt, ap);
	va_end(ap);
	return false;
}

static void syntax_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	vcomplain(parsing, cfg ? cfg->line : 0, fmt, ap);
}

static const struct setting *setting_find(const struct parse *p, const cfg_opt_t *opt)
{
	for (unsigned int i = 0; i < p->nr_settings; i++)
		if (p->settings[i].opt == opt)
			return &p->settings[i];
	return NULL;
}

/* libconfuse calls this when it has read a value. */
static int note_setting(cfg_t *cfg, cfg_opt_t *opt)
{
	struct parse *p = parsing;
	const struct setting *before = setting_find(p, opt);

	if (before) {
		complain(p, cfg->line, "'%s' was already set in line %d; keep one of the two",
			 opt->name, before->line);
		return -1;
	}
	if (p->nr_settings == MAX_SETTINGS) {
		complain(p, cfg->line, "more settings than a resource can have");
		return -1;
	}
	p->settings[p->nr_settings++] = (struct setting){ opt, cfg->line };
	return 0;
}

/* The line of a setting, or of the end of the section that lacks it. */
static int line_of(const struct parse *p, cfg_t *cfg, const char *name)
{
	const struct setting *s = setting_find(p, cfg_getopt(cfg, name));

	return s ? s->line : cfg->line;
}

static bool is_set(cfg_t *cfg, const char *name)
{
	return cfg_size(cfg, name) != 0;
}

/* Where a complaint is about: "node beta", or the resource. */
static const char *where(cfg_t *cfg, char *buf, size_t bytes)
{
	if (cfg_title(cfg))
		snprintf(buf, bytes, "%s %.63s", cfg_name(cfg), cfg_title(cfg));
	else
		snprintf(buf, bytes, "the resource");
	return buf;
}

static bool require(struct parse *p, cfg_t *cfg, const char *name, const char *example)
{
	char buf[96];

	if (is_set(cfg, name))
		return true;
	return complain(p, cfg->line, "%s lacks '%s'; add a line like: %s = %s",
			where(cfg, buf, sizeof(buf)), name, name, example);
}

static bool name_is_valid(const char *name)
{
	size_t length = strlen(name);

	return length && length <= REPRISE_NAME_MAX && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
	       length;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool read_hex(struct parse *p, cfg_t *cfg, const char *name, uint8_t *out, size_t bytes)
{
	const char *text = cfg_getstr(cfg, name);
	bool zero = true;

	if (strlen(text) != 2 * bytes)
		goto invalid;
	for (size_t i = 0; i < bytes; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			goto invalid;
		out[i] = high << 4 | low;
		zero = zero && !out[i];
	}
	if (!zero)
		return true;
	return complain(p, line_of(p, cfg, name),
			"'%s' is all zeros; use random digits ('reprise new' makes them)", name);
invalid:
	/* The text itself may be most of a key: never quoted. */
	return complain(p, line_of(p, cfg, name), "'%s' must be %zu hexadecimal digits", name,
			2 * bytes);
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "KiB", KIB }, { "MiB", MIB }, { "GiB", GIB }, { NULL, 0 }
};

static const struct unit time_units[] = {
	{ "ms", 1 }, { "s", 1000 }, { NULL, 0 }
};

/* "64MiB" or "64 MiB" */
static bool parse_quantity(const char *text, const struct unit *units, uint64_t *value)
{
	size_t digits = strspn(text, "0123456789");
	const char *name = text + digits + strspn(text + digits, " ");

	if (!digits || digits > 9)
		return false;
	for (; units->name; units++) {
		if (strcmp(name, units->name))
			continue;
		*value = strtoull(text, NULL, 10) * units->factor;
		return true;
	}
	return false;
}

static bool read_quantity(struct parse *p, cfg_t *cfg, const char *name, const struct unit *units,
			  uint64_t *value)
{
	const char *text = cfg_getstr(cfg, name);

	if (parse_quantity(text, units, value))
		return true;
	return complain(p, line_of(p, cfg, name), "'%s' is \"%.32s\"; write a number and %s", name,
			text, units == time_units ? "ms or s, like \"6s\"" :
			"KiB, MiB or GiB, like \"64MiB\"");
}

struct size_rule {
	const char *name;
	uint64_t min, max, multiple;
	const char *words;
};

static bool read_size(struct parse *p, cfg_t *cfg, const struct size_rule *rule, uint64_t *value)
{
	uint64_t v;

	if (!is_set(cfg, rule->name))
		return true;
	if (!read_quantity(p, cfg, rule->name, size_units, &v))
		return false;
	if (v < rule->min || v > rule->max || v % rule->multiple)
		return complain(p, line_of(p, cfg, rule->name), "'%s' must be %s", rule->name,
				rule->words);
	*value = v;
	return true;
}

static bool read_timeout(struct parse *p, cfg_t *cfg)
{
	uint64_t v;

	if (!is_set(cfg, "timeout"))
		return true;
	if (!read_quantity(p, cfg, "timeout", time_units, &v))
		return false;
	if (v < MIN_TIMEOUT_MS || v > MAX_TIMEOUT_MS)
		return complain(p, line_of(p, cfg, "timeout"),
				"'timeout' must be between 100ms and 600s");
	p->conf->timeout_ms = v;
	return true;
}

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

static bool read_durability(struct parse *p, cfg_t *cfg)
{
	const char *text;

	if (!is_set(cfg, "durability"))
		return true;
	text = cfg_getstr(cfg, "durability");
	for (int i = REPRISE_DURABILITY_WRITE; i <= REPRISE_DURABILITY_ASYNC; i++) {
		if (strcmp(text, durability_name(i)))
			continue;
		p->conf->durability = i;
		return true;
	}
	return complain(p, line_of(p, cfg, "durability"),
			"'durability' is \"%.32s\"; it can be write, memory, flush or async", text);
}

static bool read_on_peer_loss(struct parse *p, cfg_t *cfg)
{
	const char *text;

	if (!is_set(cfg, "on-peer-loss"))
		return true;
	text = cfg_getstr(cfg, "on-peer-loss");
	if (!strcmp(text, "alone"))
		p->conf->on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE;
	else if (!strcmp(text, "freeze"))
		p->conf->on_peer_loss = REPRISE_ON_PEER_LOSS_FREEZE;
	else if (!strcmp(text, "hook"))
		return complain(p, line_of(p, cfg, "on-peer-loss"),
				"'on-peer-loss = hook' comes with a later version; "
				"it can be freeze or alone");
	else
		return complain(p, line_of(p, cfg, "on-peer-loss"),
				"'on-peer-loss' is \"%.32s\"; it can be freeze or alone", text);
	return true;
}

static bool read_identity(struct parse *p, cfg_t *cfg)
{
	struct conf *conf = p->conf;

	if (!require(p, cfg, "id", "\"32 hexadecimal digits\"") ||
	    !require(p, cfg, "key", "\"64 hexadecimal digits\"") ||
	    !read_hex(p, cfg, "id", conf->id, sizeof(conf->id)) ||
	    !read_hex(p, cfg, "key", conf->key, sizeof(conf->key)))
		return false;
	if (!is_set(cfg, "previous-key"))
		return true;
	conf->has_previous_key = true;
	if (!read_hex(p, cfg, "previous-key", conf->previous_key, sizeof(conf->previous_key)))
		return false;
	if (memcmp(conf->key, conf->previous_key, sizeof(conf->key)))
		return true;
	return complain(p, line_of(p, cfg, "previous-key"),
			"'previous-key' equals 'key'; remove it, or rotate with 'reprise key rotate'");
}

static const struct size_rule queue_rule = {
	"queue", 1 * MIB, 1 * GIB, KIB, "between 1MiB and 1GiB"
};

static const struct size_rule log_rule = {
	"log-size", 32 * MIB, 1024 * GIB, 4 * KIB, "between 32MiB and 1024GiB, a multiple of 4KiB"
};

static const struct size_rule segment_rule = {
	"segment-size", 8 * MIB, 4 * GIB, 4 * KIB, "between 8MiB and 4GiB, a multiple of 4KiB"
};

static const struct size_rule unapplied_rule = {
	"unapplied", 8 * MIB, 1 * GIB, 64 * KIB, "between 8MiB and 1GiB, a multiple of 64KiB"
};

static bool read_sizes(struct parse *p, cfg_t *cfg)
{
	struct conf *conf = p->conf;
	uint64_t queue_bytes = conf->queue_kib * KIB;
	long block = conf->logical_block_bytes;

	if (!read_size(p, cfg, &queue_rule, &queue_bytes) ||
	    !read_size(p, cfg, &log_rule, &conf->log_bytes) ||
	    !read_size(p, cfg, &segment_rule, &conf->segment_bytes) ||
	    !read_size(p, cfg, &unapplied_rule, &conf->unapplied_bytes))
		return false;
	conf->queue_kib = queue_bytes / KIB;
	if (is_set(cfg, "logical-block-size"))
		block = cfg_getint(cfg, "logical-block-size");
	if (block != 512 && block != 4096)
		return complain(p, line_of(p, cfg, "logical-block-size"),
				"'logical-block-size' is %ld; it can be 512 or 4096", block);
	conf->logical_block_bytes = block;
	return true;
}

/* What the sizes of a log must have to do with each other. */
static bool check_log(struct parse *p, cfg_t *cfg)
{
	const struct conf *conf = p->conf;
	int line = line_of(p, cfg, is_set(cfg, "segment-size") ? "segment-size" : "log-size");

	if (conf->segment_bytes > conf->log_bytes / 4)
		return complain(p, line, "'segment-size' (%llu MiB) must be at most a quarter of "
				"'log-size' (%llu MiB)",
				(unsigned long long)(conf->segment_bytes / MIB),
				(unsigned long long)(conf->log_bytes / MIB));
	if (conf->log_bytes % conf->segment_bytes)
		return complain(p, line, "'log-size' must be a multiple of 'segment-size'");
	if (conf->log_bytes / conf->segment_bytes > MAX_SEGMENTS)
		return complain(p, line, "'log-size' holds more than %d segments; "
				"make 'segment-size' larger", MAX_SEGMENTS);
	if (conf->unapplied_bytes > conf->log_bytes / 2)
		return complain(p, line_of(p, cfg, is_set(cfg, "unapplied") ?
					   "unapplied" : "log-size"),
				"'unapplied' (%llu MiB) must be at most half of 'log-size' (%llu MiB)",
				(unsigned long long)(conf->unapplied_bytes / MIB),
				(unsigned long long)(conf->log_bytes / MIB));
	return true;
}

/* "0" to "15", written in one way only. */
static bool read_volume_number(struct parse *p, cfg_t *sec, unsigned int *number)
{
	const char *title = cfg_title(sec);
	size_t length = strlen(title);

	if (length && length <= 2 && strspn(title, "0123456789") == length &&
	    (length == 1 || title[0] != '0') && atoi(title) < REPRISE_MAX_VOLUMES) {
		*number = atoi(title);
		return true;
	}
	return complain(p, sec->line, "volume \"%.16s\": a volume's number is 0 to %d", title,
			REPRISE_MAX_VOLUMES - 1);
}

static bool read_volume(struct parse *p, cfg_t *sec)
{
	struct conf *conf = p->conf;
	struct conf_volume volume = { .minor = -1 };
	unsigned int at = conf->nr_volumes;

	if (!read_volume_number(p, sec, &volume.number))
		return false;
	if (is_set(sec, "minor")) {
		long minor = cfg_getint(sec, "minor");

		if (minor < 0 || minor > MAX_MINOR)
			return complain(p, line_of(p, sec, "minor"),
					"'minor' is %ld; it can be 0 to %d", minor, MAX_MINOR);
		volume.minor = minor;
	}
	for (unsigned int i = 0; i < conf->nr_volumes; i++)
		if (volume.minor >= 0 && conf->volumes[i].minor == volume.minor)
			return complain(p, line_of(p, sec, "minor"),
					"minor %d is already taken by volume %u", volume.minor,
					conf->volumes[i].number);
	/* Titles are unique, so there are at most as many as numbers. */
	for (; at && conf->volumes[at - 1].number > volume.number; at--)
		conf->volumes[at] = conf->volumes[at - 1];
	conf->volumes[at] = volume;
	conf->nr_volumes++;
	return true;
}

static bool read_path(struct parse *p, cfg_t *sec, const char *name, char *out, size_t bytes)
{
	const char *path = cfg_getstr(sec, name);

	if (path[0] != '/')
		return complain(p, line_of(p, sec, name),
				"'%s' is \"%.64s\"; it must be an absolute path", name, path);
	if (strlen(path) >= bytes)
		return complain(p, line_of(p, sec, name), "'%s' is longer than %zu characters", name,
				bytes - 1);
	strcpy(out, path);
	return true;
}

static bool read_node_volume(struct parse *p, cfg_t *sec, struct conf_node *node)
{
	struct conf_node_volume volume;
	unsigned int at = node->nr_volumes;

	if (!read_volume_number(p, sec, &volume.number) ||
	    !require(p, sec, "device", "\"/dev/vdb\"") ||
	    !read_path(p, sec, "device", volume.device, sizeof(volume.device)))
		return false;
	for (unsigned int i = 0; i < node->nr_volumes; i++)
		if (!strcmp(node->volumes[i].device, volume.device))
			return complain(p, line_of(p, sec, "device"),
					"%s is already the device of volume %u of node %s",
					volume.device, node->volumes[i].number, node->name);
	if (!strcmp(node->log, volume.device))
		return complain(p, line_of(p, sec, "device"),
				"%s is already the log of node %s", volume.device, node->name);
	for (; at && node->volumes[at - 1].number > volume.number; at--)
		node->volumes[at] = node->volumes[at - 1];
	node->volumes[at] = volume;
	node->nr_volumes++;
	return true;
}

/* Splits "host:port", "[host]:port" or "host"; the port's text or NULL. */
static bool split_address(char *text, char **host, char **port)
{
	char *colon = strrchr(text, ':');

	*port = NULL;
	*host = text;
	if (text[0] == '[') {
		char *end = strchr(text, ']');

		if (!end || (end[1] && end[1] != ':'))
			return false;
		*host = text + 1;
		*port = end[1] ? end + 2 : NULL;
		*end = 0;
	} else if (colon && strchr(text, ':') == colon) {
		*port = colon + 1;
		*colon = 0;
	}
	return true;
}

static bool parse_port(const char *text, uint16_t *port)
{
	size_t length = strlen(text);
	int value = atoi(text);

	if (!length || length > 5 || strspn(text, "0123456789") != length || value < 1 ||
	    value > 65535)
		return false;
	*port = value;
	return true;
}

static bool parse_address(const char *text, struct conf_node *node)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&node->addr;
	struct sockaddr_in *in = (struct sockaddr_in *)&node->addr;
	char buf[sizeof(node->address)], *host, *port_text;
	uint16_t port = CONF_DEFAULT_PORT;

	strcpy(buf, text);
	if (!split_address(buf, &host, &port_text) || (port_text && !parse_port(port_text, &port)))
		return false;
	if (buf[0] != '[' && inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		node->addr_len = sizeof(*in);
		return in->sin_addr.s_addr != htonl(INADDR_ANY);
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return false;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	node->addr_len = sizeof(*in6);
	return !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

static bool read_address(struct parse *p, cfg_t *sec, struct conf_node *node)
{
	const char *text = cfg_getstr(sec, "address");

	if (strlen(text) < sizeof(node->address) && parse_address(text, node)) {
		strcpy(node->address, text);
		return true;
	}
	return complain(p, line_of(p, sec, "address"),
			"'address' is \"%.64s\"; write a numeric address and a port, "
			"like \"10.77.0.1:7799\" or \"[fd77::1]:7799\"", text);
}

static bool check_unique_node(struct parse *p, cfg_t *sec, const struct conf_node *node)
{
	for (unsigned int i = 0; i < p->conf->nr_nodes; i++) {
		const struct conf_node *other = &p->conf->nodes[i];

		if (other->id == node->id)
			return complain(p, line_of(p, sec, "id"),
					"id %u is already the id of node %s", node->id, other->name);
		if (other->addr_len == node->addr_len &&
		    !memcmp(&other->addr, &node->addr, node->addr_len))
			return complain(p, line_of(p, sec, "address"),
					"address %s is already the address of node %s",
					node->address, other->name);
	}
	return true;
}

static bool check_node_volumes(struct parse *p, cfg_t *sec, const struct conf_node *node)
{
	const struct conf *conf = p->conf;
	unsigned int i, j;

	for (i = 0; i < conf->nr_volumes; i++) {
		for (j = 0; j < node->nr_volumes; j++)
			if (node->volumes[j].number == conf->volumes[i].number)
				break;
		if (j == node->nr_volumes)
			return complain(p, sec->line, "node %s lacks volume %u; add: "
					"volume %u { device = \"/dev/...\" }", node->name,
					conf->volumes[i].number, conf->volumes[i].number);
	}
	for (j = 0; j < node->nr_volumes; j++) {
		for (i = 0; i < conf->nr_volumes; i++)
			if (node->volumes[j].number == conf->volumes[i].number)
				break;
		if (i == conf->nr_volumes)
			return complain(p, sec->line,
					"node %s has volume %u, which the resource does not have; "
					"add at the top: volume %u { }", node->name,
					node->volumes[j].number, node->volumes[j].number);
	}
	return true;
}

static bool read_node_settings(struct parse *p, cfg_t *sec, struct conf_node *node)
{
	long id;

	if (!name_is_valid(cfg_title(sec)))
		return complain(p, sec->line, "node \"%.64s\": a node's name has 1 to %d of the "
				"characters A-Z a-z 0-9 _ . - and begins with a letter, digit or _",
				cfg_title(sec), REPRISE_NAME_MAX);
	strcpy(node->name, cfg_title(sec));
	if (!require(p, sec, "id", "1") || !require(p, sec, "address", "\"10.77.0.1:7799\"") ||
	    !require(p, sec, "log", "\"/var/lib/reprise/log\""))
		return false;
	id = cfg_getint(sec, "id");
	if (id < 1 || id > REPRISE_MAX_NODES)
		return complain(p, line_of(p, sec, "id"), "'id' is %ld; it can be 1 to %d", id,
				REPRISE_MAX_NODES);
	node->id = id;
	return read_address(p, sec, node) &&
	       read_path(p, sec, "log", node->log, sizeof(node->log)) &&
	       check_unique_node(p, sec, node);
}

static bool read_node(struct parse *p, cfg_t *sec)
{
	struct conf *conf = p->conf;
	struct conf_node node = { 0 };
	unsigned int at = conf->nr_nodes;

	if (at == NR_NODES)
		return complain(p, sec->line, "node %.63s is one too many: "
				"this version replicates between two nodes", cfg_title(sec));
	if (!read_node_settings(p, sec, &node))
		return false;
	for (unsigned int i = 0; i < cfg_size(sec, "volume"); i++)
		if (!read_node_volume(p, cfg_getnsec(sec, "volume", i), &node))
			return false;
	if (!check_node_volumes(p, sec, &node))
		return false;
	for (; at && conf->nodes[at - 1].id > node.id; at--)
		conf->nodes[at] = conf->nodes[at - 1];
	conf->nodes[at] = node;
	conf->nr_nodes++;
	return true;
}

static bool read_resource(struct parse *p, cfg_t *cfg)
{
	if (!read_identity(p, cfg) || !read_durability(p, cfg) || !read_on_peer_loss(p, cfg) ||
	    !read_timeout(p, cfg) || !read_sizes(p, cfg) || !check_log(p, cfg))
		return false;
	for (unsigned int i = 0; i < cfg_size(cfg, "volume"); i++)
		if (!read_volume(p, cfg_getnsec(cfg, "volume", i)))
			return false;
	if (!p->conf->nr_volumes)
		return complain(p, cfg->line, "the resource has no volume; add: volume 0 { }");
	for (unsigned int i = 0; i < cfg_size(cfg, "node"); i++)
		if (!read_node(p, cfg_getnsec(cfg, "node", i)))
			return false;
	if (p->conf->nr_nodes < NR_NODES)
		return complain(p, cfg->line, "the resource has %s; it needs two nodes",
				p->conf->nr_nodes ? "one node" : "no node");
	return true;
}

static const char *const noted_settings[] = {
	"id", "key", "previous-key", "durability", "on-peer-loss", "timeout", "queue",
	"logical-block-size", "log-size", "segment-size", "unapplied", "volume|minor", "node|id",
	"node|address", "node|log", "node|volume|device",
};

static cfg_t *make_grammar(void)
{
	cfg_opt_t volume_opts[] = {
		CFG_INT("minor", 0, CFGF_NODEFAULT),
		CFG_END()
	};
	cfg_opt_t node_volume_opts[] = {
		CFG_STR("device", NULL, CFGF_NODEFAULT),
		CFG_END()
	};
	cfg_opt_t node_opts[] = {
		CFG_INT("id", 0, CFGF_NODEFAULT),
		CFG_STR("address", NULL, CFGF_NODEFAULT),
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
	cfg_set_error_function(cfg, syntax_error);
	for (size_t i = 0; i < sizeof(noted_settings) / sizeof(noted_settings[0]); i++)
		cfg_set_validate_func(cfg, noted_settings[i], note_setting);
	return cfg;
}

static bool parse_stream(struct parse *p, FILE *stream)
{
	cfg_t *cfg = make_grammar();
	bool good;

	if (!cfg)
		return complain(p, 0, "out of memory");
	cfg->line = 1;
	parsing = p;
	good = cfg_parse_fp(cfg, stream) == CFG_SUCCESS;
	parsing = NULL;
	if (good && !p->failed)
		good = read_resource(p, cfg);
	else if (!p->failed)
		complain(p, cfg->line, "cannot be understood");
	cfg_free(cfg);
	return good && !p->failed;
}

static bool parse_text(struct parse *p, char *text, size_t length)
{
	const char *why;
	FILE *stream;
	bool good;
	int line;

	if (!conf_comments_blank(text, length, &line, &why))
		return complain(p, line, "%s", why);
	/* So that what is missing is missed in the last line, not after it. */
	while (length && text[length - 1] == '\n')
		length--;
	if (!length)
		return complain(p, 1, "the file is empty");
	stream = fmemopen(text, length, "r");
	if (!stream)
		return complain(p, 0, "out of memory");
	good = parse_stream(p, stream);
	fclose(stream);
	return good;
}

/* "/etc/reprise/pg.conf" is the resource pg. */
static bool read_name(struct parse *p)
{
	const char *slash = strrchr(p->path, '/');
	const char *base = slash ? slash + 1 : p->path;
	const char *dot = strrchr(base, '.');
	char name[REPRISE_NAME_MAX + 2];

	if (!dot || strcmp(dot, ".conf"))
		return complain(p, 0, "the file's name must end in .conf");
	snprintf(name, sizeof(name), "%.*s", (int)(dot - base), base);
	if (!name_is_valid(name))
		return complain(p, 0, "a resource's name has 1 to %d of the characters "
				"A-Z a-z 0-9 _ . - and begins with a letter, digit or _",
				REPRISE_NAME_MAX);
	strcpy(p->conf->name, name);
	if (strlen(p->path) >= sizeof(p->conf->path))
		return complain(p, 0, "the path is too long");
	strcpy(p->conf->path, p->path);
	return true;
}

static int check_file(struct parse *p, int fd)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		complain(p, 0, "is not a regular file");
		return -EINVAL;
	}
	if (st.st_mode & 077) {
		complain(p, 0, "holds the key, but others than its owner may access it (mode %04o); "
			 "run: chmod 600 %s", st.st_mode & 07777, p->path);
		return -EACCES;
	}
	if (st.st_size >= MAX_FILE_BYTES) {
		complain(p, 0, "is larger than 1 MiB, which no configuration is");
		return -EINVAL;
	}
	return 0;
}

static bool read_file(struct parse *p, int fd)
{
	char *text = malloc(MAX_FILE_BYTES);
	size_t length = 0;
	ssize_t n = 1;
	bool good;

	if (!text)
		return complain(p, 0, "out of memory");
	while (n > 0 && length < MAX_FILE_BYTES) {
		n = read(fd, text + length, MAX_FILE_BYTES - length);
		if (n > 0)
			length += n;
	}
	if (n < 0)
		good = complain(p, 0, "cannot be read: %s", strerror(errno));
	else
		good = parse_text(p, text, length);
	/* It held the key. */
	explicit_bzero(text, length);
	free(text);
	return good;
}

static int load_file(struct parse *p)
{
	int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int ret;

	if (fd < 0) {
		ret = errno == ENOENT ? -ENOENT : errno == EACCES ? -EACCES : -EINVAL;
		complain(p, 0, "cannot be opened: %s", strerror(errno));
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
		.unapplied_bytes = 32 * MIB,
	};
	struct parse parse = {
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
