/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A configuration's text, made safe for libconfuse 3.3, whose scanner counts
 * lines wrongly after comments, expands environment variables and takes the
 * end of the file for a closing brace.
 */
#ifndef REPRISE_CONF_COMMENTS_H
#define REPRISE_CONF_COMMENTS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * conf_comments_blank - overwrite comments by spaces
 * @text: changed in place; newlines stay, so line numbers do too
 * @line: on failure the line that @why is about
 *
 * Refuses what no configuration holds: control characters, strings that do
 * not end in their line, comments and sections that do not end, "${".
 * Return: true if @text is good.
 */
bool conf_comments_blank(char *text, size_t length, int *line, const char **why);

#endif /* REPRISE_CONF_COMMENTS_H */
