// SPDX-License-Identifier: GPL-2.0
/*
 * One pass over a configuration's text that removes comments and refuses what
 * libconfuse's scanner would misread.  The one idea: every byte is looked at
 * in exactly one of four places: plain, string, line comment, block comment.
 */
#include <string.h>

#include "conf_comments.h"

enum place { PLAIN, STRING, LINE_COMMENT, BLOCK_COMMENT };

struct scan {
	enum place place;
	char quote; /* STRING: which one ends it */
	int line;
	int begin; /* line in which the string or comment began */
	int depth; /* of braces */
	int section; /* line in which the outermost open one stands */
	const char *why;
};

/* What begins at @c in plain text; the number of bytes that announce it. */
static size_t begin(struct scan *s, char c, char next)
{
	s->begin = s->line;
	if (c == '{' && !s->depth++)
		s->section = s->line;
	if (c == '}' && s->depth)
		s->depth--;
	if (c == '"' || c == '\'') {
		s->place = STRING;
		s->quote = c;
	} else if (c == '#' || (c == '/' && next == '/')) {
		s->place = LINE_COMMENT;
	} else if (c == '/' && next == '*') {
		s->place = BLOCK_COMMENT;
		return 2;
	}
	return 1;
}

static size_t in_string(struct scan *s, char c, char next)
{
	if (c == '\n') {
		s->why = "a string begins in this line and does not end in it";
		return 1;
	}
	if (c == '\\' && next != '\n')
		return 2;
	if (c == s->quote)
		s->place = PLAIN;
	return 1;
}

static size_t in_comment(struct scan *s, char c, char next)
{
	if (s->place == LINE_COMMENT && c == '\n')
		s->place = PLAIN;
	if (s->place == BLOCK_COMMENT && c == '*' && next == '/') {
		s->place = PLAIN;
		return 2;
	}
	return 1;
}

static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\n' && c != '\t' && c != '\r') || c == 0x7f;
}

static void step(struct scan *s, char *text, size_t length, size_t *at)
{
	char c = text[*at], next = *at + 1 < length ? text[*at + 1] : '\n';
	bool comment = s->place == LINE_COMMENT || s->place == BLOCK_COMMENT;
	size_t n;

	s->begin = s->place == PLAIN ? s->line : s->begin;
	if (is_control(c)) {
		s->begin = s->line;
		s->why = "a control character; a configuration is plain text";
	} else if (!comment && c == '$' && next == '{') {
		s->why = "environment variables are not expanded; write the value itself";
	}
	if (s->why)
		return;
	n = comment	       ? in_comment(s, c, next) :
	    s->place == STRING ? in_string(s, c, next) :
				 begin(s, c, next);
	comment = comment || s->place == LINE_COMMENT || s->place == BLOCK_COMMENT;
	s->line += c == '\n';
	if (comment && c != '\n')
		memset(text + *at, ' ', n);
	*at += n;
}

bool conf_comments_blank(char *text, size_t length, int *line, const char **why)
{
	struct scan s = { .place = PLAIN, .line = 1 };
	size_t at = 0;

	while (at < length && !s.why)
		step(&s, text, length, &at);
	if (!s.why && s.place == STRING)
		s.why = "a string begins in this line and does not end in it";
	if (!s.why && s.place == BLOCK_COMMENT)
		s.why = "a comment begins in this line and does not end";
	if (!s.why && s.depth) {
		s.begin = s.section;
		s.why = "the section that begins in this line has no closing brace";
	}
	*line = s.begin;
	*why = s.why;
	return !s.why;
}
