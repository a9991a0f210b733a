// SPDX-License-Identifier: GPL-2.0
/*
 * Proofs and fingerprints, on OpenSSL's HMAC.  Each use of a key is separated
 * from every other by a label, so that a fingerprint says nothing of a proof.
 */
#include "auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/core_names.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok)
{
	if (ok)
		return;
	fprintf(stderr, "reprise: HMAC-SHA256 failed in libcrypto\n");
	abort();
}

static void mac_update(EVP_MAC_CTX *ctx, const void *data, size_t bytes)
{
	must(EVP_MAC_update(ctx, data, bytes) == 1);
}

static void mac_part(EVP_MAC_CTX *ctx, const struct auth_part *part)
{
	uint8_t length[8];

	for (unsigned int i = 0; i < sizeof(length); i++)
		length[i] = (uint64_t)part->bytes >> (8 * i);
	mac_update(ctx, length, sizeof(length));
	mac_update(ctx, part->data, part->bytes);
}

void auth_mac(const uint8_t key[AUTH_KEY_BYTES], const struct auth_part *parts,
	      unsigned int nr_parts, uint8_t mac[AUTH_MAC_BYTES])
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *alg = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = alg ? EVP_MAC_CTX_new(alg) : NULL;
	size_t length = 0;

	must(ctx);
	must(EVP_MAC_init(ctx, key, AUTH_KEY_BYTES, params) == 1);
	for (unsigned int i = 0; i < nr_parts; i++)
		mac_part(ctx, &parts[i]);
	must(EVP_MAC_final(ctx, mac, &length, AUTH_MAC_BYTES) == 1 && length == AUTH_MAC_BYTES);
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(alg);
}

bool auth_equal(const uint8_t a[AUTH_MAC_BYTES], const uint8_t b[AUTH_MAC_BYTES])
{
	return CRYPTO_memcmp(a, b, AUTH_MAC_BYTES) == 0;
}

void auth_fingerprint(const uint8_t key[AUTH_KEY_BYTES],
		      uint8_t fingerprint[AUTH_FINGERPRINT_BYTES])
{
	static const char label[] = "reprise key fingerprint";
	struct auth_part part = { label, sizeof(label) };
	uint8_t mac[AUTH_MAC_BYTES];

	auth_mac(key, &part, 1, mac);
	memcpy(fingerprint, mac, AUTH_FINGERPRINT_BYTES);
}

void auth_fingerprint_text(const uint8_t fingerprint[AUTH_FINGERPRINT_BYTES],
			   char text[AUTH_FINGERPRINT_TEXT])
{
	for (unsigned int i = 0; i < AUTH_FINGERPRINT_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", fingerprint[i]);
}
