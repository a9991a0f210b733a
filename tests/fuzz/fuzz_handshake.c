// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake with an adversary in between, who sees everything and has no
 * key.  The input is a program: messages of two honest sides are delivered as
 * they are, changed, cut, reflected, replayed or made up.  Whoever says "done"
 * must have a partner with the same key who saw the very same transcript.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/handshake.h"
#include "kmod/uapi/reprise_frame.h"
#include "input.h"

enum { DIALER, ACCEPTOR, NR_SIDES, NR_NOTES = 8, MAX_STEPS = 40, RESOURCE = 0x42 };

struct message {
	uint8_t bytes[HANDSHAKE_MAX_MESSAGE + 64];
	size_t length;
};

struct side {
	struct handshake hs;
	enum handshake_status status;
	bool done;			/* was it ever */
	struct message out;		/* not delivered yet */
};

struct world {
	struct side sides[NR_SIDES];
	struct handshake_keys keys[NR_SIDES];
	struct message notes[NR_NOTES];	/* of the adversary */
	unsigned int nr_notes;
	uint8_t begun;
};

static int lookup(void *ctx, const struct wire_hello *hello, struct handshake_keys *keys,
		  char *why)
{
	struct world *w = ctx;

	must(hello->from >= 1 && hello->to <= REPRISE_MAX_NODES && hello->from < hello->to);
	if (hello->resource_id[0] != RESOURCE) {
		strcpy(why, "another resource");
		return WIRE_REFUSE_RESOURCE;
	}
	*keys = w->keys[ACCEPTOR];
	return 0;
}

static void make_keys(struct fuzz_input *in, struct handshake_keys *keys, const char *peer)
{
	keys->nr = 1 + fuzz_below(in, 2);
	for (unsigned int i = 0; i < keys->nr; i++)
		memset(keys->key[i], 1 + fuzz_below(in, 3), AUTH_KEY_BYTES);
	strcpy(keys->resource, "pg");
	strcpy(keys->peer, peer);
}

static void take_out(struct world *w, struct side *side)
{
	struct handshake *hs = &side->hs;

	must(hs->out_bytes <= sizeof(hs->out));
	side->out.length = hs->out_bytes;
	memcpy(side->out.bytes, hs->out, hs->out_bytes);
	if (hs->out_bytes)
		w->notes[w->nr_notes++ % NR_NOTES] = side->out;
}

static void begin(struct world *w)
{
	struct wire_hello hello = { .from = 1, .to = 2, .kind = WIRE_DATA, .session = 7 };
	uint8_t nonces[NR_SIDES][AUTH_NONCE_BYTES] = { { 1 }, { 2 } };

	/* Fresh ones each time, as the contract says. */
	nonces[DIALER][1] = nonces[ACCEPTOR][1] = ++w->begun;
	memset(hello.resource_id, RESOURCE, sizeof(hello.resource_id));
	handshake_dial(&w->sides[DIALER].hs, &hello, &w->keys[DIALER], nonces[DIALER]);
	handshake_accept(&w->sides[ACCEPTOR].hs, lookup, w, nonces[ACCEPTOR]);
	for (unsigned int i = 0; i < NR_SIDES; i++) {
		w->sides[i].status = HANDSHAKE_MORE;
		w->sides[i].done = false;
		take_out(w, &w->sides[i]);
	}
}

/* The one thing that must never be wrong. */
static void check_done(struct world *w, unsigned int who)
{
	const struct handshake *me = &w->sides[who].hs, *them = &w->sides[!who].hs;

	must(me->chosen && them->chosen && !memcmp(me->chosen, them->chosen, AUTH_KEY_BYTES));
	must(!memcmp(me->hello_message, them->hello_message, sizeof(me->hello_message)));
	must(!memcmp(me->challenge_message, them->challenge_message,
		     sizeof(me->challenge_message)));
	must(who == ACCEPTOR || w->sides[ACCEPTOR].done);
}

