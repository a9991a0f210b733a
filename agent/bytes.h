/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is reserved on disk and on the wire must be zero: both decoders ask here.
 */
#ifndef REPRISE_BYTES_H
#define REPRISE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool bytes_all_zero(const void *buf, size_t bytes)
{
	const uint8_t *p = buf;

	while (bytes && !*p) {
		p++;
		bytes--;
	}
	return !bytes;
}

#endif /* REPRISE_BYTES_H */
