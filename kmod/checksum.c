// SPDX-License-Identifier: GPL-2.0
/*
 * CRC-32C through the crypto API, with a transform of our own: what libcrc32c
 * bound to at boot may have been the slow generic one.
 */
#include <crypto/hash.h>
#include <linux/err.h>
#include <linux/printk.h>

#include "checksum.h"

static struct crypto_shash *crc32c_tfm;

/*
 * The transform's digest is the complement of the running value; the seed
 * goes into the descriptor's first word (crypto/crc32c_generic.c: chksum_desc_ctx).
 */
u32 reprise_crc_update(u32 crc, const void *data, unsigned int bytes)
{
	SHASH_DESC_ON_STACK(desc, crc32c_tfm);
	u32 *ctx = (u32 *)shash_desc_ctx(desc);

	desc->tfm = crc32c_tfm;
	*ctx = crc;
	crypto_shash_update(desc, data, bytes);
	return *ctx;
}

u32 reprise_crc(const void *data, unsigned int bytes)
{
	return ~reprise_crc_update(~0, data, bytes);
}

int reprise_checksum_init(void)
{
	crc32c_tfm = crypto_alloc_shash("crc32c", 0, 0);
	if (IS_ERR(crc32c_tfm))
		return PTR_ERR(crc32c_tfm);
	if (reprise_crc("123456789", 9) != 0xe3069283) {
		pr_err("reprise: checksum driver %s gives wrong results\n",
		       crypto_shash_driver_name(crc32c_tfm));
		crypto_free_shash(crc32c_tfm);
		return -EINVAL;
	}
	pr_info("reprise: checksums by %s\n", crypto_shash_driver_name(crc32c_tfm));
	return 0;
}

void reprise_checksum_exit(void)
{
	crypto_free_shash(crc32c_tfm);
}
