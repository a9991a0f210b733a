// SPDX-License-Identifier: GPL-2.0
/*
 * Two handshakes against each other over memory, and an adversary in between:
 * every bit flipped, every length cut, messages reflected, replayed, of the
 * wrong kind or size.  Whatever happens, either both sides agree, or nobody
 * believes the other; a refusal is named on both sides.
 */
#include <stdio.h>
#include <string.h>

#include "agent/handshake.h"
#include "kselftest_harness.h"

enum { TURNS = 8 };

struct side {
	struct handshake hs;
	struct handshake_keys keys;
	enum handshake_status status;
	int refuse;			/* lookup answers this */
};

struct tamper {
	unsigned int message;		/* which one of the conversation, from 0 */
	size_t bit;			/* flipped, if not SIZE_MAX */
	size_t cut;			/* to this length, if not SIZE_MAX */
};

FIXTURE(handshake) {
	struct side dialer, acceptor;
	struct wire_hello hello;
	uint8_t nonces[2][AUTH_NONCE_BYTES];
};

static int lookup(void *ctx, const struct wire_hello *hello, struct handshake_keys *keys, char *why)
{
	struct side *side = ctx;

	(void)hello;
	if (side->refuse) {
		strcpy(why, "the test says no");
		return side->refuse;
	}
	*keys = side->keys;
	return 0;
}

FIXTURE_SETUP(handshake)
{
	memset(self, 0, sizeof(*self));
	for (unsigned int i = 0; i < 2; i++) {
		struct handshake_keys *keys = i ? &self->acceptor.keys : &self->dialer.keys;

		keys->nr = 1;
		memset(keys->key[0], 0x11, AUTH_KEY_BYTES);
		strcpy(keys->resource, "pg");
		strcpy(keys->peer, i ? "alpha" : "beta");
		memset(self->nonces[i], 0xa0 + i, AUTH_NONCE_BYTES);
	}
	self->hello = (struct wire_hello){ .from = 1, .to = 2, .kind = WIRE_DATA, .session = 77 };
	memset(self->hello.resource_id, 0x55, sizeof(self->hello.resource_id));
}

FIXTURE_TEARDOWN(handshake)
{
}

typedef FIXTURE_DATA(handshake) pair_t;

static void begin(pair_t *self)
{
	handshake_dial(&self->dialer.hs, &self->hello, &self->dialer.keys, self->nonces[0]);
	handshake_accept(&self->acceptor.hs, lookup, &self->acceptor, self->nonces[1]);
	self->dialer.status = self->acceptor.status = HANDSHAKE_MORE;
}

/* As greet.c: the head first, then as much as it asks for. */
static void deliver(struct side *to, const uint8_t *message, size_t bytes)
{
	size_t body;

	if (bytes < WIRE_HEAD_BYTES) {
		to->status = handshake_receive(&to->hs, message, bytes);
		return;
	}
	to->status = handshake_head(&to->hs, message, &body);
	if (to->status == HANDSHAKE_MORE && bytes == WIRE_HEAD_BYTES + body)
		to->status = handshake_receive(&to->hs, message, bytes);
	else if (to->status == HANDSHAKE_MORE)
		to->status = HANDSHAKE_FAILED;	/* it waits for bytes until the timer fires */
}

static void converse(pair_t *self, const struct tamper *tamper)
{
	begin(self);
	for (unsigned int turn = 0; turn < TURNS; turn++) {
		struct side *from = turn & 1 ? &self->acceptor : &self->dialer;
		struct side *to = turn & 1 ? &self->dialer : &self->acceptor;
		uint8_t message[HANDSHAKE_MAX_MESSAGE];
		size_t bytes = from->hs.out_bytes;

		if (!bytes || to->status != HANDSHAKE_MORE)
			break;
		memcpy(message, from->hs.out, bytes);
		from->hs.out_bytes = 0;
		if (tamper && tamper->message == turn) {
			if (tamper->bit != SIZE_MAX && tamper->bit < bytes * 8)
				message[tamper->bit / 8] ^= 1 << tamper->bit % 8;
			if (tamper->cut < bytes)
				bytes = tamper->cut;
		}
		deliver(to, message, bytes);
	}
}

static bool both_done(const pair_t *self)
{
	return self->dialer.status == HANDSHAKE_DONE && self->acceptor.status == HANDSHAKE_DONE;
}

TEST_F(handshake, same_key_agrees)
{
	converse(self, NULL);
	EXPECT_TRUE(both_done(self));
	EXPECT_EQ(77, self->acceptor.hs.hello.session);
	EXPECT_EQ(1, self->acceptor.hs.hello.from);
	EXPECT_EQ(WIRE_DATA, self->acceptor.hs.hello.kind);
}

