// SPDX-License-Identifier: GPL-2.0
/*
 * The queue of events (a binary heap), the clock, the generator, the record.
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "tests/load.h"

enum {
	TAIL_LINES = 64,
	LINE_BYTES = 256,
};

struct world {
	uint64_t random, now, order, events, digest, lines;
	struct event **queue;
	size_t count, room;
	bool print;
	char tail[TAIL_LINES][LINE_BYTES];
};

void (*world_report)(struct world *world, const char *verdict);

struct world *world_create(uint64_t seed, bool print_trace)
{
	struct world *world = sim_alloc(sizeof(*world));

	world->random = seed;
	world->digest = 0xcbf29ce484222325ull;
	world->now = SIM_S;
	world->print = print_trace;
	world->room = 1024;
	world->queue = sim_alloc(world->room * sizeof(*world->queue));
	return world;
}

void world_destroy(struct world *world)
{
	sim_free(world->queue);
	sim_free(world);
}

uint64_t world_now(const struct world *world)
{
	return world->now;
}

uint64_t world_events(const struct world *world)
{
	return world->events;
}

/* --- the queue ----------------------------------------------------------- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void place(struct world *world, size_t slot, struct event *event)
{
	world->queue[slot] = event;
	event->slot = slot + 1;
}

static void sift_up(struct world *world, size_t slot)
{
	struct event *event = world->queue[slot];

	while (slot && before(event, world->queue[(slot - 1) / 2])) {
		place(world, slot, world->queue[(slot - 1) / 2]);
		slot = (slot - 1) / 2;
	}
	place(world, slot, event);
}

static void sift_down(struct world *world, size_t slot)
{
	struct event *event = world->queue[slot];
	size_t child;

	while ((child = 2 * slot + 1) < world->count) {
		if (child + 1 < world->count &&
		    before(world->queue[child + 1], world->queue[child]))
			child++;
		if (!before(world->queue[child], event))
			break;
		place(world, slot, world->queue[child]);
		slot = child;
	}
	place(world, slot, event);
}

static void grow(struct world *world)
{
	struct event **queue = sim_alloc(2 * world->room * sizeof(*queue));

	memcpy(queue, world->queue, world->count * sizeof(*queue));
	sim_free(world->queue);
	world->queue = queue;
	world->room *= 2;
}

void event_set(struct world *world, struct event *event, uint64_t at)
{
	event_clear(world, event);
	if (world->count == world->room)
		grow(world);
	event->at = at < world->now ? world->now : at;
	event->order = world->order++;
	place(world, world->count++, event);
	sift_up(world, event->slot - 1);
}

void event_after(struct world *world, struct event *event, uint64_t delay_ns)
{
	event_set(world, event, world->now + delay_ns);
}

void event_clear(struct world *world, struct event *event)
{
	size_t slot = event->slot;
	struct event *last;

	if (!slot)
		return;
	event->slot = 0;
	last = world->queue[--world->count];
	if (last == event)
		return;
	place(world, slot - 1, last);
	sift_up(world, slot - 1);
	sift_down(world, last->slot - 1);
}

bool world_step(struct world *world, uint64_t limit)
{
	struct event *event = world->count ? world->queue[0] : NULL;

	if (!event || event->at > limit) {
		if (limit > world->now)
			world->now = limit;
		return false;
	}
	if (event->at > world->now)
		world->now = event->at;
	world->events++;
	event_clear(world, event);
	event->fire(event);
	return true;
}

/* --- chance -------------------------------------------------------------- */

uint64_t world_random(struct world *world)
{
	return load_random(&world->random);
}

uint64_t world_below(struct world *world, uint64_t below)
{
	return world_random(world) % below;
}

bool world_chance(struct world *world, uint32_t ppm)
{
	return ppm && world_below(world, 1000000) < ppm;
}

/* --- the record ---------------------------------------------------------- */

/* FNV-1a, eight bytes a step where there are so many. */
static uint64_t mix(uint64_t digest, const char *text, size_t bytes)
{
	uint64_t word;

	for (; bytes >= 8; bytes -= 8, text += 8) {
		memcpy(&word, text, 8);
		digest = (digest ^ word) * 0x100000001b3ull;
		digest ^= digest >> 29;
	}
	for (; bytes; bytes--)
		digest = (digest ^ (uint8_t)*text++) * 0x100000001b3ull;
	return digest;
}

void world_trace(struct world *world, const char *fmt, ...)
{
	char *line = world->tail[world->lines++ % TAIL_LINES];
	va_list args;
	int used;

	used = snprintf(line, LINE_BYTES, "%4llu.%06llu ",
			(unsigned long long)(world->now / SIM_S),
			(unsigned long long)(world->now % SIM_S / SIM_US));
	va_start(args, fmt);
	vsnprintf(line + used, LINE_BYTES - used, fmt, args);
	va_end(args);
	world->digest = mix(world->digest, line, strlen(line));
	if (world->print)
		printf("# %s\n", line);
}

uint64_t world_digest(const struct world *world)
{
	return world->digest ^ world->random ^ world->events;
}

void world_print_tail(const struct world *world)
{
	uint64_t first = world->lines > TAIL_LINES ? world->lines - TAIL_LINES : 0;

	for (uint64_t i = first; i < world->lines; i++)
		printf("# %s\n", world->tail[i % TAIL_LINES]);
}

void world_fail(struct world *world, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	world_report(world, text);
	exit(1);
}
