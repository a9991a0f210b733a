// SPDX-License-Identifier: GPL-2.0
/*
 * Encoding and decoding of message heads and of the handshake's bodies.  The
 * layouts are wire.h's; every decoder checks length, ranges and reserved
 * bytes before it fills anything.
 */
#include "wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "../kmod/uapi/reprise_frame.h"

enum {
	HEAD_VERSION = 4,
	HEAD_TYPE = 6,
	HEAD_LENGTH = 8,
	HEAD_RESERVED = 12,

	HELLO_FROM = 16,
	HELLO_TO = 18,
	HELLO_KIND = 20,
	HELLO_RESERVED = 22,
	HELLO_SESSION = 24,
	HELLO_NONCE = 32,
	HELLO_KEYS = HELLO_NONCE + AUTH_NONCE_BYTES,
};

static void put16(uint8_t *to, uint16_t value)
{
	value = htole16(value);
	memcpy(to, &value, sizeof(value));
}

static void put32(uint8_t *to, uint32_t value)
{
	value = htole32(value);
	memcpy(to, &value, sizeof(value));
}

static void put64(uint8_t *to, uint64_t value)
{
	value = htole64(value);
	memcpy(to, &value, sizeof(value));
}

static uint16_t get16(const uint8_t *from)
{
	uint16_t value;

	memcpy(&value, from, sizeof(value));
	return le16toh(value);
}

static uint32_t get32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return le32toh(value);
}

static uint64_t get64(const uint8_t *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return le64toh(value);
}

void wire_put_head(uint8_t buf[WIRE_HEAD_BYTES], uint16_t type, uint32_t length)
{
	put32(buf, WIRE_MAGIC);
	put16(buf + HEAD_VERSION, WIRE_VERSION);
	put16(buf + HEAD_TYPE, type);
	put32(buf + HEAD_LENGTH, length);
	put32(buf + HEAD_RESERVED, 0);
}

int wire_get_head(const uint8_t buf[WIRE_HEAD_BYTES], uint32_t max_body, struct wire_head *head)
{
	struct wire_head h = {
		.version = get16(buf + HEAD_VERSION),
		.type = get16(buf + HEAD_TYPE),
		.length = get32(buf + HEAD_LENGTH),
	};

	if (get32(buf) != WIRE_MAGIC)
		return -EPROTO;
	if (h.version != WIRE_VERSION) {
		*head = h;
		return -EPROTONOSUPPORT;
	}
	if (get32(buf + HEAD_RESERVED) || h.type == 0 || h.type >= WIRE_NR_TYPES)
		return -EPROTO;
	if (h.length > max_body)
		return -EMSGSIZE;
	*head = h;
	return 0;
}

void wire_put_hello(uint8_t buf[WIRE_HELLO_BYTES], const struct wire_hello *hello)
{
	memcpy(buf, hello->resource_id, sizeof(hello->resource_id));
	put16(buf + HELLO_FROM, hello->from);
	put16(buf + HELLO_TO, hello->to);
	put16(buf + HELLO_KIND, hello->kind);
	put16(buf + HELLO_RESERVED, 0);
	put64(buf + HELLO_SESSION, hello->session);
	memcpy(buf + HELLO_NONCE, hello->nonce, AUTH_NONCE_BYTES);
	memcpy(buf + HELLO_KEYS, hello->keys, sizeof(hello->keys));
}

/* The node with the smaller id dials, always. */
static bool hello_valid(const struct wire_hello *hello)
{
	if (hello->from < 1 || hello->from > REPRISE_MAX_NODES)
		return false;
	if (hello->to < 1 || hello->to > REPRISE_MAX_NODES || hello->to <= hello->from)
		return false;
	if (hello->kind == WIRE_CONTROL)
		return hello->session == 0;
	return hello->kind == WIRE_DATA && hello->session != 0;
}

int wire_get_hello(const uint8_t *buf, size_t bytes, struct wire_hello *hello)
{
	struct wire_hello h;

	if (bytes != WIRE_HELLO_BYTES || get16(buf + HELLO_RESERVED))
		return -EPROTO;
	memcpy(h.resource_id, buf, sizeof(h.resource_id));
	h.from = get16(buf + HELLO_FROM);
	h.to = get16(buf + HELLO_TO);
	h.kind = get16(buf + HELLO_KIND);
	h.session = get64(buf + HELLO_SESSION);
	memcpy(h.nonce, buf + HELLO_NONCE, AUTH_NONCE_BYTES);
	memcpy(h.keys, buf + HELLO_KEYS, sizeof(h.keys));
	if (!hello_valid(&h))
		return -EPROTO;
	*hello = h;
	return 0;
}

void wire_put_challenge(uint8_t buf[WIRE_CHALLENGE_BYTES], const struct wire_challenge *challenge)
{
	memcpy(buf, challenge->nonce, AUTH_NONCE_BYTES);
	memcpy(buf + AUTH_NONCE_BYTES, challenge->key, AUTH_FINGERPRINT_BYTES);
}

int wire_get_challenge(const uint8_t *buf, size_t bytes, struct wire_challenge *challenge)
{
	if (bytes != WIRE_CHALLENGE_BYTES)
		return -EPROTO;
	memcpy(challenge->nonce, buf, AUTH_NONCE_BYTES);
	memcpy(challenge->key, buf + AUTH_NONCE_BYTES, AUTH_FINGERPRINT_BYTES);
	return 0;
}

void wire_put_refused(uint8_t buf[WIRE_REFUSED_BYTES], const struct wire_refused *refused)
{
	put16(buf, refused->code);
	put16(buf + 2, 0);
	memcpy(buf + 4, refused->key, AUTH_FINGERPRINT_BYTES);
}

int wire_get_refused(const uint8_t *buf, size_t bytes, struct wire_refused *refused)
{
	uint16_t code;

	if (bytes != WIRE_REFUSED_BYTES || get16(buf + 2))
		return -EPROTO;
	code = get16(buf);
	if (code == 0 || code >= WIRE_REFUSE_NR)
		return -EPROTO;
	refused->code = code;
	memcpy(refused->key, buf + 4, AUTH_FINGERPRINT_BYTES);
	return 0;
}
