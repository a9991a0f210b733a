/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What authenticated agents tell each other: JSON bodies of the messages
 * listed in wire.h, as structures.  Pure; every decoder checks types, ranges
 * and lengths and fills nothing on error.
 */
#ifndef REPRISE_MESSAGE_H
#define REPRISE_MESSAGE_H

#include <jansson.h>

#include "meta.h"

enum {
	MESSAGE_TEXT_BYTES = 512,
	MESSAGE_CONFIG_BYTES = 48 << 10,
	MESSAGE_CODE_BYTES = 32,
};

/**
 * struct message_introduce - who and what, once per control connection
 * @release: version of the program
 * @config: conf_describe()
 */
struct message_introduce {
	unsigned int node;
	char name[REPRISE_NAME_MAX + 1];
	char release[32];
	char config[MESSAGE_CONFIG_BYTES];
	uint32_t logical_block_bytes;
	unsigned int nr_volumes;
	struct {
		unsigned int number;
		uint64_t sectors;
	} volumes[REPRISE_MAX_VOLUMES];
};

/**
 * struct message_state - what a node says of its copy
 * @promoting: a promotion is under way here
 * @left: its current timeline was left (for a promotion elsewhere)
 * @crashed: its record says primary, and it is not
 * @async: durability in force in its record
 * @position: last seq of the current timeline it holds
 * @absent: bit n: it recorded node n as absent
 * @text: what is wrong, or why the last session ended; for people
 */
struct message_state {
	bool primary;
	bool promoting;
	bool left;
	bool crashed;
	bool async;
	bool frozen;
	bool in_session;
	enum reprise_store_state state;
	uint64_t position, received, durable, applied;
	uint32_t absent;
	char text[MESSAGE_TEXT_BYTES];
	unsigned int nr_timelines;
	struct meta_timeline timelines[REPRISE_META_MAX_TIMELINES];
};

/**
 * struct message_answer - request or answer of a small exchange
 * @number: session, or attempt at promotion: random, not zero
 * @ok: granted; else @code and @text say why not
 * @position, @timeline_id: OFFER_ANSWER: where the session is to begin; OFFER: of which timeline
 */
struct message_answer {
	uint64_t number;
	bool ok;
	char code[MESSAGE_CODE_BYTES];
	char text[MESSAGE_TEXT_BYTES];
	uint64_t position;
	uint8_t timeline_id[REPRISE_ID_BYTES];
};

/* New references; NULL: no memory. */
json_t *message_put_introduce(const struct message_introduce *introduce);
json_t *message_put_state(const struct message_state *state);
json_t *message_put_answer(const struct message_answer *answer);
/* Return 0, or -EPROTO with *@why a constant text. */
int message_get_introduce(json_t *json, struct message_introduce *introduce, const char **why);
int message_get_state(json_t *json, struct message_state *state, const char **why);
int message_get_answer(json_t *json, struct message_answer *answer, const char **why);

void message_put_id(const uint8_t id[REPRISE_ID_BYTES], char text[2 * REPRISE_ID_BYTES + 1]);
bool message_get_id(const char *text, uint8_t id[REPRISE_ID_BYTES]);

#endif /* REPRISE_MESSAGE_H */
