/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Time, chance and the record of a run.  The one idea: everything that
 * happens is an event in one queue, ordered by simulated time and then by the
 * order in which it was asked for; all chance comes from one generator.  So a
 * seed is a run.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

#define SIM_US		1000ull
#define SIM_MS		1000000ull
#define SIM_S		1000000000ull

/* Embedded in its owner; @fire is called once, at @at or, if that has passed, soon. */
struct event {
	void (*fire)(struct event *event);
	uint64_t at, order;
	size_t slot;			/* in the queue, + 1; 0: not set */
};

#define sim_container(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

struct world *world_create(uint64_t seed, bool print_trace);
void world_destroy(struct world *world);

uint64_t world_now(const struct world *world);
void event_set(struct world *world, struct event *event, uint64_t at);
void event_after(struct world *world, struct event *event, uint64_t delay_ns);
void event_clear(struct world *world, struct event *event);
static inline bool event_is_set(const struct event *event)
{
	return event->slot;
}

/* Let the next event happen.  False: it lies behind @limit, where time stands now. */
bool world_step(struct world *world, uint64_t limit);
uint64_t world_events(const struct world *world);

uint64_t world_random(struct world *world);
/* 0 .. @below - 1 */
uint64_t world_below(struct world *world, uint64_t below);
/* True in @ppm of a million cases; draws nothing if that is 0. */
bool world_chance(struct world *world, uint32_t ppm);

/* One line of the record: kept, printed if wanted, and part of the digest. */
void world_trace(struct world *world, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t world_digest(const struct world *world);
/* Prints the last lines of the record. */
void world_print_tail(const struct world *world);

/* An oracle's verdict: the run is over. */
void world_fail(struct world *world, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));
/* What is to be printed before the process ends; see main.c. */
extern void (*world_report)(struct world *world, const char *verdict);

#endif /* SIM_WORLD_H */
