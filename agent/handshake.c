// SPDX-License-Identifier: GPL-2.0
/*
 * The four messages of wire.h, each checked against the one that is expected
 * next, nothing else.  Any deviation ends the handshake for good.
 */
#include "handshake.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const refusal_texts[WIRE_REFUSE_NR] = {
	[WIRE_REFUSE_VERSION] = "it speaks another version of the protocol",
	[WIRE_REFUSE_RESOURCE] = "the resource is not up there, or has another id there",
	[WIRE_REFUSE_NODE] = "node ids do not match: compare the node sections on both nodes",
	[WIRE_REFUSE_KEY] = "the keys differ",
	[WIRE_REFUSE_SESSION] = "the session is not expected there (any more)",
	[WIRE_REFUSE_BUSY] = "too many connections at once there",
	[WIRE_REFUSE_DISCONNECTED] = "the administrator has disconnected it there",
	[WIRE_REFUSE_MALFORMED] = "it did not understand our messages",
};

const char *handshake_refusal_text(unsigned int refusal)
{
	if (refusal == 0 || refusal >= WIRE_REFUSE_NR)
		return "for an unknown reason";
	return refusal_texts[refusal];
}

static const char *peer_name(const struct handshake *hs)
{
	return hs->keys.peer[0] ? hs->keys.peer : "the other side";
}

static size_t body_bytes(unsigned int type)
{
	switch (type) {
	case WIRE_HELLO:
		return WIRE_HELLO_BYTES;
	case WIRE_CHALLENGE:
		return WIRE_CHALLENGE_BYTES;
	case WIRE_PROOF:
	case WIRE_ACCEPTED:
		return WIRE_PROOF_BYTES;
	default:
		return WIRE_REFUSED_BYTES;
	}
}

static void __attribute__((format(printf, 2, 3))) say(struct handshake *hs, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(hs->why, sizeof(hs->why), fmt, args);
	va_end(args);
}

static enum handshake_status fail(struct handshake *hs, unsigned int refusal)
{
	hs->expects = 0;
	hs->refusal = refusal;
	return HANDSHAKE_FAILED;
}

/* As fail(), and tell the other side the code. */
static enum handshake_status refuse(struct handshake *hs, unsigned int refusal)
{
	struct wire_refused body = { .code = refusal };

	if (refusal == WIRE_REFUSE_KEY && hs->keys.nr)
		auth_fingerprint(hs->keys.key[0], body.key);
	wire_put_head(hs->out, WIRE_REFUSED, WIRE_REFUSED_BYTES);
	wire_put_refused(hs->out + WIRE_HEAD_BYTES, &body);
	hs->out_bytes = WIRE_HEAD_BYTES + WIRE_REFUSED_BYTES;
	return fail(hs, refusal);
}

static enum handshake_status malformed(struct handshake *hs)
{
	say(hs, "%s sent something that is not part of the handshake", peer_name(hs));
	return refuse(hs, WIRE_REFUSE_MALFORMED);
}

static void prove(const struct handshake *hs, bool by_dialer, uint8_t mac[AUTH_MAC_BYTES])
{
	static const char labels[2][32] = { "reprise acceptor proves", "reprise dialer proves" };
	const struct auth_part parts[] = {
		{ labels[by_dialer], sizeof(labels[by_dialer]) },
		{ hs->hello_message, sizeof(hs->hello_message) },
		{ hs->challenge_message, sizeof(hs->challenge_message) },
	};

	auth_mac(hs->chosen, parts, 3, mac);
}

void handshake_dial(struct handshake *hs, const struct wire_hello *hello,
		    const struct handshake_keys *keys, const uint8_t nonce[AUTH_NONCE_BYTES])
{
	memset(hs, 0, sizeof(*hs));
	hs->dialer = true;
	hs->keys = *keys;
	hs->hello = *hello;
	memcpy(hs->hello.nonce, nonce, AUTH_NONCE_BYTES);
	memset(hs->hello.keys, 0, sizeof(hs->hello.keys));
	for (unsigned int i = 0; i < keys->nr; i++)
		auth_fingerprint(keys->key[i], hs->hello.keys[i]);
	wire_put_head(hs->hello_message, WIRE_HELLO, WIRE_HELLO_BYTES);
	wire_put_hello(hs->hello_message + WIRE_HEAD_BYTES, &hs->hello);
	memcpy(hs->out, hs->hello_message, sizeof(hs->hello_message));
	hs->out_bytes = sizeof(hs->hello_message);
	hs->expects = WIRE_CHALLENGE;
}

