/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The secret between the nodes of a resource: proofs of possession
 * (HMAC-SHA256 over a transcript), compared in constant time, and short
 * fingerprints by which people and nodes tell keys apart.
 */
#ifndef REPRISE_AUTH_H
#define REPRISE_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	AUTH_KEY_BYTES = 32,
	AUTH_MAC_BYTES = 32,
	AUTH_NONCE_BYTES = 32,
	AUTH_FINGERPRINT_BYTES = 8,
	AUTH_FINGERPRINT_TEXT = 2 * AUTH_FINGERPRINT_BYTES + 1,
};

struct auth_part {
	const void *data;
	size_t bytes;
};

/*
 * HMAC-SHA256 of @parts, each preceded by its length, so that no two different
 * lists of parts have the same image.  Aborts if the library fails: nothing
 * may go on with a wrong proof.
 */
void auth_mac(const uint8_t key[AUTH_KEY_BYTES], const struct auth_part *parts,
	      unsigned int nr_parts, uint8_t mac[AUTH_MAC_BYTES]);
/* In constant time. */
bool auth_equal(const uint8_t a[AUTH_MAC_BYTES], const uint8_t b[AUTH_MAC_BYTES]);

/* Names a key without giving it away: may be shown and sent in the clear. */
void auth_fingerprint(const uint8_t key[AUTH_KEY_BYTES],
		      uint8_t fingerprint[AUTH_FINGERPRINT_BYTES]);
/* Sixteen hexadecimal digits. */
void auth_fingerprint_text(const uint8_t fingerprint[AUTH_FINGERPRINT_BYTES],
			   char text[AUTH_FINGERPRINT_TEXT]);

#endif /* REPRISE_AUTH_H */
