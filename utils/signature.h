/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What already lives on a device: file systems, RAID or LVM members,
 * partition tables, as libblkid recognises them.
 */
#ifndef REPRISE_SIGNATURE_H
#define REPRISE_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

struct signature {
	char words[256];	/* "ext4 \"data\", partition table dos" */
	unsigned int count;
	unsigned int file_systems;	/* of them; the first one's size: */
	uint64_t file_system_bytes;	/* 0: not known */
};

/* 0, or -errno if @path cannot be looked at. */
int signature_find(const char *path, struct signature *found);

#endif /* REPRISE_SIGNATURE_H */
