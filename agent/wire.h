/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages between agents: the framing and the fixed bodies of the handshake.
 *
 * Every message is a head of 16 bytes and a body whose length the head names.
 * The four messages of the handshake have bodies of fixed size, so that
 * nothing of a stranger is ever parsed; all later ones are JSON.  Integers are
 * little-endian.
 *
 *	dialer                                acceptor
 *	  HELLO (who, whom, nonce, keys)  ->
 *	                                  <-  CHALLENGE (nonce, which key)
 *	  PROOF (MAC)                     ->
 *	                                  <-  ACCEPTED (MAC)
 *	  either side, instead of its turn: REFUSED (code)
 *
 * Both MACs cover the whole HELLO and CHALLENGE, heads included, and the role
 * of the one who proves: version, kind, session, both nodes, resource and
 * both nonces are bound, and no proof can be reflected or replayed.  After
 * ACCEPTED a control connection carries JSON messages; a data connection
 * belongs to the replication stream from the very next byte on.
 */
#ifndef REPRISE_WIRE_H
#define REPRISE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth.h"

enum {
	WIRE_MAGIC = 0x4d505252,	/* "RRPM" */
	WIRE_VERSION = 1,
	WIRE_HEAD_BYTES = 16,
	WIRE_MAX_BODY = 64 << 10,
	WIRE_MAX_STRANGER_BODY = 4 << 10,	/* before authentication */

	WIRE_HELLO_BYTES = 16 + 2 + 2 + 2 + 2 + 8 + AUTH_NONCE_BYTES + 2 * AUTH_FINGERPRINT_BYTES,
	WIRE_CHALLENGE_BYTES = AUTH_NONCE_BYTES + AUTH_FINGERPRINT_BYTES,
	WIRE_PROOF_BYTES = AUTH_MAC_BYTES,
	WIRE_REFUSED_BYTES = 4 + AUTH_FINGERPRINT_BYTES,
};

/**
 * enum wire_type - what a message is
 * @WIRE_HELLO ... @WIRE_REFUSED: the handshake, fixed bodies
 * @WIRE_INTRODUCE: first of each side on a control connection: name, version,
 *	configuration, volumes, and the state
 * @WIRE_STATE: role, lineage, position, store state, whenever they change
 * @WIRE_HEARTBEAT: nothing, every third of the timeout; empty body
 * @WIRE_GOODBYE: this control connection is refused or over; says why
 * @WIRE_OFFER: primary: a session may begin
 * @WIRE_OFFER_ANSWER: replica: yes, from this position; or why not
 * @WIRE_SESSION_REFUSED: primary: the offered session will not come
 * @WIRE_LEAVE: promoter: leave the current timeline and say where
 * @WIRE_LEFT: answer to it
 * @WIRE_ENTER: promoter: the new timeline is open, enter it
 * @WIRE_ENTERED: answer to it
 * @WIRE_WITHDRAW: promoter: nothing was opened, take the old timeline up again
 */
enum wire_type {
	WIRE_HELLO = 1,
	WIRE_CHALLENGE,
	WIRE_PROOF,
	WIRE_ACCEPTED,
	WIRE_REFUSED,
	WIRE_INTRODUCE = 16,
	WIRE_STATE,
	WIRE_HEARTBEAT,
	WIRE_GOODBYE,
	WIRE_OFFER,
	WIRE_OFFER_ANSWER,
	WIRE_SESSION_REFUSED,
	WIRE_LEAVE,
	WIRE_LEFT,
	WIRE_ENTER,
	WIRE_ENTERED,
	WIRE_WITHDRAW,
	WIRE_NR_TYPES,
};

enum wire_kind {
	WIRE_CONTROL = 1,
	WIRE_DATA = 2,
};

/**
 * enum wire_refusal - why a handshake ends; all that a stranger is told
 */
enum wire_refusal {
	WIRE_REFUSE_VERSION = 1,	/* protocol version not spoken */
	WIRE_REFUSE_RESOURCE,		/* no resource with this id is up here */
	WIRE_REFUSE_NODE,		/* not the node asked for, or asker unknown */
	WIRE_REFUSE_KEY,		/* no common key, or a wrong proof */
	WIRE_REFUSE_SESSION,		/* data: no such session is expected */
	WIRE_REFUSE_BUSY,		/* too many connections at once */
	WIRE_REFUSE_MALFORMED,		/* not what the protocol says */
	WIRE_REFUSE_DISCONNECTED,	/* by the administrator, until "connect" */
	WIRE_REFUSE_NR,
};

struct wire_head {
	uint16_t version;
	uint16_t type;
	uint32_t length;	/* of the body */
};

struct wire_hello {
	uint8_t resource_id[16];
	uint16_t from, to;		/* node ids, from < to: the smaller dials */
	uint16_t kind;			/* enum wire_kind */
	uint64_t session;		/* data only, else 0 */
	uint8_t nonce[AUTH_NONCE_BYTES];
	/* own key and previous key; all zero: none */
	uint8_t keys[2][AUTH_FINGERPRINT_BYTES];
};

struct wire_challenge {
	uint8_t nonce[AUTH_NONCE_BYTES];
	uint8_t key[AUTH_FINGERPRINT_BYTES];	/* both prove with this one */
};

struct wire_refused {
	uint16_t code;				/* enum wire_refusal */
	uint8_t key[AUTH_FINGERPRINT_BYTES];	/* KEY: the refuser's */
};

void wire_put_head(uint8_t buf[WIRE_HEAD_BYTES], uint16_t type, uint32_t length);
/*
 * Return 0; -EPROTO: not a message of ours; -EPROTONOSUPPORT: another version
 * (@head filled all the same); -EMSGSIZE: longer than @max_body.
 */
int wire_get_head(const uint8_t buf[WIRE_HEAD_BYTES], uint32_t max_body, struct wire_head *head);

void wire_put_hello(uint8_t buf[WIRE_HELLO_BYTES], const struct wire_hello *hello);
void wire_put_challenge(uint8_t buf[WIRE_CHALLENGE_BYTES], const struct wire_challenge *challenge);
void wire_put_refused(uint8_t buf[WIRE_REFUSED_BYTES], const struct wire_refused *refused);
/* Return 0 or -EPROTO, nothing filled: length, values out of range, reserved bytes set. */
int wire_get_hello(const uint8_t *buf, size_t bytes, struct wire_hello *hello);
int wire_get_challenge(const uint8_t *buf, size_t bytes, struct wire_challenge *challenge);
int wire_get_refused(const uint8_t *buf, size_t bytes, struct wire_refused *refused);

#endif /* REPRISE_WIRE_H */
