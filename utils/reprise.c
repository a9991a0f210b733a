// SPDX-License-Identifier: GPL-2.0
/*
 * reprise, the admin command: its table of contents.
 *
 * Exit codes: 0 done, 1 refused or failed, 2 the command line was wrong.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "say.h"
#include "version.h"

static const struct command commands[] = {
	{ .name = "new", .synopsis = "RESOURCE --node NAME=ADDRESS,DEVICE,LOG --node ...",
	  .summary = "write the configuration of a new resource, with a fresh id and key",
	  .min_args = 1, .max_args = 1, .run = cmd_new },
	{ .name = "create", .synopsis = "RESOURCE",
	  .summary = "make this node's copy: zeroed volumes, metadata, an empty log",
	  .takes = TAKES_KEEP_DATA | TAKES_BLANK | TAKES_FORCE | TAKES_YES,
	  .min_args = 1, .max_args = 1, .run = cmd_create },
	{ .name = "destroy", .synopsis = "RESOURCE",
	  .summary = "erase this node's metadata and log; the data stays on its device",
	  .takes = TAKES_FORCE | TAKES_YES, .min_args = 1, .max_args = 1, .run = cmd_destroy },
	{ .name = "up", .synopsis = "RESOURCE | --all",
	  .summary = "take part in replication, as secondary",
	  .takes = TAKES_ALL, .min_args = 1, .max_args = 1, .run = cmd_up },
	{ .name = "down", .synopsis = "RESOURCE | --all",
	  .summary = "take part no longer; a primary is demoted first",
	  .details = "With --force, pending I/O fails; without an agent the kernel alone does it.",
	  .takes = TAKES_ALL | TAKES_FORCE | TAKES_TIMEOUT, .min_args = 1, .max_args = 1,
	  .run = cmd_down },
	{ .name = "reload", .synopsis = "[RESOURCE]",
	  .summary = "read the configuration again", .max_args = 1, .run = cmd_ask },
	{ .name = "connect", .synopsis = "RESOURCE [PEER]",
	  .summary = "connect after a disconnect, or at once", .min_args = 1, .max_args = 2,
	  .run = cmd_ask },
	{ .name = "disconnect", .synopsis = "RESOURCE [PEER]",
	  .summary = "disconnect, until connect is called", .min_args = 1, .max_args = 2,
	  .run = cmd_ask },
	{ .name = "status", .synopsis = "[RESOURCE]",
	  .summary = "how things stand; works without the agent, too",
	  .takes = TAKES_WATCH | TAKES_CHECK, .max_args = 1, .run = cmd_status },
	{ .name = "promote", .synopsis = "RESOURCE",
	  .summary = "become primary: the device appears, and may be written",
	  .details = "With --force also out of contact with a peer, or after a primary has crashed:\n"
		     "what only the peer holds is not in the content then, and if it is primary\n"
		     "too, the two split.",
	  .takes = TAKES_FORCE | TAKES_TIMEOUT, .min_args = 1, .max_args = 1, .run = cmd_ask },
	{ .name = "demote", .synopsis = "RESOURCE",
	  .summary = "become secondary: the device must not be in use, and goes away",
	  .details = "With --force also if a peer does not hold everything; pending I/O fails.",
	  .takes = TAKES_FORCE | TAKES_TIMEOUT, .min_args = 1, .max_args = 1, .run = cmd_ask },
	{ .name = "freeze", .synopsis = "RESOURCE",
	  .summary = "let all I/O of a primary wait", .min_args = 1, .max_args = 1,
	  .run = cmd_freeze },
	{ .name = "resume", .synopsis = "RESOURCE",
	  .summary = "let frozen I/O go on", .min_args = 1, .max_args = 1, .run = cmd_freeze },
	{ .name = "events", .synopsis = "[RESOURCE]",
	  .summary = "what happens, as it happens", .max_args = 1, .run = cmd_events },
	{ .name = "log", .synopsis = "[RESOURCE]",
	  .summary = "the timelines lived through, and the position", .max_args = 1,
	  .run = cmd_log },
	{ .name = "dump", .synopsis = "frames|log|meta PATH",
	  .summary = "look at a log or at metadata on disk, and at what is wrong with it",
	  .details = "PATH: a log's directory, device or segment; for meta a backing device.\n"
		     "Exit code 1 if a check fails.",
	  .takes = TAKES_SEGMENT, .min_args = 2, .max_args = 2, .run = cmd_dump },
	{ .name = "key", .synopsis = "rotate RESOURCE",
	  .summary = "replace the key; the old one stays valid as previous-key",
	  .min_args = 2, .max_args = 2, .run = cmd_key },
	{ .name = "version", .synopsis = "",
	  .summary = "versions of this command, the agent and the module", .run = cmd_version },
	{ .name = "probe", .synopsis = "DEVICE",
	  .summary = "what udev should know of a backing device", .hidden = true, .min_args = 1,
	  .max_args = 1, .run = cmd_probe },
};

enum { NR_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const struct command *find_command(const char *name)
{
	for (unsigned int i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static void help(FILE *out)
{
	fprintf(out, "usage: reprise COMMAND [options] [arguments]\n\ncommands:\n");
	for (unsigned int i = 0; i < NR_COMMANDS; i++)
		if (!commands[i].hidden)
			fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n'reprise COMMAND --help' shows what a command takes; "
		"reprise(8) explains everything.\n"
		"exit codes: 0 done, 1 refused or failed, 2 wrong command line\n");
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct options options;

	/* A reader that goes away early (head) is no error worth a message. */
	signal(SIGPIPE, SIG_DFL);
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return EXIT_OK;
	}
	command = find_command(!strcmp(argv[1], "--version") ? "version" : argv[1]);
	if (!command) {
		fprintf(stderr, "reprise: no such command: %s\n"
			"         'reprise --help' shows them\n", argv[1]);
		return EXIT_USAGE;
	}
	if (!options_parse(command, argc - 1, argv + 1, &options))
		return EXIT_USAGE;
	if (options.help) {
		options_help(command);
		return EXIT_OK;
	}
	say_set_json(options.json);
	return command->run(&options, command);
}
