/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What several verbs show as JSON, in one form.
 */
#ifndef REPRISE_AS_JSON_H
#define REPRISE_AS_JSON_H

#include <jansson.h>

#include "meta.h"

/* As in the agent's "log" answer. */
json_t *as_json_timeline(const struct meta_timeline *timeline);
/* @object.@name = 16 bytes in hexadecimal. */
void as_json_set_id(json_t *object, const char *name, const uint8_t id[REPRISE_ID_BYTES]);

#endif /* REPRISE_AS_JSON_H */
