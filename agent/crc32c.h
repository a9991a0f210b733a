/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one checksum of the product: CRC-32C as kmod/uapi/reprise_frame.h
 * defines it ("123456789" gives 0xe3069283).
 */
#ifndef REPRISE_CRC32C_H
#define REPRISE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Checksum of @buf. */
uint32_t crc32c(const void *buf, size_t bytes);
/* Checksum of what gave @crc (0: nothing yet) followed by @buf. */
uint32_t crc32c_continue(uint32_t crc, const void *buf, size_t bytes);
/* Checksum of @buf with the four bytes at @hole taken as zeros: for a block that holds its own. */
uint32_t crc32c_with_hole(const void *buf, size_t bytes, size_t hole);

#endif /* REPRISE_CRC32C_H */
