/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The verbs of the admin command.  Each returns its exit code and has said
 * everything itself.
 */
#ifndef REPRISE_CMD_H
#define REPRISE_CMD_H

#include "options.h"

int cmd_new(const struct options *options, const struct command *command);
int cmd_create(const struct options *options, const struct command *command);
int cmd_destroy(const struct options *options, const struct command *command);
int cmd_up(const struct options *options, const struct command *command);
int cmd_down(const struct options *options, const struct command *command);
/* reload, connect, disconnect, promote, demote: the agent does it all. */
int cmd_ask(const struct options *options, const struct command *command);
/* freeze, resume: the agent, or without one the kernel directly. */
int cmd_freeze(const struct options *options, const struct command *command);
int cmd_status(const struct options *options, const struct command *command);
int cmd_events(const struct options *options, const struct command *command);
int cmd_log(const struct options *options, const struct command *command);
int cmd_dump(const struct options *options, const struct command *command);
int cmd_key(const struct options *options, const struct command *command);
int cmd_version(const struct options *options, const struct command *command);
int cmd_probe(const struct options *options, const struct command *command);

#endif /* REPRISE_CMD_H */
