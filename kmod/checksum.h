/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REPRISE_CHECKSUM_H
#define _REPRISE_CHECKSUM_H

#include <linux/types.h>

int reprise_checksum_init(void);
void reprise_checksum_exit(void);

/* Running CRC-32C: begin with ~0, continue with the result, finish with ~. */
u32 reprise_crc_update(u32 crc, const void *data, unsigned int bytes);
/* CRC-32C of one piece. */
u32 reprise_crc(const void *data, unsigned int bytes);

#endif /* _REPRISE_CHECKSUM_H */
