// SPDX-License-Identifier: GPL-2.0
/*
 * One memfd, two mappings.  The memory is allocated at once, so that a
 * shortage is an error here and not a signal later.
 */
#include "ringmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

static bool map_twice(int fd, char *base, size_t bytes)
{
	for (int half = 0; half < 2; half++)
		if (mmap(base + half * bytes, bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)
			return false;
	return true;
}

static void *map_ring(int fd, size_t bytes)
{
	void *base = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			  -1, 0);
	int err;

	if (base == MAP_FAILED)
		return NULL;
	if (map_twice(fd, base, bytes))
		return base;
	err = errno;
	munmap(base, 2 * bytes);
	errno = err;
	return NULL;
}

void *ringmap_alloc(size_t bytes)
{
	int fd = memfd_create("reprise-ring", MFD_CLOEXEC);
	void *ring = NULL;
	int err;

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, bytes) == 0 && fallocate(fd, 0, 0, bytes) == 0)
		ring = map_ring(fd, bytes);
	err = errno;
	close(fd);
	errno = err;
	return ring;
}

void ringmap_free(void *ring, size_t bytes)
{
	if (ring)
		munmap(ring, 2 * bytes);
}
