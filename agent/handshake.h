/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The handshake as a pure state machine: bytes of one message in, at most one
 * message out, no socket and no clock.  greet.c drives it on a connection.
 *
 * The one idea: until the other side has proved that it has the key, it can
 * make this side do nothing but compare a few fixed fields, and learns one
 * refusal code; the plain words stay here.
 */
#ifndef REPRISE_HANDSHAKE_H
#define REPRISE_HANDSHAKE_H

#include "wire.h"

enum {
	HANDSHAKE_MAX_MESSAGE = WIRE_HEAD_BYTES + WIRE_HELLO_BYTES,
	HANDSHAKE_WHY_BYTES = 384,
	HANDSHAKE_NAME_BYTES = 64,
};

enum handshake_status {
	HANDSHAKE_MORE,		/* send what is in out[], if anything, and receive */
	HANDSHAKE_DONE,		/* send what is in out[], if anything; authenticated */
	HANDSHAKE_FAILED,	/* send what is in out[], if anything, and close; why[] says it */
};

/**
 * struct handshake_keys - the secret of a resource, and how to speak of it
 * @nr: 1, or 2 while a key is being rotated; key[0] is the current one
 */
struct handshake_keys {
	unsigned int nr;
	uint8_t key[2][AUTH_KEY_BYTES];
	char resource[HANDSHAKE_NAME_BYTES];
	char peer[HANDSHAKE_NAME_BYTES];
};

/*
 * The acceptor's question: may @hello come in?  0 with @keys filled, or enum
 * wire_refusal with @why (HANDSHAKE_WHY_BYTES) filled for the own log.
 */
typedef int (*handshake_lookup)(void *ctx, const struct wire_hello *hello,
				struct handshake_keys *keys, char *why);

struct handshake {
	bool dialer;
	unsigned int expects;		/* enum wire_type, 0: over */
	struct handshake_keys keys;
	const uint8_t *chosen;		/* key in use, in @keys */
	struct wire_hello hello;
	handshake_lookup lookup;
	void *ctx;
	uint8_t nonce[AUTH_NONCE_BYTES];	/* own */

	/* the transcript: both messages as they went over the wire */
	uint8_t hello_message[WIRE_HEAD_BYTES + WIRE_HELLO_BYTES];
	uint8_t challenge_message[WIRE_HEAD_BYTES + WIRE_CHALLENGE_BYTES];

	uint8_t out[HANDSHAKE_MAX_MESSAGE];
	size_t out_bytes;
	unsigned int refusal;		/* enum wire_refusal, when failed */
	char why[HANDSHAKE_WHY_BYTES];	/* plain words, when failed */
};

/*
 * Begin as dialer: @hello says who, whom, resource, kind and session (nonce
 * and keys are filled in); HELLO is in out[].  @nonce: fresh random bytes.
 */
void handshake_dial(struct handshake *hs, const struct wire_hello *hello,
		    const struct handshake_keys *keys, const uint8_t nonce[AUTH_NONCE_BYTES]);
/* Begin as acceptor. */
void handshake_accept(struct handshake *hs, handshake_lookup lookup, void *ctx,
		      const uint8_t nonce[AUTH_NONCE_BYTES]);

/*
 * The head of the next message has arrived: how long its body is, or failed.
 * HANDSHAKE_MORE: *@body bytes follow, then handshake_receive().
 */
enum handshake_status handshake_head(struct handshake *hs, const uint8_t head[WIRE_HEAD_BYTES],
				     size_t *body);
/* The whole message, head and body, has arrived.  Clears and refills out[]. */
enum handshake_status handshake_receive(struct handshake *hs, const uint8_t *message,
					size_t bytes);

const char *handshake_refusal_text(unsigned int refusal);

#endif /* REPRISE_HANDSHAKE_H */
