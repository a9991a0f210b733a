// SPDX-License-Identifier: GPL-2.0
/*
 * Messages between agents: what is put is what is got; a body with a field
 * missing, of another type, out of range or unprintable is refused whole.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/message.h"
#include "agent/wire.h"
#include "kselftest_harness.h"

static struct message_state *sample_state(unsigned int nr)
{
	struct message_state *st = calloc(1, sizeof(*st));

	st->primary = st->async = st->crashed = true;
	st->state = REPRISE_STORE_UNCLEAN;
	st->position = st->received = 1ull << 62;
	st->durable = 7;
	st->absent = 1u << 16;
	strcpy(st->text, "plain words");
	st->nr_timelines = nr;
	for (unsigned int i = 0; i < nr; i++) {
		st->timelines[i].generation = i;
		memset(st->timelines[i].id, i, REPRISE_ID_BYTES);
		st->timelines[i].fork_seq = 1ull << 62;
		st->timelines[i].kind = REPRISE_FORK_CLEAN;
		st->timelines[i].opener = 16;
		st->timelines[i].opened_realtime_ns = 1ull << 60;
	}
	return st;
}

TEST(state_survives_and_the_largest_fits)
{
	struct message_state *st = sample_state(REPRISE_META_MAX_TIMELINES);
	struct message_state *out = calloc(1, sizeof(*out));
	json_t *json = message_put_state(st);
	char *text = json_dumps(json, JSON_COMPACT);
	const char *why;

	EXPECT_GT(WIRE_MAX_BODY, strlen(text));
	ASSERT_EQ(0, message_get_state(json, out, &why));
	EXPECT_EQ(0, memcmp(st, out, sizeof(*st)));
	free(text);
	json_decref(json);
	free(st);
	free(out);
}

/* Each member left out, or replaced by something of another kind. */
TEST(state_with_any_member_wrong_is_refused)
{
	struct message_state *st = sample_state(3), *out = calloc(1, sizeof(*out));
	static const char *const wrong[] = { "null", "-1", "[]", "\"x\\u0001\"", "1e9", "{}",
					     "[[1,2,3,4,5,6,7]]", "9223372036854775807" };
	json_t *good = message_put_state(st), *value;
	const char *key, *why;

	json_object_foreach(good, key, value) {
		json_t *bad = json_copy(good);

		json_object_del(bad, key);
		EXPECT_NE(0, message_get_state(bad, out, &why));
		for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			if (i == 2 && !strcmp(key, "timelines"))
				continue;	/* an empty list is a blank node */
			if (i == 7 && strcmp(key, "state") && strcmp(key, "absent"))
				continue;	/* a position like any other */
			json_object_set_new(bad, key, json_loads(wrong[i], JSON_DECODE_ANY, NULL));
			EXPECT_NE(0, message_get_state(bad, out, &why));
		}
		json_decref(bad);
	}
	json_decref(good);
	free(st);
	free(out);
}

TEST(too_many_timelines_are_refused)
{
	struct message_state *st = sample_state(1), *out = calloc(1, sizeof(*out));
	json_t *json = message_put_state(st);
	json_t *list = json_object_get(json, "timelines");
	const char *why;

	while (json_array_size(list) <= REPRISE_META_MAX_TIMELINES)
		json_array_append(list, json_array_get(list, 0));
	EXPECT_NE(0, message_get_state(json, out, &why));
	json_decref(json);
	free(st);
	free(out);
}

TEST(introduction_survives)
{
	struct message_introduce *in = calloc(1, sizeof(*in)), *out = calloc(1, sizeof(*out));
	const char *why;
	json_t *json;

	in->node = 16;
	strcpy(in->name, "alpha");
	strcpy(in->release, "0.1");
	strcpy(in->config, "a = 1\nb = 2\n");
	in->logical_block_bytes = 4096;
	in->nr_volumes = REPRISE_MAX_VOLUMES;
	for (unsigned int i = 0; i < in->nr_volumes; i++) {
		in->volumes[i].number = i;
		in->volumes[i].sectors = 1ull << 40;
	}
	json = message_put_introduce(in);
	ASSERT_EQ(0, message_get_introduce(json, out, &why));
	EXPECT_EQ(0, memcmp(in, out, sizeof(*in)));
	json_object_set_new(json, "name", json_string("two\nlines"));
	EXPECT_NE(0, message_get_introduce(json, out, &why));
	json_decref(json);
	free(in);
	free(out);
}

TEST(answer_survives_and_its_number_is_never_zero)
{
	struct message_answer in = { .number = UINT64_MAX, .ok = true, .code = "busy",
				     .text = "words", .position = 9, .timeline_id = { 1, 2 } };
	struct message_answer out = { 0 };
	json_t *json = message_put_answer(&in);
	const char *why;

	ASSERT_EQ(0, message_get_answer(json, &out, &why));
	EXPECT_EQ(0, memcmp(&in, &out, sizeof(in)));
	json_decref(json);
	in.number = 0;
	json = message_put_answer(&in);
	EXPECT_NE(0, message_get_answer(json, &out, &why));
	json_decref(json);
}

static json_t *sample_introduction(void)
{
	static const struct message_introduce in = {
		.node = 2, .name = "beta", .release = "0.1", .config = "a = 1\n",
		.logical_block_bytes = 512, .nr_volumes = 1, .volumes = { { 3, 8 } },
	};

	return message_put_introduce(&in);
}

static json_t *sample_answer(void)
{
	static const struct message_answer in = { .number = 0xabc, .code = "busy" };

	return message_put_answer(&in);
}

static json_t *small_state(void)
{
	struct message_state *st = sample_state(1);
	json_t *json = message_put_state(st);

	free(st);
	return json;
}

