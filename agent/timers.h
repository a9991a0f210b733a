/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Timers in the order of their deadlines: a binary heap of the owners'
 * struct env_timer.  Pure, apart from growing.
 */
#ifndef REPRISE_TIMERS_H
#define REPRISE_TIMERS_H

#include "env.h"

struct timers {
	struct env_timer **heap;
	size_t count;
	size_t capacity;
};

void timers_init(struct timers *timers);
void timers_exit(struct timers *timers);
/* Armed already: moved.  Dies without memory. */
void timers_set(struct timers *timers, struct env_timer *timer, uint64_t deadline_ns);
void timers_clear(struct timers *timers, struct env_timer *timer);
/* UINT64_MAX: none. */
uint64_t timers_next_ns(const struct timers *timers);
/* Call what is due at @now_ns; what is set meanwhile waits for the next call. */
void timers_fire(struct timers *timers, uint64_t now_ns);

#endif /* REPRISE_TIMERS_H */
