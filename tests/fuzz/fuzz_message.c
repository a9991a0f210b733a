// SPDX-License-Identifier: GPL-2.0
/*
 * What an authenticated peer may say: the JSON bodies, and what is made of
 * them.  The input is a letter for the kind and the text.  What is refused
 * fills nothing; what is taken says the same when it is sent on; and whatever
 * two nodes claim to be, both come to the same conclusion about it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/conf.h"
#include "agent/meet.h"
#include "agent/message.h"
#include "json.h"

enum { INTRODUCE, STATE, ANSWER, MEETING, NR_KINDS };

static void check_refused(int error, const char *why, const void *to, size_t bytes)
{
	must(error == -EPROTO && why && why[0] && fuzz_untouched(to, bytes));
}

/* Every member of @ours says in @theirs what it says here: nothing was lost on the way. */
static void check_same(json_t *ours, json_t *theirs)
{
	const char *key;
	json_t *value;

	must(ours);
	json_object_foreach(ours, key, value)
		must(json_equal(value, json_object_get(theirs, key)));
	json_decref(ours);
}

/* Beyond that line only its end, and empty lines, which are no difference. */
static bool says_only(const char *text, const char *line)
{
	size_t length = strlen(line);

	return !strncmp(text, line, length) && !text[length + strspn(text + length, "\n")];
}

static void check_introduce(json_t *json)
{
	static const char other[] = "timeout = 6000";
	static struct message_introduce in;
	const char *why = NULL;
	char words[256];
	int error;

	fuzz_poison(&in, sizeof(in));
	error = message_get_introduce(json, &in, &why);
	if (error) {
		check_refused(error, why, &in, sizeof(in));
		return;
	}
	must(in.node <= REPRISE_MAX_NODES && in.nr_volumes <= REPRISE_MAX_VOLUMES);
	check_same(message_put_introduce(&in), json);
	must(conf_difference(in.config, other, "alpha", "beta", words, sizeof(words)) !=
	     says_only(in.config, other));
	must(!conf_difference(in.config, in.config, "alpha", "beta", words, sizeof(words)));
}

static bool get_state(json_t *json, struct message_state *state)
{
	const char *why = NULL;
	int error;

	fuzz_poison(state, sizeof(*state));
	error = message_get_state(json, state, &why);
	if (error) {
		check_refused(error, why, state, sizeof(*state));
		return false;
	}
	must(state->nr_timelines <= REPRISE_META_MAX_TIMELINES);
	must(strcmp(meta_state_name(state->state), "unknown"));
	check_same(message_put_state(state), json);
	return true;
}

static void check_answer(json_t *json)
{
	struct message_answer in;
	const char *why = NULL;
	int error;

	fuzz_poison(&in, sizeof(in));
	error = message_get_answer(json, &in, &why);
	if (error)
		check_refused(error, why, &in, sizeof(in));
	else
		check_same(message_put_answer(&in), json);
}

static struct meet_side side_of(unsigned int node, unsigned int other,
				const struct message_state *state)
{
	return (struct meet_side){
		.node = node, .primary = state->primary, .state = state->state,
		.crashed = state->crashed, .async = state->async,
		.other_absent = state->absent & 1u << other, .position = state->position,
		.nr_timelines = state->nr_timelines, .timelines = state->timelines,
	};
}

static enum meet_who exchanged(enum meet_who who)
{
	return who == MEET_A ? MEET_B : who == MEET_B ? MEET_A : MEET_NOBODY;
}

static void check_meeting(json_t *json)
{
	static struct message_state states[2];
	struct meet_decision here, there;
	struct meet_side a, b;
	char text[512] = "";

	if (!get_state(json_array_get(json, 0), &states[0]) ||
	    !get_state(json_array_get(json, 1), &states[1]))
		return;
	a = side_of(1, 2, &states[0]);
	b = side_of(2, 1, &states[1]);
	here = meet(&a, &b);
	there = meet(&b, &a);
	must(here.outcome == there.outcome && here.reason == there.reason);
	must(here.side == exchanged(there.side) && here.may_hold_more == there.may_hold_more);
	must(here.has_common == there.has_common && here.common_seq == there.common_seq);
	must(here.outcome <= MEET_REFUSED);
	meet_describe(&here, "alpha", "beta", text, sizeof(text));
	must(text[0]);
	/* Invariant 4: never at ease with two who may both write. */
	if (a.primary && b.primary)
		must(here.outcome == MEET_DEPOSED || here.outcome == MEET_SPLIT_BRAIN ||
		     here.outcome == MEET_REFUSED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct message_state state;
	json_t *json;

	if (!bytes)
		return 0;
	json = json_loadb((const char *)data + 1, bytes - 1, JSON_REJECT_DUPLICATES, NULL);
	if (!json)
		return 0;
	switch (data[0] % NR_KINDS) {
	case INTRODUCE:
		check_introduce(json);
		break;
	case STATE:
		get_state(json, &state);
		break;
	case ANSWER:
		check_answer(json);
		break;
	default:
		check_meeting(json);
	}
	json_decref(json);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max, unsigned int seed)
{
	struct fuzz_random random = { seed };
	size_t made = 0;

	if (bytes && fuzz_random_below(&random, 8))
		made = fuzz_mutate_json(data + 1, bytes - 1, max - 1, &random);
	return made ? made + 1 : LLVMFuzzerMutate(data, bytes, max);
}
