/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One question to the agent, and the plain words when nobody answers.
 */
#ifndef REPRISE_ASK_H
#define REPRISE_ASK_H

#include <jansson.h>
#include <stdbool.h>

#include "options.h"

enum { ASK_STATUS_WAIT_MS = 3000 };

/* {"cmd":@cmd, "resource":@resource (unless NULL)} */
json_t *ask_request(const char *cmd, const char *resource);

/**
 * ask_agent - send @request (stolen) and wait for the final answer
 * @wait_ms: for each line; -1: for ever
 * @answer: the caller's
 *
 * Return: 0 or -errno, nothing said; ask_says_dead() tells what that means.
 */
int ask_agent(const struct options *options, json_t *request, int wait_ms, json_t **answer);
/* No agent at all (as opposed to one that hangs or may not be asked). */
bool ask_says_dead(int err);
/* "the agent is not running", "the agent does not answer", ... */
const char *ask_words(int err);
/* Say that; always returns EXIT_REFUSED. */
int ask_say_unreachable(const struct options *options, const char *resource, int err);
bool ask_is_ok(const json_t *answer);

#endif /* REPRISE_ASK_H */