TEST_F(handshake, rotated_keys_agree_both_ways)
{
	for (unsigned int which = 0; which < 2; which++) {
		struct handshake_keys *new = which ? &self->acceptor.keys : &self->dialer.keys;
		struct handshake_keys saved = *new;

		new->nr = 2;
		memcpy(new->key[1], new->key[0], AUTH_KEY_BYTES);
		memset(new->key[0], 0x22, AUTH_KEY_BYTES);
		converse(self, NULL);
		EXPECT_TRUE(both_done(self));
		*new = saved;
	}
}

TEST_F(handshake, wrong_key_is_named_on_both_sides)
{
	memset(self->acceptor.keys.key[0], 0x33, AUTH_KEY_BYTES);
	converse(self, NULL);
	EXPECT_EQ(HANDSHAKE_FAILED, self->dialer.status);
	EXPECT_EQ(HANDSHAKE_FAILED, self->acceptor.status);
	EXPECT_EQ(WIRE_REFUSE_KEY, self->dialer.hs.refusal);
	EXPECT_NE(NULL, strstr(self->dialer.hs.why, "wrong key"));
	EXPECT_NE(NULL, strstr(self->acceptor.hs.why, "wrong key"));
	EXPECT_NE(NULL, strstr(self->dialer.hs.why, "beta"));
	EXPECT_NE(NULL, strstr(self->acceptor.hs.why, "alpha"));
}

TEST_F(handshake, unknown_resource_is_told_as_a_code_only)
{
	self->acceptor.refuse = WIRE_REFUSE_RESOURCE;
	converse(self, NULL);
	EXPECT_EQ(HANDSHAKE_FAILED, self->dialer.status);
	EXPECT_EQ(WIRE_REFUSE_RESOURCE, self->dialer.hs.refusal);
	EXPECT_EQ(NULL, strstr(self->dialer.hs.why, "the test says no"));
	EXPECT_STREQ("the test says no", self->acceptor.hs.why);
}

TEST_F(handshake, no_flipped_bit_is_believed)
{
	struct tamper tamper = { .cut = SIZE_MAX };

	for (tamper.message = 0; tamper.message < 4; tamper.message++) {
		for (tamper.bit = 0; tamper.bit < HANDSHAKE_MAX_MESSAGE * 8; tamper.bit++) {
			converse(self, NULL);
			ASSERT_TRUE(both_done(self));
			converse(self, &tamper);
			if (both_done(self) &&
			    tamper.bit < 8 * (WIRE_HEAD_BYTES + (size_t[]){ WIRE_HELLO_BYTES,
					      WIRE_CHALLENGE_BYTES, WIRE_PROOF_BYTES,
					      WIRE_PROOF_BYTES }[tamper.message]))
				TH_LOG("message %u bit %zu", tamper.message, tamper.bit);
			else
				continue;
			ASSERT_TRUE(false);
		}
	}
}

TEST_F(handshake, no_truncation_is_believed)
{
	static const size_t lengths[4] = { WIRE_HELLO_BYTES, WIRE_CHALLENGE_BYTES,
					   WIRE_PROOF_BYTES, WIRE_PROOF_BYTES };
	struct tamper tamper = { .bit = SIZE_MAX };

	for (tamper.message = 0; tamper.message < 4; tamper.message++) {
		for (tamper.cut = 0; tamper.cut < WIRE_HEAD_BYTES + lengths[tamper.message];
		     tamper.cut++) {
			converse(self, &tamper);
			ASSERT_FALSE(both_done(self));
		}
	}
}

TEST_F(handshake, other_version_is_named)
{
	uint8_t message[HANDSHAKE_MAX_MESSAGE];
	size_t bytes;

	begin(self);
	bytes = self->dialer.hs.out_bytes;
	memcpy(message, self->dialer.hs.out, bytes);
	message[4] = 9;
	deliver(&self->acceptor, message, bytes);
	EXPECT_EQ(HANDSHAKE_FAILED, self->acceptor.status);
	EXPECT_EQ(WIRE_REFUSE_VERSION, self->acceptor.hs.refusal);
	EXPECT_NE(NULL, strstr(self->acceptor.hs.why, "version 9"));
	deliver(&self->dialer, self->acceptor.hs.out, self->acceptor.hs.out_bytes);
	EXPECT_EQ(WIRE_REFUSE_VERSION, self->dialer.hs.refusal);
}

TEST_F(handshake, oversized_message_is_refused_from_its_head)
{
	uint8_t head[WIRE_HEAD_BYTES];
	size_t body;

	for (unsigned int type = WIRE_HELLO; type < WIRE_NR_TYPES; type++) {
		begin(self);
		wire_put_head(head, type, 5000);
		EXPECT_EQ(HANDSHAKE_FAILED, handshake_head(&self->acceptor.hs, head, &body));
		EXPECT_EQ(HANDSHAKE_FAILED, handshake_head(&self->dialer.hs, head, &body));
	}
	wire_put_head(head, WIRE_HELLO, UINT32_MAX);
	begin(self);
	EXPECT_EQ(HANDSHAKE_FAILED, handshake_head(&self->acceptor.hs, head, &body));
}

