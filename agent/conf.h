/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A resource's configuration: /etc/reprise/<resource>.conf, identical on all
 * nodes, read with libconfuse.  Shared by the agent and the admin command.
 */
#ifndef REPRISE_CONF_H
#define REPRISE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../kmod/uapi/reprise_frame.h"
#include "../kmod/uapi/reprise_netlink.h"

enum {
	CONF_KEY_BYTES = 32,
	CONF_MAX_RESOURCES = 64,
	CONF_DEFAULT_PORT = 7799,
};

struct conf_volume {
	unsigned int number;		/* 0..15 */
	int minor;			/* wanted minor, -1: next free */
};

struct conf_node_volume {
	unsigned int number;
	char device[256];		/* backing: block device or regular file, absolute path */
};

struct conf_node {
	char name[REPRISE_NAME_MAX + 1];
	unsigned int id;		/* 1..16 */
	char address[128];		/* as written, for messages */
	struct sockaddr_storage addr;	/* numeric IPv4 or IPv6, with port */
	socklen_t addr_len;
	char log[256];			/* directory or block device, absolute path */
	struct conf_node_volume volumes[REPRISE_MAX_VOLUMES];
	unsigned int nr_volumes;	/* equals the resource's, same numbers, sorted */
};

struct conf {
	char name[REPRISE_NAME_MAX + 1];	/* file name without ".conf" */
	char path[512];
	uint8_t id[REPRISE_ID_BYTES];
	uint8_t key[CONF_KEY_BYTES];
	bool has_previous_key;
	uint8_t previous_key[CONF_KEY_BYTES];	/* still accepted: rotation */
	enum reprise_durability durability;	/* default write */
	enum reprise_on_peer_loss on_peer_loss;	/* default alone */
	uint32_t timeout_ms;			/* default 6000 */
	uint32_t queue_kib;			/* default 65536 */
	uint32_t logical_block_bytes;		/* default 512; 512 or 4096 */
	uint64_t log_bytes;			/* default 512 MiB: whole log of a replica */
	uint64_t segment_bytes;			/* default 64 MiB; at most log_bytes / 4 */
	uint64_t unapplied_bytes;		/* default 20 MiB: also the ring's size */
	struct conf_volume volumes[REPRISE_MAX_VOLUMES];
	unsigned int nr_volumes;		/* sorted by number */
	struct conf_node nodes[REPRISE_MAX_NODES];
	unsigned int nr_nodes;			/* sorted by id */
};

/**
 * conf_load - read and check one file
 * @path: the file; its name gives the resource's name
 * @conf: filled on success, untouched on failure
 * @error: on failure "file:line: what is wrong and what is allowed"
 *
 * Return: 0, -ENOENT, -EACCES, or -EINVAL.
 */
int conf_load(const char *path, struct conf *conf, char *error, size_t error_bytes);

/**
 * conf_node_by_id, conf_node_by_name - a node of the resource, or NULL
 */
const struct conf_node *conf_node_by_id(const struct conf *conf, unsigned int id);
const struct conf_node *conf_node_by_name(const struct conf *conf, const char *name);

/**
 * conf_digest - 32 bytes that are equal on nodes whose configurations agree
 *
 * Covers everything that must agree: id, volumes, nodes, addresses, settings
 * (not the keys, which the handshake proves by itself, and not
 * comments or order).
 */
void conf_digest(const struct conf *conf, uint8_t digest[32]);

/**
 * conf_describe - the same as text, one "name = value" a line, canonical
 *
 * What the handshake exchanges when digests differ, so that each side can name
 * the difference.  Holds no secret.  Return: length, as snprintf().
 */
int conf_describe(const struct conf *conf, char *buf, size_t bytes);

/**
 * conf_difference - first line in which two descriptions differ, in words
 * @me, @them: names of the two nodes: both read the same text
 *
 * Empty lines at the end, and whether the last one is ended, are no difference.
 * Return: true if they differ.
 */
bool conf_difference(const char *mine, const char *theirs, const char *me, const char *them,
		     char *text, size_t bytes);

const char *durability_name(enum reprise_durability durability);
const char *on_peer_loss_name(enum reprise_on_peer_loss on_peer_loss);

#endif /* REPRISE_CONF_H */
