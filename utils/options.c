// SPDX-License-Identifier: GPL-2.0
/*
 * Options: one table, of which each command takes a part.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum { COMMON = 0, DEFAULT_WATCH_S = 2, MAX_TIMEOUT_S = 86400 };

struct option_def {
	const char *name;
	char short_name;	/* 0: none */
	int has_arg;
	unsigned int flag;	/* COMMON: every command takes it */
	const char *metavar;
	const char *help;
};

static const struct option_def defs[] = {
	{ "force", 0, no_argument, TAKES_FORCE, NULL, "go on although it may cost something" },
	{ "yes", 'y', no_argument, TAKES_YES, NULL, "do not ask on the terminal" },
	{ "all", 'a', no_argument, TAKES_ALL, NULL, "every resource" },
	{ "timeout", 0, required_argument, TAKES_TIMEOUT, "SECONDS", "how long it may take" },
	{ "keep-data", 0, no_argument, TAKES_KEEP_DATA, NULL,
	  "the device's content is the first content; on one node only" },
	{ "blank", 0, no_argument, TAKES_BLANK, NULL,
	  "nothing is known of the content: it will be fetched from a peer" },
	{ "watch", 'w', optional_argument, TAKES_WATCH, "SECONDS",
	  "again and again, every 2 seconds unless given" },
	{ "check", 0, no_argument, TAKES_CHECK, NULL,
	  "one line and an exit code (0 ok, 1 warning, 2 critical, 3 unknown)" },
	{ "segment-size", 0, required_argument, TAKES_SEGMENT, "MIB",
	  "of a log on a block device whose first segment is unreadable" },
	{ "json", 0, no_argument, COMMON, NULL, "answer as JSON" },
	{ "config-dir", 0, required_argument, COMMON, "DIR", "instead of /etc/reprise" },
	{ "run-dir", 0, required_argument, COMMON, "DIR", "instead of /run/reprise" },
	{ "node", 'n', required_argument, COMMON, "NAME",
	  "this node's name, instead of the host's" },
	{ "help", 'h', no_argument, COMMON, NULL, "this text" },
};

enum { NR_DEFS = sizeof(defs) / sizeof(defs[0]), FIRST_LONG = 256 };

static bool takes(const struct command *command, const struct option_def *def)
{
	return def->flag == COMMON || (command->takes & def->flag);
}

/* Fills what getopt_long() wants; values are FIRST_LONG + index. */
static void make_getopt(const struct command *command, struct option *longs, char *shorts)
{
	unsigned int n = 0;
	char *s = shorts;

	*s++ = ':';
	for (unsigned int i = 0; i < NR_DEFS; i++) {
		if (!takes(command, &defs[i]))
			continue;
		longs[n++] = (struct option){ defs[i].name, defs[i].has_arg, NULL, FIRST_LONG + i };
		if (!defs[i].short_name)
			continue;
		*s++ = defs[i].short_name;
		for (int colons = defs[i].has_arg; colons; colons--)
			*s++ = ':';
	}
	longs[n] = (struct option){ NULL, 0, NULL, 0 };
	*s = 0;
}

static const struct option_def *find_def(int value)
{
	if (value >= FIRST_LONG)
		return &defs[value - FIRST_LONG];
	for (unsigned int i = 0; i < NR_DEFS; i++)
		if (defs[i].short_name == value)
			return &defs[i];
	return NULL;
}

static bool parse_number(const char *text, unsigned long max, unsigned long *number)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 9 || text[digits])
		return false;
	*number = strtoul(text, NULL, 10);
	return *number && *number <= max;
}

static bool wrong_value(const struct option_def *def, const char *value)
{
	fprintf(stderr, "reprise: --%s %s: a whole number of at least 1 is expected\n", def->name,
		value);
	return false;
}

static bool store_number(struct options *o, const struct option_def *def, const char *value)
{
	unsigned long number;

	if (!parse_number(value, MAX_TIMEOUT_S, &number))
		return wrong_value(def, value);
	if (def->flag == TAKES_TIMEOUT)
		o->timeout_ms = number * 1000;
	else if (def->flag == TAKES_WATCH)
		o->watch_s = number;
	else
		o->segment_bytes = (uint64_t)number << 20;
	return true;
}

