/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reading a configuration, inside: the state of one reading, complaints that
 * name their line, and the kinds of value.  For conf*.c only.
 */
#ifndef REPRISE_CONF_PARSE_H
#define REPRISE_CONF_PARSE_H

#include <confuse.h>
#include <stdarg.h>
#include <stdio.h>

#include "conf.h"

enum { CONF_MAX_SETTINGS = 512 };

#define KIB	1024ULL
#define MIB	(1024 * KIB)
#define GIB	(1024 * MIB)

struct conf_setting {
	const cfg_opt_t *opt;
	int line;
};

struct conf_parse {
	const char *path;
	char *error;
	size_t error_bytes;
	bool failed;
	struct conf *conf;
	struct conf_setting settings[CONF_MAX_SETTINGS];
	unsigned int nr_settings;
};

/* The first complaint counts; @line 0: about the file as a whole.  Always false. */
bool conf_complain(struct conf_parse *p, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The line of a setting, or of the end of the section that lacks it. */
int conf_line_of(const struct conf_parse *p, cfg_t *cfg, const char *name);
bool conf_is_set(cfg_t *cfg, const char *name);
/* Complains, with @example of what to write, if it is not set. */
bool conf_require(struct conf_parse *p, cfg_t *cfg, const char *name, const char *example);

/* Have settings' lines noted, and their second appearance refused. */
void conf_parse_note(cfg_t *cfg, const char *const *names, size_t count);
/* libconfuse's part.  False after a complaint. */
bool conf_parse_stream(struct conf_parse *p, cfg_t *cfg, FILE *stream);

bool conf_name_is_valid(const char *name);

struct conf_size_rule {
	const char *name;
	uint64_t min, max, multiple;
	const char *words;
};

/* Each reads one kind of value; false after a complaint, @value untouched. */
bool conf_read_hex(struct conf_parse *p, cfg_t *cfg, const char *name, uint8_t *out, size_t bytes);
bool conf_read_size(struct conf_parse *p, cfg_t *cfg, const struct conf_size_rule *rule,
		    uint64_t *value);
bool conf_read_timeout(struct conf_parse *p, cfg_t *cfg);
bool conf_read_path(struct conf_parse *p, cfg_t *cfg, const char *name, char *out, size_t bytes);

/* conf_node.c: volumes, then the nodes that have to have them. */
bool conf_read_volumes(struct conf_parse *p, cfg_t *cfg);
bool conf_read_nodes(struct conf_parse *p, cfg_t *cfg);

#endif /* REPRISE_CONF_PARSE_H */