void handshake_accept(struct handshake *hs, handshake_lookup lookup, void *ctx,
		      const uint8_t nonce[AUTH_NONCE_BYTES])
{
	memset(hs, 0, sizeof(*hs));
	hs->lookup = lookup;
	hs->ctx = ctx;
	memcpy(hs->nonce, nonce, AUTH_NONCE_BYTES);
	hs->expects = WIRE_HELLO;
}

static enum handshake_status head_failed(struct handshake *hs, int error, unsigned int version)
{
	if (error == -EPROTONOSUPPORT) {
		say(hs, "%s speaks version %u of the protocol, this node version %u: install the same release on both",
		    peer_name(hs), version, WIRE_VERSION);
		return refuse(hs, WIRE_REFUSE_VERSION);
	}
	return malformed(hs);
}

enum handshake_status handshake_head(struct handshake *hs, const uint8_t head[WIRE_HEAD_BYTES],
				     size_t *body)
{
	struct wire_head h = { 0 };
	int error = wire_get_head(head, WIRE_MAX_STRANGER_BODY, &h);

	hs->out_bytes = 0;
	if (error)
		return head_failed(hs, error, h.version);
	if (!hs->expects || (h.type != hs->expects && h.type != WIRE_REFUSED))
		return malformed(hs);
	if (h.type == WIRE_REFUSED && hs->expects == WIRE_HELLO)
		return malformed(hs);
	if (h.length != body_bytes(h.type))
		return malformed(hs);
	*body = h.length;
	return HANDSHAKE_MORE;
}

/* The first of the dialer's keys that we have, too. */
static const uint8_t *common_key(const struct handshake *hs, const uint8_t theirs[2][8])
{
	static const uint8_t none[AUTH_FINGERPRINT_BYTES];
	uint8_t mine[AUTH_FINGERPRINT_BYTES];

	for (unsigned int t = 0; t < 2; t++) {
		if (!memcmp(theirs[t], none, sizeof(none)))
			continue;
		for (unsigned int m = 0; m < hs->keys.nr; m++) {
			auth_fingerprint(hs->keys.key[m], mine);
			if (!memcmp(mine, theirs[t], sizeof(mine)))
				return hs->keys.key[m];
		}
	}
	return NULL;
}

static void say_keys_differ(struct handshake *hs, const uint8_t theirs[AUTH_FINGERPRINT_BYTES])
{
	uint8_t mine[AUTH_FINGERPRINT_BYTES];
	char my_text[AUTH_FINGERPRINT_TEXT], their_text[AUTH_FINGERPRINT_TEXT];

	auth_fingerprint(hs->keys.key[0], mine);
	auth_fingerprint_text(mine, my_text);
	auth_fingerprint_text(theirs, their_text);
	if (!memcmp(mine, theirs, sizeof(mine)))
		say(hs, "wrong key: %s names the right key of resource %s but does not have it",
		    peer_name(hs), hs->keys.resource);
	else
		say(hs, "wrong key: resource %s has key %s here and %s on %s: copy the configuration from one node to the other",
		    hs->keys.resource, my_text, their_text, peer_name(hs));
}

static enum handshake_status receive_hello(struct handshake *hs, const uint8_t *message,
					   size_t bytes)
{
	struct wire_challenge challenge;
	int refusal;

	if (wire_get_hello(message + WIRE_HEAD_BYTES, bytes - WIRE_HEAD_BYTES, &hs->hello))
		return malformed(hs);
	refusal = hs->lookup(hs->ctx, &hs->hello, &hs->keys, hs->why);
	if (refusal)
		return refuse(hs, refusal);
	hs->chosen = common_key(hs, hs->hello.keys);
	if (!hs->chosen) {
		say_keys_differ(hs, hs->hello.keys[0]);
		return refuse(hs, WIRE_REFUSE_KEY);
	}
	memcpy(hs->hello_message, message, sizeof(hs->hello_message));
	memcpy(challenge.nonce, hs->nonce, AUTH_NONCE_BYTES);
	auth_fingerprint(hs->chosen, challenge.key);
	wire_put_head(hs->challenge_message, WIRE_CHALLENGE, WIRE_CHALLENGE_BYTES);
	wire_put_challenge(hs->challenge_message + WIRE_HEAD_BYTES, &challenge);
	memcpy(hs->out, hs->challenge_message, sizeof(hs->challenge_message));
	hs->out_bytes = sizeof(hs->challenge_message);
	hs->expects = WIRE_PROOF;
	return HANDSHAKE_MORE;
}

