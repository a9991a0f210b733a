// SPDX-License-Identifier: GPL-2.0
/*
 * The one place that writes to stdout and stderr for results and errors, so
 * that words and JSON never mix.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

static bool json_wanted;
static bool progress_shown;

void say_set_json(bool json)
{
	json_wanted = json;
}

bool say_is_json(void)
{
	return json_wanted;
}

void say_json(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);

	puts(text ? text : "{\"ok\":false,\"error\":\"out of memory\"}");
	fflush(stdout);
	free(text);
	json_decref(object);
}

static void set_text(json_t *object, const char *name, const char *text)
{
	if (text)
		json_object_set_new(object, name, json_stringn_nocheck(text, strlen(text)));
}

static void print_error(const char *text, const char *hint)
{
	say_progress_end();
	fprintf(stderr, "reprise: %s\n", text);
	if (hint)
		fprintf(stderr, "         %s\n", hint);
}

int say_error(const char *code, const char *hint, const char *fmt, ...)
{
	char *text = NULL;
	json_t *object;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	if (json_wanted) {
		object = json_pack("{s:b}", "ok", false);
		set_text(object, "error", text);
		set_text(object, "hint", hint);
		set_text(object, "code", code);
		say_json(object);
	} else {
		print_error(text, hint);
	}
	free(text);
	return EXIT_REFUSED;
}

int say_refusal(const char *resource, const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	const char *hint = json_string_value(json_object_get(answer, "hint"));
	const char *code = json_string_value(json_object_get(answer, "code"));

	if (!error)
		error = "the agent refused without saying why";
	if (!resource || strstr(error, resource))
		return say_error(code, hint, "%s", error);
	return say_error(code, hint, "%s: %s", resource, error);
}

void say_note(const char *fmt, ...)
{
	va_list ap;

	say_progress_end();
	va_start(ap, fmt);
	fputs("reprise: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

int say_done(json_t *object, const char *fmt, ...)
{
	va_list ap;

	say_progress_end();
	if (json_wanted) {
		if (!object)
			object = json_object();
		json_object_set_new(object, "ok", json_true());
		say_json(object);
		return EXIT_OK;
	}
	json_decref(object);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	return EXIT_OK;
}

void say_progress(int percent, const char *fmt, ...)
{
	va_list ap;

	if (json_wanted || !isatty(STDERR_FILENO))
		return;
	va_start(ap, fmt);
	fputc('\r', stderr);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (percent >= 0)
		fprintf(stderr, ": %d %%", percent);
	fputs("\x1b[K", stderr);
	progress_shown = true;
}

void say_progress_end(void)
{
	if (progress_shown)
		fputc('\n', stderr);
	progress_shown = false;
}

bool say_confirm(const char *fmt, ...)
{
	char answer[16] = "";
	va_list ap;

	if (!isatty(STDIN_FILENO))
		return true;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(" (yes/no) ", stderr);
	return fgets(answer, sizeof(answer), stdin) && !strcmp(answer, "yes\n");
}

const char *say_size(uint64_t bytes, char *buf)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = bytes;
	unsigned int unit = 0;

	for (; value >= 1024 && unit < 5; unit++)
		value /= 1024;
	if (value == (uint64_t)value)
		snprintf(buf, 24, "%" PRIu64 " %s", (uint64_t)value, units[unit]);
	else
		snprintf(buf, 24, "%.1f %s", value, units[unit]);
	return buf;
}

const char *say_time(uint64_t realtime_ns, char *buf)
{
	time_t seconds = realtime_ns / 1000000000;
	struct tm tm;

	if (!realtime_ns || !localtime_r(&seconds, &tm) ||
	    !strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm))
		strcpy(buf, "never");
	return buf;
}

const char *say_hex(const uint8_t *id, size_t bytes, char *buf)
{
	for (size_t i = 0; i < bytes; i++)
		snprintf(buf + 2 * i, 3, "%02x", id[i]);
	buf[2 * bytes] = 0;
	return buf;
}
