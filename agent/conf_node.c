// SPDX-License-Identifier: GPL-2.0
/*
 * The sections of a configuration: the resource's volumes, and the nodes, each
 * with an address of its own and a device for every volume.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "conf_parse.h"

enum {
	MAX_MINOR = (1 << 20) - 1,
	NR_NODES = 2, /* exactly, in this version */
};

/* "0" to "15", written in one way only. */
static bool read_volume_number(struct conf_parse *p, cfg_t *sec, unsigned int *number)
{
	const char *title = cfg_title(sec);
	size_t length = strlen(title);

	if (length && length <= 2 && strspn(title, "0123456789") == length &&
	    (length == 1 || title[0] != '0') && atoi(title) < REPRISE_MAX_VOLUMES) {
		*number = atoi(title);
		return true;
	}
	return conf_complain(p, sec->line, "volume \"%.16s\": a volume's number is 0 to %d", title,
			     REPRISE_MAX_VOLUMES - 1);
}

static bool read_volume(struct conf_parse *p, cfg_t *sec)
{
	struct conf *conf = p->conf;
	struct conf_volume volume = { .minor = -1 };
	unsigned int at = conf->nr_volumes;

	if (!read_volume_number(p, sec, &volume.number))
		return false;
	if (conf_is_set(sec, "minor")) {
		long minor = cfg_getint(sec, "minor");

		if (minor < 0 || minor > MAX_MINOR)
			return conf_complain(p, conf_line_of(p, sec, "minor"),
					     "'minor' is %ld; it can be 0 to %d", minor, MAX_MINOR);
		volume.minor = minor;
	}
	for (unsigned int i = 0; i < conf->nr_volumes; i++)
		if (volume.minor >= 0 && conf->volumes[i].minor == volume.minor)
			return conf_complain(p, conf_line_of(p, sec, "minor"),
					     "minor %d is already taken by volume %u", volume.minor,
					     conf->volumes[i].number);
	/* Titles are unique, so there are at most as many as numbers. */
	for (; at && conf->volumes[at - 1].number > volume.number; at--)
		conf->volumes[at] = conf->volumes[at - 1];
	conf->volumes[at] = volume;
	conf->nr_volumes++;
	return true;
}

