/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who has a device, for messages.
 */
#ifndef REPRISE_HOLDER_H
#define REPRISE_HOLDER_H

#include <stddef.h>

/* "it is mounted on /srv", "device dm-3 is made of it", ... into @buf; returns @buf. */
const char *holder_describe(const char *path, char *buf, size_t bytes);

#endif /* REPRISE_HOLDER_H */
