// SPDX-License-Identifier: GPL-2.0
/*
 * What env.h offers on top of an implementation.
 */
#include "env.h"

#include <stdarg.h>
#include <stdio.h>

void env_log(struct env *env, int level, const char *resource, const char *fmt, ...)
{
	char text[768];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	env->ops->log(env, level, resource, text);
}
