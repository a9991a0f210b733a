// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of the fuzz targets.  The one idea: a target sees nothing but its
 * input, so that a crash repeats from the file alone.
 */
#include "input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERN = 0x5a };

void fuzz_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

void fuzz_poison(void *buf, size_t bytes)
{
	memset(buf, PATTERN, bytes);
}

bool fuzz_untouched(const void *buf, size_t bytes)
{
	const uint8_t *p = buf;

	while (bytes && *p == PATTERN) {
		p++;
		bytes--;
	}
	return !bytes;
}

void fuzz_take(struct fuzz_input *in, void *to, size_t bytes)
{
	size_t n = bytes < in->left ? bytes : in->left;

	memset(to, 0, bytes);
	if (n)
		memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
}

uint8_t fuzz_u8(struct fuzz_input *in)
{
	uint8_t value;

	fuzz_take(in, &value, sizeof(value));
	return value;
}

uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t value;

	fuzz_take(in, &value, sizeof(value));
	return value;
}

uint64_t fuzz_u64(struct fuzz_input *in)
{
	uint64_t value;

	fuzz_take(in, &value, sizeof(value));
	return value;
}

unsigned int fuzz_below(struct fuzz_input *in, unsigned int below)
{
	return (below > 256 ? fuzz_u16(in) : fuzz_u8(in)) % below;
}

/* splitmix64 (Steele et al. 2014) */
uint64_t fuzz_random(struct fuzz_random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned int fuzz_random_below(struct fuzz_random *random, unsigned int below)
{
	return fuzz_random(random) % below;
}

void fuzz_mutate_block(uint8_t *buf, size_t bytes)
{
	size_t now = LLVMFuzzerMutate(buf, bytes, bytes);

	memset(buf + now, 0, bytes - now);
}
