// SPDX-License-Identifier: GPL-2.0
/*
 * JSON bodies of the messages between agents.  The other side has proved that
 * it has the key, but may be another release or broken: everything is
 * checked as if it were hostile.
 */
#include "message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void message_put_id(const uint8_t id[REPRISE_ID_BYTES], char text[2 * REPRISE_ID_BYTES + 1])
{
	for (unsigned int i = 0; i < REPRISE_ID_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool message_get_id(const char *text, uint8_t id[REPRISE_ID_BYTES])
{
	uint8_t value[REPRISE_ID_BYTES];

	if (!text || strlen(text) != 2 * REPRISE_ID_BYTES)
		return false;
	for (unsigned int i = 0; i < REPRISE_ID_BYTES; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		value[i] = high << 4 | low;
	}
	memcpy(id, value, sizeof(value));
	return true;
}

/* Sequence numbers count from 0; JSON integers here are signed 64 bit. */
static json_t *put_u64(uint64_t value)
{
	return json_integer((json_int_t)(value & INT64_MAX));
}

static bool as_u64(json_t *json, uint64_t max, uint64_t *value)
{
	if (!json_is_integer(json) || json_integer_value(json) < 0 ||
	    (uint64_t)json_integer_value(json) > max)
		return false;
	*value = json_integer_value(json);
	return true;
}

static bool get_u64(json_t *object, const char *key, uint64_t max, uint64_t *value)
{
	return as_u64(json_object_get(object, key), max, value);
}

static bool get_bool(json_t *object, const char *key, bool *value)
{
	json_t *json = json_object_get(object, key);

	*value = json_is_true(json);
	return json_is_boolean(json);
}

/* Texts reach terminals and logs: no control characters, but for newlines where allowed. */
static bool get_text(json_t *object, const char *key, bool lines, char *text, size_t bytes)
{
	json_t *json = json_object_get(object, key);
	const char *value = json_string_value(json);

	if (!value || json_string_length(json) != strlen(value) || strlen(value) >= bytes)
		return false;
	for (const char *c = value; *c; c++) {
		if ((unsigned char)*c < ' ' && !(lines && *c == '\n'))
			return false;
		if (*c == 0x7f)
			return false;
	}
	strcpy(text, value);
	return true;
}

static json_t *put_number(uint64_t number)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, number);
	return json_string(text);
}

static bool get_number(json_t *object, const char *key, uint64_t *number)
{
	const char *text = json_string_value(json_object_get(object, key));
	uint64_t value = 0;

	if (!text || strlen(text) != 16)
		return false;
	for (unsigned int i = 0; i < 16; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0)
			return false;
		value = value << 4 | digit;
	}
	*number = value;
	return value != 0;
}

/* A release of text that may hold anything: what cannot be sent becomes '?'. */
static json_t *put_text(const char *text, bool lines)
{
	char *copy = strdup(text);
	json_t *json;

	if (!copy)
		return NULL;
	for (char *c = copy; *c; c++) {
		if (((unsigned char)*c < ' ' && !(lines && *c == '\n')) || *c == 0x7f)
			*c = '?';
	}
	json = json_string(copy);
	free(copy);
	return json ? json : json_string("(a text that cannot be shown)");
}

json_t *message_put_introduce(const struct message_introduce *introduce)
{
	json_t *volumes = json_array();

	for (unsigned int i = 0; i < introduce->nr_volumes; i++)
		json_array_append_new(volumes, json_pack("[i,o]",
							 (int)introduce->volumes[i].number,
							 put_u64(introduce->volumes[i].sectors)));
	return json_pack("{s:i, s:s, s:s, s:o, s:i, s:o}",
			 "node", (int)introduce->node,
			 "name", introduce->name,
			 "release", introduce->release,
			 "config", put_text(introduce->config, true),
			 "logical_block", (int)introduce->logical_block_bytes,
			 "volumes", volumes);
}

static bool get_volumes(json_t *array, struct message_introduce *in)
{
	uint64_t number, sectors;
	size_t index;
	json_t *entry;

	if (!json_is_array(array) || json_array_size(array) > REPRISE_MAX_VOLUMES)
		return false;
	json_array_foreach(array, index, entry) {
		if (json_array_size(entry) != 2 ||
		    !as_u64(json_array_get(entry, 0), REPRISE_MAX_VOLUMES - 1, &number) ||
		    !as_u64(json_array_get(entry, 1), INT64_MAX, &sectors))
			return false;
		in->volumes[index].number = number;
		in->volumes[index].sectors = sectors;
	}
	in->nr_volumes = json_array_size(array);
	return true;
}

int message_get_introduce(json_t *json, struct message_introduce *introduce, const char **why)
{
	struct message_introduce *in = calloc(1, sizeof(*in));
	uint64_t node, block;
	int error = -EPROTO;

	*why = "its introduction has a field missing or out of range";
	if (!in)
		return -ENOMEM;
	if (get_u64(json, "node", REPRISE_MAX_NODES, &node) &&
	    get_text(json, "name", false, in->name, sizeof(in->name)) &&
	    get_text(json, "release", false, in->release, sizeof(in->release)) &&
	    get_text(json, "config", true, in->config, sizeof(in->config)) &&
	    get_u64(json, "logical_block", 65536, &block) &&
	    get_volumes(json_object_get(json, "volumes"), in)) {
		in->node = node;
		in->logical_block_bytes = block;
		*introduce = *in;
		error = 0;
	}
	free(in);
	return error;
}

