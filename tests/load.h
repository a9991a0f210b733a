/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What programs that make load share: a clock, and random numbers that a seed
 * repeats.
 */
#ifndef REPRISE_TESTS_LOAD_H
#define REPRISE_TESTS_LOAD_H

#include <stdint.h>
#include <time.h>

static inline uint64_t load_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* splitmix64, https://prng.di.unimi.it/splitmix64.c; @state begins as the seed. */
static inline uint64_t load_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

#endif /* REPRISE_TESTS_LOAD_H */
