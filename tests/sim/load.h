/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The application: reads, overlapping writes, flushes, FUA and zeroes on the
 * device of whichever machine it is told to run on.
 */
#ifndef SIM_LOAD_H
#define SIM_LOAD_H

#include "machine.h"

/* In thousandths of the requests; the rest are plain writes. */
struct load_mix {
	unsigned int depth;		/* requests at once, at most */
	uint32_t gap_us;		/* between requests, on average */
	unsigned int bursts;		/* of the requests, begin one */
	unsigned int reads, flushes, fua, zeroes;
	unsigned int max_blocks;	/* of a request */
	uint64_t hot_blocks;		/* most requests go there */
};

struct load;

struct load *load_create(struct world *world, struct model *model, struct machine *machine,
			 const struct machine_layout *layout, const struct load_mix *mix);
void load_destroy(struct load *load);
/* Open the devices and begin; nothing to do: no error. */
void load_start(struct load *load);
/* No new requests; the devices are closed when the last has come back. */
void load_stop(struct load *load);
bool load_is_idle(const struct load *load);
/* The machine has crashed: nothing comes back. */
void load_forget(struct load *load);

#endif /* SIM_LOAD_H */
