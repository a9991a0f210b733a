// SPDX-License-Identifier: GPL-2.0
/*
 * CRC-32C in software, eight bytes a step (Kounavis and Berry, "A systematic
 * approach to building high performance software-based CRC generators", 2005).
 */
#include "crc.h"

#include <endian.h>
#include <string.h>

static uint32_t table[8][256];

static void __attribute__((constructor)) make_tables(void)
{
	for (unsigned int i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78 : 0);
		table[0][i] = c;
	}
	for (unsigned int k = 1; k < 8; k++)
		for (unsigned int i = 0; i < 256; i++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
}

static uint32_t add(uint32_t c, const uint8_t *p, size_t bytes)
{
	for (; bytes >= 8; bytes -= 8, p += 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		w = le64toh(w) ^ c;
		c = table[7][w & 0xff] ^ table[6][w >> 8 & 0xff] ^ table[5][w >> 16 & 0xff] ^
		    table[4][w >> 24 & 0xff] ^ table[3][w >> 32 & 0xff] ^
		    table[2][w >> 40 & 0xff] ^ table[1][w >> 48 & 0xff] ^ table[0][w >> 56];
	}
	for (; bytes; bytes--)
		c = c >> 8 ^ table[0][(c ^ *p++) & 0xff];
	return c;
}

uint32_t crc_of(const void *data, size_t bytes)
{
	return ~add(~0U, data, bytes);
}

uint32_t crc_without(const void *data, size_t bytes, size_t hole)
{
	const uint8_t *p = data, zeros[4] = { 0 };
	uint32_t c = add(~0U, p, hole);

	c = add(c, zeros, sizeof(zeros));
	return ~add(c, p + hole + 4, bytes - hole - 4);
}