/* The dialer's own messages, sent back to it, prove nothing. */
TEST_F(handshake, reflection_is_not_believed)
{
	uint8_t proof[HANDSHAKE_MAX_MESSAGE];
	size_t bytes;

	begin(self);
	deliver(&self->acceptor, self->dialer.hs.out, self->dialer.hs.out_bytes);
	deliver(&self->dialer, self->acceptor.hs.out, self->acceptor.hs.out_bytes);
	bytes = self->dialer.hs.out_bytes;
	memcpy(proof, self->dialer.hs.out, bytes);
	proof[6] = WIRE_ACCEPTED;
	deliver(&self->dialer, proof, bytes);
	EXPECT_EQ(HANDSHAKE_FAILED, self->dialer.status);
	EXPECT_EQ(WIRE_REFUSE_KEY, self->dialer.hs.refusal);

	begin(self);
	deliver(&self->dialer, self->dialer.hs.out, self->dialer.hs.out_bytes);
	EXPECT_EQ(HANDSHAKE_FAILED, self->dialer.status);
}

/* A recorded conversation, replayed to an acceptor with a new nonce. */
TEST_F(handshake, replay_is_not_believed)
{
	uint8_t hello[HANDSHAKE_MAX_MESSAGE], proof[HANDSHAKE_MAX_MESSAGE];
	size_t hello_bytes, proof_bytes;

	begin(self);
	hello_bytes = self->dialer.hs.out_bytes;
	memcpy(hello, self->dialer.hs.out, hello_bytes);
	deliver(&self->acceptor, hello, hello_bytes);
	deliver(&self->dialer, self->acceptor.hs.out, self->acceptor.hs.out_bytes);
	proof_bytes = self->dialer.hs.out_bytes;
	memcpy(proof, self->dialer.hs.out, proof_bytes);
	deliver(&self->acceptor, proof, proof_bytes);
	ASSERT_EQ(HANDSHAKE_DONE, self->acceptor.status);

	self->nonces[1][0] ^= 1;
	begin(self);
	deliver(&self->acceptor, hello, hello_bytes);
	deliver(&self->acceptor, proof, proof_bytes);
	EXPECT_EQ(HANDSHAKE_FAILED, self->acceptor.status);
	EXPECT_EQ(WIRE_REFUSE_KEY, self->acceptor.hs.refusal);
}

/* Nothing goes on after the end, whatever comes. */
TEST_F(handshake, an_ended_handshake_stays_ended)
{
	uint8_t head[WIRE_HEAD_BYTES];
	size_t body;

	converse(self, NULL);
	for (unsigned int type = WIRE_HELLO; type <= WIRE_REFUSED; type++) {
		wire_put_head(head, type, WIRE_PROOF_BYTES);
		EXPECT_EQ(HANDSHAKE_FAILED, handshake_head(&self->acceptor.hs, head, &body));
	}
}

TEST(hello_is_checked)
{
	struct wire_hello hello = { .from = 1, .to = 2, .kind = WIRE_CONTROL }, out;
	uint8_t buf[WIRE_HELLO_BYTES];

	wire_put_hello(buf, &hello);
	EXPECT_EQ(0, wire_get_hello(buf, sizeof(buf), &out));
	EXPECT_EQ(0, memcmp(&hello, &out, sizeof(out)));
	EXPECT_NE(0, wire_get_hello(buf, sizeof(buf) - 1, &out));
	hello.session = 1;
	wire_put_hello(buf, &hello);
	EXPECT_NE(0, wire_get_hello(buf, sizeof(buf), &out));
	hello = (struct wire_hello){ .from = 2, .to = 1, .kind = WIRE_CONTROL };
	wire_put_hello(buf, &hello);
	EXPECT_NE(0, wire_get_hello(buf, sizeof(buf), &out));
	hello = (struct wire_hello){ .from = 1, .to = 17, .kind = WIRE_CONTROL };
	wire_put_hello(buf, &hello);
	EXPECT_NE(0, wire_get_hello(buf, sizeof(buf), &out));
	hello = (struct wire_hello){ .from = 1, .to = 2, .kind = 3 };
	wire_put_hello(buf, &hello);
	EXPECT_NE(0, wire_get_hello(buf, sizeof(buf), &out));
}

/* RFC 4231 would test the library; what matters is that parts are separated. */
TEST(mac_separates_its_parts)
{
	uint8_t key[AUTH_KEY_BYTES] = { 1 }, a[AUTH_MAC_BYTES], b[AUTH_MAC_BYTES];
	struct auth_part one[] = { { "ab", 2 }, { "c", 1 } }, two[] = { { "a", 1 }, { "bc", 2 } };

	auth_mac(key, one, 2, a);
	auth_mac(key, two, 2, b);
	EXPECT_FALSE(auth_equal(a, b));
	auth_mac(key, one, 2, b);
	EXPECT_TRUE(auth_equal(a, b));
}

TEST_HARNESS_MAIN