static bool read_node_volume(struct conf_parse *p, cfg_t *sec, struct conf_node *node)
{
	struct conf_node_volume volume;
	unsigned int at = node->nr_volumes;

	if (!read_volume_number(p, sec, &volume.number) ||
	    !conf_require(p, sec, "device", "\"/dev/vdb\"") ||
	    !conf_read_path(p, sec, "device", volume.device, sizeof(volume.device)))
		return false;
	for (unsigned int i = 0; i < node->nr_volumes; i++)
		if (!strcmp(node->volumes[i].device, volume.device))
			return conf_complain(p, conf_line_of(p, sec, "device"),
					     "%s is already the device of volume %u of node %s",
					     volume.device, node->volumes[i].number, node->name);
	if (!strcmp(node->log, volume.device))
		return conf_complain(p, conf_line_of(p, sec, "device"),
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

static bool read_address(struct conf_parse *p, cfg_t *sec, struct conf_node *node)
{
	const char *text = cfg_getstr(sec, "address");

	if (strlen(text) < sizeof(node->address) && parse_address(text, node)) {
		strcpy(node->address, text);
		return true;
	}
	return conf_complain(
		p, conf_line_of(p, sec, "address"),
		"'address' is \"%.64s\"; write a numeric address and a port, like \"10.77.0.1:7799\" or \"[fd77::1]:7799\"",
		text);
}

static bool check_unique_node(struct conf_parse *p, cfg_t *sec, const struct conf_node *node)
{
	for (unsigned int i = 0; i < p->conf->nr_nodes; i++) {
		const struct conf_node *other = &p->conf->nodes[i];

		if (other->id == node->id)
			return conf_complain(p, conf_line_of(p, sec, "id"),
					     "id %u is already the id of node %s", node->id,
					     other->name);
		if (other->addr_len == node->addr_len &&
		    !memcmp(&other->addr, &node->addr, node->addr_len))
			return conf_complain(p, conf_line_of(p, sec, "address"),
					     "address %s is already the address of node %s",
					     node->address, other->name);
	}
	return true;
}

static bool check_node_volumes(struct conf_parse *p, cfg_t *sec, const struct conf_node *node)
{
	const struct conf *conf = p->conf;
	unsigned int i, j;

	for (i = 0; i < conf->nr_volumes; i++) {
		for (j = 0; j < node->nr_volumes; j++)
			if (node->volumes[j].number == conf->volumes[i].number)
				break;
		if (j == node->nr_volumes)
			return conf_complain(
				p, sec->line,
				"node %s lacks volume %u; add: volume %u { device = \"/dev/...\" }",
				node->name, conf->volumes[i].number, conf->volumes[i].number);
	}
	for (j = 0; j < node->nr_volumes; j++) {
		for (i = 0; i < conf->nr_volumes; i++)
			if (node->volumes[j].number == conf->volumes[i].number)
				break;
		if (i == conf->nr_volumes)
			return conf_complain(
				p, sec->line,
				"node %s has volume %u, which the resource does not have; "
				"add at the top: volume %u { }",
				node->name, node->volumes[j].number, node->volumes[j].number);
	}
	return true;
}

static bool read_node_settings(struct conf_parse *p, cfg_t *sec, struct conf_node *node)
{
	long id;

	if (!conf_name_is_valid(cfg_title(sec)))
		return conf_complain(
			p, sec->line,
			"node \"%.64s\": a node's name has 1 to %d of the characters A-Z a-z 0-9 _ . - and begins with a letter, digit or _",
			cfg_title(sec), REPRISE_NAME_MAX);
	strcpy(node->name, cfg_title(sec));
	if (!conf_require(p, sec, "id", "1") ||
	    !conf_require(p, sec, "address", "\"10.77.0.1:7799\"") ||
	    !conf_require(p, sec, "log", "\"/var/lib/reprise/log\""))
		return false;
	id = cfg_getint(sec, "id");
	if (id < 1 || id > REPRISE_MAX_NODES)
		return conf_complain(p, conf_line_of(p, sec, "id"),
				     "'id' is %ld; it can be 1 to %d", id, REPRISE_MAX_NODES);
	node->id = id;
	return read_address(p, sec, node) &&
	       conf_read_path(p, sec, "log", node->log, sizeof(node->log)) &&
	       check_unique_node(p, sec, node);
}

static bool read_node(struct conf_parse *p, cfg_t *sec)
{
	struct conf *conf = p->conf;
	struct conf_node node = { 0 };
	unsigned int at = conf->nr_nodes;

	if (at == NR_NODES)
		return conf_complain(
			p, sec->line,
			"node %.63s is one too many: this version replicates between two nodes",
			cfg_title(sec));
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

bool conf_read_volumes(struct conf_parse *p, cfg_t *cfg)
{
	for (unsigned int i = 0; i < cfg_size(cfg, "volume"); i++)
		if (!read_volume(p, cfg_getnsec(cfg, "volume", i)))
			return false;
	if (p->conf->nr_volumes)
		return true;
	return conf_complain(p, cfg->line, "the resource has no volume; add: volume 0 { }");
}

bool conf_read_nodes(struct conf_parse *p, cfg_t *cfg)
{
	for (unsigned int i = 0; i < cfg_size(cfg, "node"); i++)
		if (!read_node(p, cfg_getnsec(cfg, "node", i)))
			return false;
	if (p->conf->nr_nodes == NR_NODES)
		return true;
	return conf_complain(p, cfg->line, "the resource has %s; it needs two nodes",
			     p->conf->nr_nodes ? "one node" : "no node");
}
