/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests of the module's pure files: KTAP, a seeded generator, and a
 * condition that ends the test at once with its place and seed.
 */
#ifndef _KPURE_H
#define _KPURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

bool kpure_no_memory;

static uint64_t kpure_state, kpure_seed;

static inline uint64_t kpure_random(void)	/* splitmix64 (Steele et al. 2014) */
{
	uint64_t z = kpure_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline unsigned int kpure_below(unsigned int n)
{
	return kpure_random() % n;
}

static inline void kpure_start(uint64_t seed)
{
	kpure_seed = seed;
	kpure_state = seed;
}

#define must(condition) do {						\
	if (!(condition)) {						\
		printf("# %s:%d: seed %llu: %s\nnot ok 1 %s\n", __FILE__, __LINE__, \
		       (unsigned long long)kpure_seed, #condition, __func__); \
		exit(1);						\
	}								\
} while (0)

#endif
