// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the rate of the host's time stamp counter in kHz. In software (TCG) a
 * guest sees that counter, but on a busy host its kernel measures it wrongly,
 * once in a few boots by a factor of four, and then all its time runs as wrong.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { TRIES = 50, SPAN_US = 200000 };

struct sample {
	uint64_t ns;
	uint64_t ticks;
	uint64_t uncertain_ns;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* The tightest of several tries: between two looks at the clock lies little. */
static struct sample take(void)
{
	struct sample best = { .uncertain_ns = UINT64_MAX };

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = now_ns(), ticks = __rdtsc(), after = now_ns();

		if (after - before < best.uncertain_ns)
			best = (struct sample){ before, ticks, after - before };
	}
	return best;
}

int main(void)
{
	struct sample first = take(), last;

	usleep(SPAN_US);
	last = take();
	printf("%llu\n", (last.ticks - first.ticks) * 1000000ull / (last.ns - first.ns));
	return 0;
}
