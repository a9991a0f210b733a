// SPDX-License-Identifier: GPL-2.0
/*
 * A step down from the root at random, as deep as chance has it; there a value
 * is replaced, removed, or repeated.
 */
#include "json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static json_t *other_number(struct fuzz_random *random, json_int_t now)
{
	static const json_int_t known[] = { 0, 1, -1, 16, 17, 512, 65536, INT64_MAX, INT64_MIN };

	if (fuzz_random_below(random, 2))
		return json_integer((json_int_t)((uint64_t)now + fuzz_random_below(random, 5) - 2));
	return json_integer(known[fuzz_random_below(random, sizeof(known) / sizeof(known[0]))]);
}

static json_t *other_text(struct fuzz_random *random, const char *now)
{
	char text[1024];
	size_t length;

	snprintf(text, sizeof(text), "%s", now);
	length = strlen(text);
	if (fuzz_random_below(random, 8) == 0)
		length = fuzz_random_below(random, length + 1);
	else if (length)
		text[fuzz_random_below(random, length)] =
			"0123456789abcdefzG\n \x7f"[fuzz_random_below(random, 21)];
	return json_stringn(text, length);
}

static json_t *other_value(struct fuzz_random *random, json_t *now)
{
	if (fuzz_random_below(random, 6)) {
		if (json_is_integer(now))
			return other_number(random, json_integer_value(now));
		if (json_is_string(now))
			return other_text(random, json_string_value(now));
		if (json_is_boolean(now))
			return json_boolean(!json_boolean_value(now));
	}
	switch (fuzz_random_below(random, 6)) {
	case 0:
		return json_null();
	case 1:
		return json_array();
	case 2:
		return json_real(1e300);
	case 3:
		return json_string("");
	case 4:
		return json_true();
	default:
		return json_integer((json_int_t)fuzz_random(random));
	}
}

static void mutate(json_t *json, struct fuzz_random *random);

static void mutate_array(json_t *array, struct fuzz_random *random)
{
	size_t size = json_array_size(array), at = size ? fuzz_random_below(random, size) : 0;
	json_t *entry = json_array_get(array, at);

	if (!size || !fuzz_random_below(random, 8))
		json_array_append_new(array, size ? json_deep_copy(entry) : json_integer(1));
	else if (!fuzz_random_below(random, 8))
		json_array_remove(array, at);
	else if (json_is_object(entry) || json_is_array(entry))
		mutate(entry, random);
	else
		json_array_set_new(array, at, other_value(random, entry));
}

static void mutate_object(json_t *object, struct fuzz_random *random)
{
	size_t size = json_object_size(object);
	void *at = json_object_iter(object);
	json_t *value;

	for (size_t skip = size ? fuzz_random_below(random, size) : 0; at && skip; skip--)
		at = json_object_iter_next(object, at);
	if (!at)
		return;
	value = json_object_iter_value(at);
	if (!fuzz_random_below(random, 16))
		json_object_del(object, json_object_iter_key(at));
	else if (json_is_object(value) || json_is_array(value))
		mutate(value, random);
	else
		json_object_iter_set_new(object, at, other_value(random, value));
}

static void mutate(json_t *json, struct fuzz_random *random)
{
	if (json_is_array(json))
		mutate_array(json, random);
	else
		mutate_object(json, random);
}

size_t fuzz_mutate_json(uint8_t *text, size_t bytes, size_t max, struct fuzz_random *random)
{
	json_t *json = json_loadb((const char *)text, bytes, 0, NULL);
	size_t length;
	char *made;

	if (!json)
		return 0;
	for (unsigned int n = 1 + fuzz_random_below(random, 3); n; n--)
		mutate(json, random);
	made = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (!made)
		return 0;
	length = strlen(made);
	if (length <= max)
		memcpy(text, made, length);
	free(made);
	return length <= max ? length : 0;
}
