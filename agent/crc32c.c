// SPDX-License-Identifier: GPL-2.0
/*
 * CRC-32C by isa-l, whose crc32_iscsi() leaves the initial and the final
 * inversion to its caller.
 */
#include <assert.h>
#include <limits.h>
#include <isa-l/crc.h>

#include "crc32c.h"

uint32_t crc32c_continue(uint32_t crc, const void *buf, size_t bytes)
{
	assert(bytes <= INT_MAX);
	/* The prototype lacks a const, the function does not write. */
	return ~crc32_iscsi((unsigned char *)buf, bytes, ~crc);
}

uint32_t crc32c(const void *buf, size_t bytes)
{
	return crc32c_continue(0, buf, bytes);
}

uint32_t crc32c_with_hole(const void *buf, size_t bytes, size_t hole)
{
	static const uint8_t zeros[4];
	uint32_t crc;

	assert(hole + sizeof(zeros) <= bytes);
	crc = crc32c(buf, hole);
	crc = crc32c_continue(crc, zeros, sizeof(zeros));
	hole += sizeof(zeros);
	return crc32c_continue(crc, (const uint8_t *)buf + hole, bytes - hole);
}
