// SPDX-License-Identifier: GPL-2.0
/*
 * Complaints and values of a configuration.  Every complaint names the line
 * it is about, so the line of each setting is noted while libconfuse reads.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_parse.h"

enum {
	MIN_TIMEOUT_MS = 100,
	MAX_TIMEOUT_MS = 600000,
	SECRET_DIGITS = 12,		/* fewer in a row give no key away */
};

static _Thread_local struct conf_parse *parsing;

/* After a slip of the pen, the word that is quoted as wrong may be the key. */
static void hide_secrets(char *text)
{
	while (*text) {
		size_t digits = strspn(text, "0123456789abcdefABCDEF");

		if (digits >= SECRET_DIGITS)
			memset(text, '*', digits);
		text += digits ? digits : 1;
	}
}

static void vcomplain(struct conf_parse *p, int line, const char *fmt, va_list ap)
{
	int n;

	if (p->failed)
		return;
	p->failed = true;
	if (line)
		n = snprintf(p->error, p->error_bytes, "%s:%d: ", p->path, line);
	else
		n = snprintf(p->error, p->error_bytes, "%s: ", p->path);
	if (n < 0 || (size_t)n >= p->error_bytes)
		return;
	vsnprintf(p->error + n, p->error_bytes - n, fmt, ap);
	hide_secrets(p->error + n);
}

bool conf_complain(struct conf_parse *p, int line, const char *fmt, ...)
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

static const struct conf_setting *setting_find(const struct conf_parse *p, const cfg_opt_t *opt)
{
	for (unsigned int i = 0; i < p->nr_settings; i++)
		if (p->settings[i].opt == opt)
			return &p->settings[i];
	return NULL;
}

/* libconfuse calls this when it has read a value. */
static int note_setting(cfg_t *cfg, cfg_opt_t *opt)
{
	struct conf_parse *p = parsing;
	const struct conf_setting *before = setting_find(p, opt);

	if (before) {
		conf_complain(p, cfg->line, "'%s' was already set in line %d; keep one of the two",
			      opt->name, before->line);
		return -1;
	}
	if (p->nr_settings == CONF_MAX_SETTINGS) {
		conf_complain(p, cfg->line, "more settings than a resource can have");
		return -1;
	}
	p->settings[p->nr_settings++] = (struct conf_setting){ opt, cfg->line };
	return 0;
}

int conf_line_of(const struct conf_parse *p, cfg_t *cfg, const char *name)
{
	const struct conf_setting *s = setting_find(p, cfg_getopt(cfg, name));

	return s ? s->line : cfg->line;
}

bool conf_is_set(cfg_t *cfg, const char *name)
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

bool conf_require(struct conf_parse *p, cfg_t *cfg, const char *name, const char *example)
{
	char buf[96];

	if (conf_is_set(cfg, name))
		return true;
	return conf_complain(p, cfg->line, "%s lacks '%s'; add a line like: %s = %s",
			     where(cfg, buf, sizeof(buf)), name, name, example);
}
bool conf_name_is_valid(const char *name)
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

bool conf_read_hex(struct conf_parse *p, cfg_t *cfg, const char *name, uint8_t *out, size_t bytes)
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
	return conf_complain(p, conf_line_of(p, cfg, name),
			     "'%s' is all zeros; use random digits ('reprise new' makes them)",
			     name);
invalid:
	/* The text itself may be most of a key: never quoted. */
	return conf_complain(p, conf_line_of(p, cfg, name), "'%s' must be %zu hexadecimal digits",
			     name, 2 * bytes);
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = { { "KiB", KIB },
					  { "MiB", MIB },
					  { "GiB", GIB },
					  { NULL, 0 } };

static const struct unit time_units[] = { { "ms", 1 }, { "s", 1000 }, { NULL, 0 } };

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

static bool read_quantity(struct conf_parse *p, cfg_t *cfg, const char *name,
			  const struct unit *units, uint64_t *value)
{
	const char *text = cfg_getstr(cfg, name);

	if (parse_quantity(text, units, value))
		return true;
	return conf_complain(p, conf_line_of(p, cfg, name),
			     "'%s' is \"%.32s\"; write a number and %s", name, text,
			     units == time_units ? "ms or s, like \"6s\"" :
						   "KiB, MiB or GiB, like \"64MiB\"");
}

bool conf_read_size(struct conf_parse *p, cfg_t *cfg, const struct conf_size_rule *rule,
		    uint64_t *value)
{
	uint64_t v;

	if (!conf_is_set(cfg, rule->name))
		return true;
	if (!read_quantity(p, cfg, rule->name, size_units, &v))
		return false;
	if (v < rule->min || v > rule->max || v % rule->multiple)
		return conf_complain(p, conf_line_of(p, cfg, rule->name), "'%s' must be %s",
				     rule->name, rule->words);
	*value = v;
	return true;
}

bool conf_read_timeout(struct conf_parse *p, cfg_t *cfg)
{
	uint64_t v = 0;

	if (!conf_is_set(cfg, "timeout"))
		return true;
	if (!read_quantity(p, cfg, "timeout", time_units, &v))
		return false;
	if (v < MIN_TIMEOUT_MS || v > MAX_TIMEOUT_MS)
		return conf_complain(p, conf_line_of(p, cfg, "timeout"),
				     "'timeout' must be between 100ms and 600s");
	p->conf->timeout_ms = v;
	return true;
}

bool conf_read_path(struct conf_parse *p, cfg_t *sec, const char *name, char *out, size_t bytes)
{
	const char *path = cfg_getstr(sec, name);

	if (path[0] != '/')
		return conf_complain(p, conf_line_of(p, sec, name),
				     "'%s' is \"%.64s\"; it must be an absolute path", name, path);
	if (strlen(path) >= bytes)
		return conf_complain(p, conf_line_of(p, sec, name),
				     "'%s' is longer than %zu characters", name, bytes - 1);
	strcpy(out, path);
	return true;
}

void conf_parse_note(cfg_t *cfg, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cfg_set_validate_func(cfg, names[i], note_setting);
}

bool conf_parse_stream(struct conf_parse *p, cfg_t *cfg, FILE *stream)
{
	bool good;

	cfg_set_error_function(cfg, syntax_error);
	cfg->line = 1;
	parsing = p;
	good = cfg_parse_fp(cfg, stream) == CFG_SUCCESS;
	parsing = NULL;
	if (good && !p->failed)
		return true;
	return conf_complain(p, cfg->line, "cannot be understood");
}
