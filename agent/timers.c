// SPDX-License-Identifier: GPL-2.0
/*
 * The heap of timers.  Each timer knows its slot, so that setting it again and
 * clearing it need no search.
 */
#include "timers.h"

#include <stdlib.h>

void timers_init(struct timers *timers)
{
	*timers = (struct timers){ 0 };
}

void timers_exit(struct timers *timers)
{
	free(timers->heap);
}

static void place(struct timers *timers, size_t slot, struct env_timer *timer)
{
	timers->heap[slot] = timer;
	timer->slot = slot;
}

static void sift_up(struct timers *timers, size_t slot)
{
	struct env_timer *timer = timers->heap[slot];

	while (slot > 0) {
		size_t parent = (slot - 1) / 2;

		if (timers->heap[parent]->deadline_ns <= timer->deadline_ns)
			break;
		place(timers, slot, timers->heap[parent]);
		slot = parent;
	}
	place(timers, slot, timer);
}

static void sift_down(struct timers *timers, size_t slot)
{
	struct env_timer *timer = timers->heap[slot];

	for (;;) {
		size_t child = 2 * slot + 1;

		if (child >= timers->count)
			break;
		if (child + 1 < timers->count && timers->heap[child + 1]->deadline_ns <
		    timers->heap[child]->deadline_ns)
			child++;
		if (timers->heap[child]->deadline_ns >= timer->deadline_ns)
			break;
		place(timers, slot, timers->heap[child]);
		slot = child;
	}
	place(timers, slot, timer);
}

static void grow(struct timers *timers)
{
	size_t capacity = timers->capacity ? timers->capacity * 2 : 256;
	struct env_timer **heap = realloc(timers->heap, capacity * sizeof(*heap));

	/* A timer that never fires would hang its owner without a word. */
	if (!heap)
		abort();
	timers->heap = heap;
	timers->capacity = capacity;
}

void timers_set(struct timers *timers, struct env_timer *timer, uint64_t deadline_ns)
{
	timers_clear(timers, timer);
	if (timers->count == timers->capacity)
		grow(timers);
	timer->deadline_ns = deadline_ns;
	timer->armed = true;
	place(timers, timers->count++, timer);
	sift_up(timers, timer->slot);
}

void timers_clear(struct timers *timers, struct env_timer *timer)
{
	struct env_timer *last;
	size_t slot = timer->slot;

	if (!timer->armed)
		return;
	timer->armed = false;
	last = timers->heap[--timers->count];
	if (last == timer)
		return;
	place(timers, slot, last);
	sift_up(timers, slot);
	sift_down(timers, last->slot);
}

uint64_t timers_next_ns(const struct timers *timers)
{
	return timers->count ? timers->heap[0]->deadline_ns : UINT64_MAX;
}

void timers_fire(struct timers *timers, uint64_t now_ns)
{
	size_t budget = timers->count;

	while (budget-- && timers->count && timers->heap[0]->deadline_ns <= now_ns) {
		struct env_timer *timer = timers->heap[0];

		timers_clear(timers, timer);
		timer->fire(timer);
	}
}
