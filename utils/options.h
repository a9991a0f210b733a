/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command line: which commands there are, what each takes, and the parsed
 * result.  Help, completion and the manual's test are fed from the same table.
 */
#ifndef REPRISE_OPTIONS_H
#define REPRISE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	OPTIONS_MAX_NODES = 16,
	OPTIONS_MAX_ARGS = 4,
};

/* What a command may be given, beside the options that all take. */
enum option_flag {
	TAKES_FORCE	= 1 << 0,
	TAKES_YES	= 1 << 1,
	TAKES_ALL	= 1 << 2,
	TAKES_TIMEOUT	= 1 << 3,
	TAKES_KEEP_DATA	= 1 << 4,
	TAKES_BLANK	= 1 << 5,
	TAKES_WATCH	= 1 << 6,
	TAKES_CHECK	= 1 << 7,
	TAKES_SEGMENT	= 1 << 8,
};

struct options {
	const char *config_dir;
	const char *run_dir;
	const char *nodes[OPTIONS_MAX_NODES];	/* --node; of all commands but new the last counts */
	unsigned int nr_nodes;
	bool json, force, yes, all, keep_data, blank, check, help;
	unsigned int watch_s;			/* 0: once */
	uint32_t timeout_ms;			/* 0: the agent's default */
	uint64_t segment_bytes;			/* 0: as the log says */
	const char *args[OPTIONS_MAX_ARGS];
	unsigned int nr_args;
};

struct command {
	const char *name;
	const char *synopsis;		/* its arguments */
	const char *summary;		/* one line */
	const char *details;		/* more, or NULL */
	unsigned int takes;		/* enum option_flag */
	unsigned int min_args, max_args;
	bool hidden;
	int (*run)(const struct options *options, const struct command *command);
};

/**
 * options_parse - read what follows the command's name
 * @argv: argv[0] is the command's name
 *
 * Return: false after having said what is wrong (exit code 2).
 */
bool options_parse(const struct command *command, int argc, char **argv, struct options *options);
void options_help(const struct command *command);

#endif /* REPRISE_OPTIONS_H */