/* From a heap block of exactly that size: reading beyond it is seen. */
static void deliver(struct world *w, unsigned int who, const struct message *message)
{
	struct side *side = &w->sides[who];
	enum handshake_status before = side->status;
	uint8_t *exact = malloc(message->length ? message->length : 1);

	must(exact);
	memcpy(exact, message->bytes, message->length);
	side->status = handshake_receive(&side->hs, exact, message->length);
	free(exact);
	must(before == HANDSHAKE_MORE || side->status == HANDSHAKE_FAILED);
	if (side->status == HANDSHAKE_DONE) {
		side->done = true;
		check_done(w, who);
	}
	if (side->status == HANDSHAKE_FAILED)
		must(side->hs.why[0] && side->hs.refusal && side->hs.refusal < WIRE_REFUSE_NR &&
		     handshake_refusal_text(side->hs.refusal));
	take_out(w, side);
}

static void spoil(struct fuzz_input *in, struct message *message)
{
	unsigned int edits = 1 + fuzz_below(in, 3);

	while (edits-- && message->length)
		message->bytes[fuzz_below(in, message->length)] ^= fuzz_u8(in);
	if (!fuzz_below(in, 6))
		message->length = fuzz_below(in, sizeof(message->bytes) + 1);
}

static void make_up(struct fuzz_input *in, struct message *message)
{
	size_t body = fuzz_below(in, sizeof(message->bytes) - WIRE_HEAD_BYTES + 1);

	memset(message, 0, sizeof(*message));
	wire_put_head(message->bytes, fuzz_u8(in), body);
	fuzz_take(in, message->bytes + WIRE_HEAD_BYTES, body);
	message->length = WIRE_HEAD_BYTES + body;
}

/* The decoders by themselves: all or nothing, and back to the same bytes. */
static void check_bodies(const struct message *message)
{
	const uint8_t *body = message->bytes + WIRE_HEAD_BYTES;
	size_t bytes = message->length < WIRE_HEAD_BYTES ? 0 : message->length - WIRE_HEAD_BYTES;
	uint8_t again[HANDSHAKE_MAX_MESSAGE];
	struct wire_refused refused;
	struct wire_hello hello;
	struct wire_head head;
	int error;

	fuzz_poison(&head, sizeof(head));
	error = wire_get_head(message->bytes, WIRE_MAX_BODY, &head);
	if (!error) {
		wire_put_head(again, head.type, head.length);
		must(!memcmp(again, message->bytes, WIRE_HEAD_BYTES));
	} else if (error != -EPROTONOSUPPORT) {
		must(fuzz_untouched(&head, sizeof(head)));
	}
	fuzz_poison(&hello, sizeof(hello));
	if (wire_get_hello(body, bytes, &hello)) {
		must(fuzz_untouched(&hello, sizeof(hello)));
	} else {
		wire_put_hello(again, &hello);
		must(!memcmp(again, body, WIRE_HELLO_BYTES));
	}
	fuzz_poison(&refused, sizeof(refused));
	if (wire_get_refused(body, bytes, &refused)) {
		must(fuzz_untouched(&refused, sizeof(refused)));
	} else {
		wire_put_refused(again, &refused);
		must(!memcmp(again, body, WIRE_REFUSED_BYTES));
	}
}

static void step(struct world *w, struct fuzz_input *in)
{
	unsigned int who = fuzz_below(in, NR_SIDES);
	struct message message = w->sides[!who].out;
	unsigned int note;

	switch (fuzz_below(in, 6)) {
	case 0:
	case 1:
		break;
	case 2:
		spoil(in, &message);
		break;
	case 3:
		note = fuzz_below(in, NR_NOTES);
		message = w->notes[note];
		break;
	case 4:
		message = w->notes[fuzz_below(in, NR_NOTES)];
		spoil(in, &message);
		break;
	default:
		make_up(in, &message);
	}
	check_bodies(&message);
	deliver(w, who, &message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct world w;
	struct fuzz_input in = { data, bytes };
	unsigned int steps = 0;

	memset(&w, 0, sizeof(w));
	make_keys(&in, &w.keys[DIALER], "beta");
	make_keys(&in, &w.keys[ACCEPTOR], "alpha");
	begin(&w);
	while (in.left && steps++ < MAX_STEPS) {
		/* A connection that failed is tried again; the notes stay. */
		if (w.sides[DIALER].status == HANDSHAKE_FAILED && fuzz_below(&in, 2))
			begin(&w);
		step(&w, &in);
	}
	return 0;
}