static void put_proof(struct handshake *hs, unsigned int type)
{
	wire_put_head(hs->out, type, WIRE_PROOF_BYTES);
	prove(hs, hs->dialer, hs->out + WIRE_HEAD_BYTES);
	hs->out_bytes = WIRE_HEAD_BYTES + WIRE_PROOF_BYTES;
}

static enum handshake_status receive_challenge(struct handshake *hs, const uint8_t *message,
					       size_t bytes)
{
	struct wire_challenge challenge;
	uint8_t mine[AUTH_FINGERPRINT_BYTES];

	if (wire_get_challenge(message + WIRE_HEAD_BYTES, bytes - WIRE_HEAD_BYTES, &challenge))
		return malformed(hs);
	for (unsigned int i = 0; i < hs->keys.nr && !hs->chosen; i++) {
		auth_fingerprint(hs->keys.key[i], mine);
		if (!memcmp(mine, challenge.key, sizeof(mine)))
			hs->chosen = hs->keys.key[i];
	}
	if (!hs->chosen) {
		say_keys_differ(hs, challenge.key);
		return refuse(hs, WIRE_REFUSE_KEY);
	}
	memcpy(hs->challenge_message, message, sizeof(hs->challenge_message));
	put_proof(hs, WIRE_PROOF);
	hs->expects = WIRE_ACCEPTED;
	return HANDSHAKE_MORE;
}

static enum handshake_status receive_proof(struct handshake *hs, const uint8_t *message)
{
	uint8_t mac[AUTH_MAC_BYTES];

	prove(hs, !hs->dialer, mac);
	if (!auth_equal(mac, message + WIRE_HEAD_BYTES)) {
		say(hs, "wrong key: the proof of %s for resource %s is not valid",
		    peer_name(hs), hs->keys.resource);
		return refuse(hs, WIRE_REFUSE_KEY);
	}
	if (!hs->dialer)
		put_proof(hs, WIRE_ACCEPTED);
	hs->expects = 0;
	return HANDSHAKE_DONE;
}

static enum handshake_status receive_refused(struct handshake *hs, const uint8_t *message,
					     size_t bytes)
{
	struct wire_refused refused;

	if (wire_get_refused(message + WIRE_HEAD_BYTES, bytes - WIRE_HEAD_BYTES, &refused))
		return malformed(hs);
	if (refused.code == WIRE_REFUSE_KEY)
		say_keys_differ(hs, refused.key);
	else
		say(hs, "%s refused the connection for resource %s: %s", peer_name(hs),
		    hs->keys.resource, handshake_refusal_text(refused.code));
	return fail(hs, refused.code);
}

enum handshake_status handshake_receive(struct handshake *hs, const uint8_t *message,
					size_t bytes)
{
	enum handshake_status status;
	struct wire_head head;
	size_t body;

	hs->out_bytes = 0;
	if (bytes < WIRE_HEAD_BYTES)
		return malformed(hs);
	status = handshake_head(hs, message, &body);
	if (status != HANDSHAKE_MORE)
		return status;
	if (bytes != WIRE_HEAD_BYTES + body)
		return malformed(hs);
	wire_get_head(message, WIRE_MAX_STRANGER_BODY, &head);
	switch (head.type) {
	case WIRE_HELLO:
		return receive_hello(hs, message, bytes);
	case WIRE_CHALLENGE:
		return receive_challenge(hs, message, bytes);
	case WIRE_PROOF:
	case WIRE_ACCEPTED:
		return receive_proof(hs, message);
	default:
		return receive_refused(hs, message, bytes);
	}
}