static bool refused_introduction(json_t *json)
{
	struct message_introduce *out = calloc(1, sizeof(*out));
	const char *why;
	bool refused = message_get_introduce(json, out, &why);

	free(out);
	return refused;
}

static bool refused_state(json_t *json)
{
	struct message_state *out = calloc(1, sizeof(*out));
	const char *why;
	bool refused = message_get_state(json, out, &why);

	free(out);
	return refused;
}

static bool refused_answer(json_t *json)
{
	struct message_answer out;
	const char *why;

	return message_get_answer(json, &out, &why);
}

struct body {
	json_t *(*sample)(void);
	bool (*refused)(json_t *json);
};

static const struct body introduction = { sample_introduction, refused_introduction };
static const struct body answer = { sample_answer, refused_answer };
static const struct body state = { small_state, refused_state };

/* A member of that value makes the body one to be refused. */
struct wrong {
	const struct body *body;
	const char *key;
	const char *value;	/* in JSON; NULL: left out */
};

#define ID32 "00000000000000000000000000000000"

static const struct wrong wrongs[] = {
	{ &introduction, "node", NULL },
	{ &introduction, "node", "17" },
	{ &introduction, "name", NULL },
	{ &introduction, "name", "7" },
	{ &introduction, "name", "\"two\\nlines\"" },
	{ &introduction, "name", "\"ends\\u0000here\"" },
	{ &introduction, "name", "\"delete\\u007f\"" },
	{ &introduction, "release", NULL },
	{ &introduction, "release", "\"0123456789012345678901234567890123456789\"" },
	{ &introduction, "config", NULL },
	{ &introduction, "config", "\"tab\\u0009\"" },
	{ &introduction, "logical_block", "-1" },
	{ &introduction, "logical_block", "65537" },
	{ &introduction, "volumes", NULL },
	{ &introduction, "volumes", "7" },
	{ &introduction, "volumes", "[7]" },
	{ &introduction, "volumes", "[[1]]" },
	{ &introduction, "volumes", "[[16,8]]" },
	{ &introduction, "volumes", "[[1,-8]]" },
	{ &introduction, "volumes", "[[1,\"8\"]]" },
	{ &introduction, "volumes", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]" },
	{ &answer, "number", NULL },
	{ &answer, "number", "\"abc\"" },
	{ &answer, "number", "\"000000000000000g\"" },
	{ &answer, "ok", "1" },
	{ &answer, "code", "\"0123456789012345678901234567890123456789\"" },
	{ &answer, "text", "null" },
	{ &answer, "position", "0.5" },
	{ &answer, "timeline", NULL },
	{ &answer, "timeline", "\"00\"" },
	{ &answer, "timeline", "\"0000000000000000000000000000000g\"" },
	{ &answer, "timeline", "\"000000000000000000000000000000:0\"" },
	{ &answer, "timeline", "\"A0000000000000000000000000000000\"" },
	{ &answer, "timeline", "\"0/000000000000000000000000000000\"" },
	{ &state, "timelines", "[[0]]" },
	{ &state, "timelines", "[[-1,\"" ID32 "\",\"" ID32 "\",0,0,0,0]]" },
	{ &state, "timelines", "[[0,7,\"" ID32 "\",0,0,0,0]]" },
	{ &state, "timelines", "[[0,\"" ID32 "\",\"\",0,0,0,0]]" },
	{ &state, "timelines", "[[0,\"" ID32 "\",\"" ID32 "\",-1,0,0,0]]" },
	{ &state, "timelines", "[[0,\"" ID32 "\",\"" ID32 "\",0,5,0,0]]" },
	{ &state, "timelines", "[[0,\"" ID32 "\",\"" ID32 "\",0,0,17,0]]" },
	{ &state, "timelines", "[[0,\"" ID32 "\",\"" ID32 "\",0,0,0,null]]" },
};

TEST(any_member_wrong_is_refused)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct wrong *w = &wrongs[i];
		json_t *json = w->body->sample();

		EXPECT_FALSE(w->body->refused(json));
		if (w->value)
			json_object_set_new(json, w->key,
					    json_loads(w->value, JSON_DECODE_ANY | JSON_ALLOW_NUL,
						       NULL));
		else
			json_object_del(json, w->key);
		EXPECT_TRUE(w->body->refused(json)) TH_LOG("%s: %s", w->key, w->value);
		json_decref(json);
	}
}

/* What cannot be shown is not sent: the other side would refuse all of it. */
TEST(own_texts_are_made_fit_to_be_sent)
{
	struct message_answer in = { .number = 1, .text = "a\nb\x7f" }, out;
	json_t *json = message_put_answer(&in);
	const char *why;

	ASSERT_EQ(0, message_get_answer(json, &out, &why));
	EXPECT_STREQ("a?b?", out.text);
	json_decref(json);
}

TEST(lines_of_a_configuration_stay)
{
	struct message_introduce in = { .name = "beta", .config = "a = 1\nb\t= 2\n" };
	json_t *json = message_put_introduce(&in);

	EXPECT_STREQ("a = 1\nb?= 2\n", json_string_value(json_object_get(json, "config")));
	EXPECT_FALSE(refused_introduction(json));
	json_decref(json);
}

TEST(text_from_the_kernel_may_hold_anything)
{
	struct message_answer in = { .number = 1, .text = "bad \x01 \xff\xfe" }, out;
	json_t *json = message_put_answer(&in);
	const char *why;

	ASSERT_NE(NULL, json);
	EXPECT_EQ(0, message_get_answer(json, &out, &why));
	json_decref(json);
}

TEST_HARNESS_MAIN
