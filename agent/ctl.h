/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control socket: <run-dir>/control.sock, one JSON object per line each
 * way.  Finds the command in a table, keeps the request until it is answered,
 * and survives whatever a client sends, does not read, or breaks off.
 *
 * The one idea: a handler gets a request and answers it exactly once, now or
 * later; whether anybody still listens is not its concern.
 */
#ifndef REPRISE_CTL_H
#define REPRISE_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "env.h"

struct ctl;

enum {
	CTL_MAX_REQUEST_BYTES = 64 << 10,
	CTL_MAX_CLIENTS = 64,
	/* Answers and events not read by a client: beyond this it is dropped. */
	CTL_MAX_QUEUED_BYTES = 4 << 20,
	CTL_MAX_TIMEOUT_MS = 24 * 3600 * 1000,
};

/**
 * struct ctl_request - one command on its way
 * @cmd, @resource, @peer: from the object; @resource and @peer NULL if not given
 * @force: "force":true
 * @timeout_ms: "timeout_ms", 0 if not given
 * @body: the whole object, for whatever else a command takes
 * @cancelled: may be set by the handler: the client has gone.  The request
 *	must be answered all the same (from within @cancelled is fine); going
 *	on as if nothing had happened is fine too.
 * @data: the handler's
 *
 * Valid from the handler's call until ctl_reply() or ctl_fail().
 */
struct ctl_request {
	const char *cmd;
	const char *resource;
	const char *peer;
	bool force;
	uint32_t timeout_ms;
	json_t *body;
	void (*cancelled)(struct ctl_request *req);
	void *data;
};

enum ctl_command_flags {
	CTL_NEEDS_RESOURCE = 1 << 0,	/* refused by ctl.c without "resource" */
	CTL_NEEDS_PEER = 1 << 1,
};

struct ctl_command {
	const char *name;
	unsigned int flags;
	void (*handler)(void *ctx, struct ctl_request *req);
};

/*
 * Make the socket in @run_dir (created, if missing) and listen.  -EBUSY:
 * another agent serves this directory; other -errno; @error says it in words.
 */
int ctl_create(struct env *env, const char *run_dir, struct ctl **ctl, char *error,
	       size_t error_bytes);
/*
 * Stop listening, remove the socket, let clients read their last answers (for
 * a second at most), drop them; @done, from the loop, when everything is gone.
 * Every request must have been answered before.
 */
void ctl_destroy(struct ctl *ctl, void (*done)(void *ctx), void *ctx);

/* @table ends with a NULL name and must stay valid.  "events" and "version" are ctl.c's own. */
void ctl_set_commands(struct ctl *ctl, const struct ctl_command *table, void *ctx);

/* An intermediate line {"progress":"words","percent":12}; @percent < 0: left out. */
void ctl_progress(struct ctl_request *req, int percent, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The final answers.  The request is gone afterwards.  ctl_reply() takes over
 * the reference to @object (NULL: just {"ok":true}) and adds "ok":true.
 * @code: "busy", "unsafe", "not-found", "no-contact", "resync-needed",
 * "invalid", "io", "timeout", ...; @hint: what to do next, or NULL.
 */
void ctl_reply(struct ctl_request *req, json_t *object);
void ctl_fail(struct ctl_request *req, const char *code, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* To every client that asked for "events"; @resource and @peer may be NULL. */
void ctl_event(struct ctl *ctl, const char *resource, const char *event, const char *peer,
	       const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif /* REPRISE_CTL_H */
