// SPDX-License-Identifier: GPL-2.0
/*
 * libblkid tells what is there; how far an ext or XFS file system reaches is
 * read from its superblock, for --keep-data.
 */
#include <blkid/blkid.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "signature.h"

static const char *value_of(blkid_probe probe, const char *name)
{
	const char *value;

	return blkid_probe_lookup_value(probe, name, &value, NULL) ? NULL : value;
}

static uint32_t le32_at(const unsigned char *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t be64_at(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* Offsets as in the file systems' own on-disk headers. */
static uint64_t file_system_bytes(const char *path, const char *type)
{
	unsigned char block[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, block, sizeof(block), 0);
	const unsigned char *ext = block + 1024;

	if (fd >= 0)
		close(fd);
	if (n != sizeof(block))
		return 0;
	if (!strncmp(type, "ext", 3) && le32_at(ext + 24) < 16) {
		bool is_64bit = le32_at(ext + 96) & 0x80;
		uint64_t blocks = le32_at(ext + 4);

		if (is_64bit)
			blocks |= (uint64_t)le32_at(ext + 336) << 32;
		return blocks * (1024ULL << le32_at(ext + 24));
	}
	if (!strcmp(type, "xfs"))
		return be64_at(block + 8) * (be64_at(block) & 0xffffffff);
	return 0;
}

static void add_words(struct signature *found, const char *what, const char *name,
		      const char *label)
{
	size_t used = strlen(found->words);

	snprintf(found->words + used, sizeof(found->words) - used, "%s%s%s%s%s%s", used ? ", " : "",
		 what, name, label ? " \"" : "", label ? label : "", label ? "\"" : "");
	found->count++;
}

static void take(blkid_probe probe, const char *path, struct signature *found)
{
	const char *type = value_of(probe, "TYPE"), *usage = value_of(probe, "USAGE");
	const char *table = value_of(probe, "PTTYPE");

	if (table)
		add_words(found, "partition table ", table, NULL);
	if (!type)
		return;
	add_words(found, "", type, value_of(probe, "LABEL"));
	if (usage && !strcmp(usage, "filesystem") && !found->file_systems++)
		found->file_system_bytes = file_system_bytes(path, type);
}

int signature_find(const char *path, struct signature *found)
{
	blkid_probe probe = blkid_new_probe_from_filename(path);
	int ret;

	*found = (struct signature){ 0 };
	if (!probe)
		return errno ? -errno : -EIO;
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
							 BLKID_SUBLKS_USAGE | BLKID_SUBLKS_MAGIC);
	blkid_probe_enable_partitions(probe, 1);
	blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC);
	while ((ret = blkid_do_probe(probe)) == 0)
		take(probe, path, found);
	blkid_free_probe(probe);
	return ret == 1 ? 0 : -EIO;
}
