/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The state of this node's resources, as one JSON object in the shape of the
 * agent's status answer, wherever it comes from: the agent, or without one
 * the kernel and the disks.
 */
#ifndef REPRISE_STATUS_H
#define REPRISE_STATUS_H

#include <jansson.h>

#include "options.h"

/**
 * status_collect - ask the agent, else look for oneself
 * @resource: NULL: all
 *
 * The answer has "agent": "running", or in words why it was not the source.
 * Return: the answer ("ok" may be false), the caller's.
 */
json_t *status_collect(const struct options *options, const char *resource);

/*
 * The resources' array as kernel and disks show it; @resource NULL: all.
 * @agent: why the agent did not answer, in words.
 */
json_t *status_local(const struct options *options, const char *resource, const char *agent);

/* A resource of which nothing can be said but why. */
json_t *status_unreadable(const char *name, const char *why);

/* In words, on stdout. */
void status_print(const json_t *status);
/* One line and the exit code of a monitoring plugin. */
int status_check(const json_t *status);

/* Values of objects that may lack them. */
const char *status_text(const json_t *object, const char *name, const char *otherwise);
uint64_t status_number(const json_t *object, const char *name);

#endif /* REPRISE_STATUS_H */
