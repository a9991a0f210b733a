/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the admin command says: results and errors, in words or as JSON, and
 * how sizes, times and identifiers look.  Every error ends up in say_error().
 */
#ifndef REPRISE_SAY_H
#define REPRISE_SAY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_code {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,	/* refused, or failed */
	EXIT_USAGE = 2,
};

void say_set_json(bool json);
bool say_is_json(void);

/**
 * say_error - tell why not; always returns EXIT_REFUSED
 * @code: as in the agent's answers: "busy", "invalid", "io", ...
 * @hint: what to do next, or NULL
 */
int say_error(const char *code, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The agent's final answer {"ok":false, ...}, for @resource (may be NULL). */
int say_refusal(const char *resource, const json_t *answer);
/* A remark that changes no exit code, on stderr. */
void say_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/*
 * The result: words on stdout, or with --json @object (stolen; NULL: an
 * empty one) with "ok":true added.  Returns EXIT_OK.
 */
int say_done(json_t *object, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One JSON object a line on stdout, flushed; steals @object. */
void say_json(json_t *object);
/* Progress on a terminal; @percent < 0: words only.  Overwrites itself. */
void say_progress(int percent, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void say_progress_end(void);
/* A question on the terminal; true: "yes".  Never asked without one: true. */
bool say_confirm(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "1.5 GiB" into @buf (at least 24 bytes); returns @buf. */
const char *say_size(uint64_t bytes, char *buf);
/* "2026-11-22 10:55:04" local time into @buf (at least 32 bytes). */
const char *say_time(uint64_t realtime_ns, char *buf);
/* Hexadecimal into @buf (2 * @bytes + 1). */
const char *say_hex(const uint8_t *id, size_t bytes, char *buf);

#endif /* REPRISE_SAY_H */