static bool store_common(struct options *o, const struct option_def *def, const char *value)
{
	if (!strcmp(def->name, "json")) {
		o->json = true;
	} else if (!strcmp(def->name, "help")) {
		o->help = true;
	} else if (!strcmp(def->name, "config-dir")) {
		o->config_dir = value;
	} else if (!strcmp(def->name, "run-dir")) {
		o->run_dir = value;
	} else if (o->nr_nodes < OPTIONS_MAX_NODES) {
		o->nodes[o->nr_nodes++] = value;
	} else {
		fprintf(stderr, "reprise: too many --node\n");
		return false;
	}
	return true;
}

static bool store(struct options *o, const struct option_def *def, const char *value)
{
	switch (def->flag) {
	case TAKES_FORCE:
		o->force = true;
		return true;
	case TAKES_YES:
		o->yes = true;
		return true;
	case TAKES_ALL:
		o->all = true;
		return true;
	case TAKES_KEEP_DATA:
		o->keep_data = true;
		return true;
	case TAKES_BLANK:
		o->blank = true;
		return true;
	case TAKES_CHECK:
		o->check = true;
		return true;
	case COMMON:
		return store_common(o, def, value);
	default:
		return store_number(o, def, value);
	}
}

static bool usage_error(const struct command *command, const char *what, const char *which)
{
	fprintf(stderr, "reprise %s: %s%s%s\n         'reprise %s --help' shows what it takes\n",
		command->name, what, which ? ": " : "", which ? which : "", command->name);
	return false;
}

/* getopt wants an optional value glued on; "--watch 5" is what people type. */
static const char *optional_value(int argc, char **argv)
{
	unsigned long number;

	if (optarg)
		return optarg;
	if (optind < argc && parse_number(argv[optind], MAX_TIMEOUT_S, &number))
		return argv[optind++];
	return NULL;
}

static bool parse_one(const struct command *command, int value, int argc, char **argv,
		      struct options *o)
{
	const struct option_def *def = value == '?' || value == ':' ? NULL : find_def(value);
	const char *text = optarg;

	if (value == ':')
		return usage_error(command, "this option needs a value", argv[optind - 1]);
	if (!def)
		return usage_error(command, "no such option", argv[optind - 1]);
	if (def->has_arg == optional_argument) {
		text = optional_value(argc, argv);
		if (!text) {
			o->watch_s = DEFAULT_WATCH_S;
			return true;
		}
	}
	return store(o, def, text);
}

static bool check_args(const struct command *command, int argc, char **argv, struct options *o)
{
	unsigned int n = argc - optind;

	if (o->help)
		return true;
	if (o->all && n)
		return usage_error(command, "either a resource or --all", NULL);
	if (n < command->min_args && !o->all)
		return usage_error(command, "something is missing, expected", command->synopsis);
	if (n > command->max_args)
		return usage_error(command, "one argument too many",
				   argv[optind + command->max_args]);
	for (o->nr_args = 0; o->nr_args < n; o->nr_args++)
		o->args[o->nr_args] = argv[optind + o->nr_args];
	return true;
}

bool options_parse(const struct command *command, int argc, char **argv, struct options *options)
{
	char shorts[2 + 3 * NR_DEFS];
	struct option longs[NR_DEFS + 1];
	int value;

	make_getopt(command, longs, shorts);
	*options = (struct options){ .config_dir = "/etc/reprise", .run_dir = "/run/reprise" };
	opterr = 0;
	optind = 0;
	while ((value = getopt_long(argc, argv, shorts, longs, NULL)) != -1)
		if (!parse_one(command, value, argc, argv, options))
			return false;
	return check_args(command, argc, argv, options);
}

void options_help(const struct command *command)
{
	printf("usage: reprise %s [options]%s%s\n\n%s.\n", command->name,
	       command->synopsis[0] ? " " : "", command->synopsis, command->summary);
	if (command->details)
		printf("\n%s\n", command->details);
	printf("\noptions:\n");
	for (unsigned int i = 0; i < NR_DEFS; i++) {
		const struct option_def *def = &defs[i];
		char left[64];

		if (!takes(command, def))
			continue;
		snprintf(left, sizeof(left), "%c%c%c --%s%s%s%s", def->short_name ? '-' : ' ',
			 def->short_name ? def->short_name : ' ', def->short_name ? ',' : ' ',
			 def->name, def->has_arg == optional_argument ? " [" : def->metavar ? " " : "",
			 def->metavar ? def->metavar : "",
			 def->has_arg == optional_argument ? "]" : "");
		printf("  %-26s %s\n", left, def->help);
	}
}
