/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making ranges read as zeros, durably.  Offsets and lengths are multiples of
 * 4096; descriptors may be O_DIRECT.
 */
#ifndef REPRISE_ZERO_H
#define REPRISE_ZERO_H

#include <stdbool.h>
#include <stdint.h>

/* Progress so far goes to the terminal as "@label: 12 %"; NULL: silent. */

/* By the fastest means there is; 0 or -errno. */
int zero_range(int fd, bool is_block, uint64_t offset, uint64_t length, const char *label);
/* By writing, so that the space is really there; 0 or -errno. */
int zero_write(int fd, uint64_t offset, uint64_t length, const char *label);

#endif /* REPRISE_ZERO_H */
