/* SPDX-License-Identifier: GPL-2.0 */
/* CRC-32C as in kmod/uapi/reprise_frame.h, by tables of its own. */
#ifndef CHECKER_CRC_H
#define CHECKER_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc_of(const void *data, size_t bytes);
/* With the four bytes at @hole taken as zeros: structures that hold their own checksum. */
uint32_t crc_without(const void *data, size_t bytes, size_t hole);

#endif /* CHECKER_CRC_H */
