// SPDX-License-Identifier: GPL-2.0
/*
 * Host structures as JSON objects.
 */
#include "as_json.h"
#include "say.h"

void as_json_set_id(json_t *object, const char *name, const uint8_t id[REPRISE_ID_BYTES])
{
	char hex[2 * REPRISE_ID_BYTES + 1];

	json_object_set_new(object, name, json_string(say_hex(id, REPRISE_ID_BYTES, hex)));
}

json_t *as_json_timeline(const struct meta_timeline *t)
{
	json_t *object = json_pack("{s:I, s:I, s:s, s:i, s:I}", "generation",
				   (json_int_t)t->generation, "fork_seq", (json_int_t)t->fork_seq,
				   "kind", meta_fork_name(t->kind), "opener", (int)t->opener,
				   "opened_realtime_ns", (json_int_t)t->opened_realtime_ns);

	as_json_set_id(object, "id", t->id);
	as_json_set_id(object, "parent", t->parent);
	return object;
}