static json_t *put_timeline(const struct meta_timeline *timeline)
{
	char id[2 * REPRISE_ID_BYTES + 1], parent[2 * REPRISE_ID_BYTES + 1];

	message_put_id(timeline->id, id);
	message_put_id(timeline->parent, parent);
	return json_pack("[o,s,s,o,i,i,o]", put_u64(timeline->generation), id, parent,
			 put_u64(timeline->fork_seq), (int)timeline->kind,
			 (int)timeline->opener, put_u64(timeline->opened_realtime_ns));
}

static bool get_timeline(json_t *array, struct meta_timeline *timeline)
{
	uint64_t kind, opener;

	if (json_array_size(array) != 7)
		return false;
	if (!as_u64(json_array_get(array, 0), INT64_MAX, &timeline->generation) ||
	    !message_get_id(json_string_value(json_array_get(array, 1)), timeline->id) ||
	    !message_get_id(json_string_value(json_array_get(array, 2)), timeline->parent) ||
	    !as_u64(json_array_get(array, 3), INT64_MAX, &timeline->fork_seq) ||
	    !as_u64(json_array_get(array, 4), REPRISE_FORK_RESOLVE, &kind) ||
	    !as_u64(json_array_get(array, 5), REPRISE_MAX_NODES, &opener) ||
	    !as_u64(json_array_get(array, 6), INT64_MAX, &timeline->opened_realtime_ns))
		return false;
	timeline->kind = kind;
	timeline->opener = opener;
	return true;
}

json_t *message_put_state(const struct message_state *state)
{
	json_t *timelines = json_array();

	for (unsigned int i = 0; i < state->nr_timelines; i++)
		json_array_append_new(timelines, put_timeline(&state->timelines[i]));
	return json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:i, s:o, s:o, s:o, s:o, s:i, s:o, s:o}",
			 "primary", state->primary,
			 "promoting", state->promoting,
			 "left", state->left,
			 "crashed", state->crashed,
			 "async", state->async,
			 "frozen", state->frozen,
			 "in_session", state->in_session,
			 "state", (int)state->state,
			 "position", put_u64(state->position),
			 "received", put_u64(state->received),
			 "durable", put_u64(state->durable),
			 "applied", put_u64(state->applied),
			 "absent", (int)state->absent,
			 "text", put_text(state->text, false),
			 "timelines", timelines);
}

static bool get_flags(json_t *json, struct message_state *st)
{
	return get_bool(json, "primary", &st->primary) &&
	       get_bool(json, "promoting", &st->promoting) &&
	       get_bool(json, "left", &st->left) &&
	       get_bool(json, "crashed", &st->crashed) &&
	       get_bool(json, "async", &st->async) &&
	       get_bool(json, "frozen", &st->frozen) &&
	       get_bool(json, "in_session", &st->in_session);
}

static bool get_positions(json_t *json, struct message_state *st)
{
	return get_u64(json, "position", INT64_MAX, &st->position) &&
	       get_u64(json, "received", INT64_MAX, &st->received) &&
	       get_u64(json, "durable", INT64_MAX, &st->durable) &&
	       get_u64(json, "applied", INT64_MAX, &st->applied);
}

static bool get_timelines(json_t *array, struct message_state *st)
{
	json_t *entry;
	size_t index;

	if (!json_is_array(array) || json_array_size(array) > REPRISE_META_MAX_TIMELINES)
		return false;
	json_array_foreach(array, index, entry) {
		if (!get_timeline(entry, &st->timelines[index]))
			return false;
	}
	st->nr_timelines = json_array_size(array);
	return true;
}

int message_get_state(json_t *json, struct message_state *state, const char **why)
{
	struct message_state *st = calloc(1, sizeof(*st));
	uint64_t store, absent;
	int error = -EPROTO;

	*why = "its state has a field missing or out of range";
	if (!st)
		return -ENOMEM;
	if (get_flags(json, st) && get_positions(json, st) &&
	    get_u64(json, "state", REPRISE_STORE_DAMAGED, &store) &&
	    get_u64(json, "absent", (2u << REPRISE_MAX_NODES) - 1, &absent) &&
	    get_text(json, "text", false, st->text, sizeof(st->text)) &&
	    get_timelines(json_object_get(json, "timelines"), st)) {
		st->state = store;
		st->absent = absent;
		*state = *st;
		error = 0;
	}
	free(st);
	return error;
}

json_t *message_put_answer(const struct message_answer *answer)
{
	char id[2 * REPRISE_ID_BYTES + 1];

	message_put_id(answer->timeline_id, id);
	return json_pack("{s:o, s:b, s:s, s:o, s:o, s:s}",
			 "number", put_number(answer->number),
			 "ok", answer->ok,
			 "code", answer->code,
			 "text", put_text(answer->text, false),
			 "position", put_u64(answer->position),
			 "timeline", id);
}

int message_get_answer(json_t *json, struct message_answer *answer, const char **why)
{
	struct message_answer in = { 0 };

	*why = "a request or answer has a field missing or out of range";
	if (!get_number(json, "number", &in.number) || !get_bool(json, "ok", &in.ok) ||
	    !get_text(json, "code", false, in.code, sizeof(in.code)) ||
	    !get_text(json, "text", false, in.text, sizeof(in.text)) ||
	    !get_u64(json, "position", INT64_MAX, &in.position) ||
	    !message_get_id(json_string_value(json_object_get(json, "timeline")), in.timeline_id))
		return -EPROTO;
	*answer = in;
	return 0;
}
