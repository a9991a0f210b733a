// SPDX-License-Identifier: GPL-2.0
/*
 * What two nodes must agree on, as text: one "name = value" a line, in one
 * order, without secrets.  The digest is that text's, so that the two can
 * never mean different things.  Where a node keeps its data and log, which
 * minors it likes and how large its log is are its own affair.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <netinet/in.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"

enum {
	DESCRIPTION_MAX_BYTES = 8192,
	LINE_SHOWN_BYTES = 96,
};

struct text {
	char *buf;
	size_t bytes;
	size_t length; /* needed, as in snprintf() */
};

static void __attribute__((format(printf, 2, 3))) append(struct text *text, const char *fmt, ...)
{
	bool room = text->length < text->bytes;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(room ? text->buf + text->length : NULL, room ? text->bytes - text->length : 0,
		      fmt, ap);
	va_end(ap);
	assert(n >= 0);
	text->length += n;
}

/* In one spelling, however it was written. */
static void append_address(struct text *text, const struct conf_node *node)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&node->addr;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&node->addr;
	char host[INET6_ADDRSTRLEN];

	if (node->addr.ss_family == AF_INET6)
		append(text, "[%s]:%u", inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)),
		       ntohs(in6->sin6_port));
	else
		append(text, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)),
		       ntohs(in->sin_port));
}

int conf_describe(const struct conf *conf, char *buf, size_t bytes)
{
	struct text text = { buf, bytes, 0 };

	append(&text, "resource = %s\nid = ", conf->name);
	for (size_t i = 0; i < sizeof(conf->id); i++)
		append(&text, "%02x", conf->id[i]);
	append(&text, "\ndurability = %s\n", durability_name(conf->durability));
	append(&text, "on-peer-loss = %s\n", on_peer_loss_name(conf->on_peer_loss));
	append(&text, "timeout = %ums\n", conf->timeout_ms);
	append(&text, "queue = %uKiB\n", conf->queue_kib);
	append(&text, "logical-block-size = %u\n", conf->logical_block_bytes);
	append(&text, "volumes =");
	for (unsigned int i = 0; i < conf->nr_volumes; i++)
		append(&text, " %u", conf->volumes[i].number);
	append(&text, "\n");
	for (unsigned int i = 0; i < conf->nr_nodes; i++) {
		const struct conf_node *node = &conf->nodes[i];

		append(&text, "name of node %u = %s\n", node->id, node->name);
		append(&text, "address of node %u = ", node->id);
		append_address(&text, node);
		append(&text, "\n");
	}
	return text.length;
}

void conf_digest(const struct conf *conf, uint8_t digest[32])
{
	char buf[DESCRIPTION_MAX_BYTES];
	int length = conf_describe(conf, buf, sizeof(buf));

	_Static_assert(SHA256_DIGEST_LENGTH == 32, "the digest is SHA-256");
	assert((size_t)length < sizeof(buf));
	SHA256((const unsigned char *)buf, length, digest);
}

/* One line of a description: its name, and its value. */
struct line {
	const char *text;
	size_t length; /* 0: past the end */
	size_t name_length;
};

static struct line line_at(const char *text)
{
	struct line line = { text, strcspn(text, "\n"), 0 };
	const char *sign = strstr(text, " = ");

	line.name_length = line.length;
	if (sign && sign < text + line.length)
		line.name_length = sign - text;
	return line;
}

static const char *line_after(const struct line *line)
{
	return line->text + line->length + (line->text[line->length] == '\n');
}

/* The other side's text is a stranger's: printable, and not too much of it. */
static const char *shown(const char *from, size_t length, char *buf)
{
	if (length > LINE_SHOWN_BYTES - 1)
		length = LINE_SHOWN_BYTES - 1;
	for (size_t i = 0; i < length; i++)
		buf[i] = isascii(from[i]) && isprint(from[i]) ? from[i] : '?';
	buf[length] = 0;
	return buf;
}

static const char *value(const struct line *line, char *buf)
{
	size_t skip = line->name_length + strlen(" = ");

	if (skip > line->length)
		skip = line->length;
	return shown(line->text + skip, line->length - skip, buf);
}

static bool same_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
	return a_length == b_length && !memcmp(a, b, a_length);
}

static bool has_name(const char *text, const struct line *wanted)
{
	while (*text) {
		struct line line = line_at(text);

		if (same_text(line.text, line.name_length, wanted->text, wanted->name_length))
			return true;
		text = line_after(&line);
	}
	return false;
}

static void say_difference(const struct line *mine, const struct line *theirs, const char *others,
			   const char *me, const char *them, char *text, size_t bytes)
{
	char name[LINE_SHOWN_BYTES], here[LINE_SHOWN_BYTES], there[LINE_SHOWN_BYTES];

	if (same_text(mine->text, mine->name_length, theirs->text, theirs->name_length))
		snprintf(text, bytes, "%s is \"%s\" on %s and \"%s\" on %s",
			 shown(mine->text, mine->name_length, name), value(mine, here), me,
			 value(theirs, there), them);
	else if (mine->length && !has_name(others, mine))
		snprintf(text, bytes, "\"%s\" stands only on %s",
			 shown(mine->text, mine->length, here), me);
	else
		snprintf(text, bytes, "\"%s\" stands only on %s",
			 shown(theirs->text, theirs->length, there), them);
}

bool conf_difference(const char *mine, const char *theirs, const char *me, const char *them,
		     char *text, size_t bytes)
{
	const char *others = theirs;

	while (*mine || *theirs) {
		struct line a = line_at(mine), b = line_at(theirs);

		if (!same_text(a.text, a.length, b.text, b.length)) {
			say_difference(&a, &b, others, me, them, text, bytes);
			return true;
		}
		mine = line_after(&a);
		theirs = line_after(&b);
	}
	return false;
}
