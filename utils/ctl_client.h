/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The agent's control socket, from the other end: one JSON object a line.
 */
#ifndef REPRISE_CTL_CLIENT_H
#define REPRISE_CTL_CLIENT_H

#include <jansson.h>

struct ctl_client;

/* Called for each {"progress":..., "percent":...} line. */
typedef void (*ctl_client_progress)(const char *text, int percent);

/**
 * ctl_client_open - connect to <run-dir>/control.sock
 * Return: 0; -ENOENT, -ECONNREFUSED: no agent runs there; -EACCES; or another
 * -errno.
 */
int ctl_client_open(const char *run_dir, struct ctl_client **client);
void ctl_client_close(struct ctl_client *client);

/* @request is stolen.  0 or -errno. */
int ctl_client_send(struct ctl_client *client, json_t *request);
/*
 * The next object of the agent.  @wait_ms < 0: for ever.  Return 1 with
 * *@object (the caller's), 0 at the end of the stream, -ETIMEDOUT, -EPROTO (no
 * JSON object), or another -errno.
 */
int ctl_client_next(struct ctl_client *client, int wait_ms, json_t **object);
/*
 * Send and wait for the final answer.  @wait_ms: for each line of the answer.
 * 0 with *@answer (the caller's), or -errno (-ECONNRESET: the agent went away).
 */
int ctl_client_call(struct ctl_client *client, json_t *request, int wait_ms,
		    ctl_client_progress progress, json_t **answer);

#endif /* REPRISE_CTL_CLIENT_H */
