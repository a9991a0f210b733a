// SPDX-License-Identifier: GPL-2.0
/*
 * Drawing the odds of a round from the seed.
 */
#include "scenario.h"

#include <string.h>

const char *const scenario_names[SCENARIO_NR] = {
	[SCENARIO_DEFAULT] = "default",
	[SCENARIO_CRASH] = "crash",
	[SCENARIO_PARTITION] = "partition",
	[SCENARIO_DISK] = "disk",
	[SCENARIO_ADMIN] = "admin",
};

const char *const fault_names[FAULT_NR] = {
	[FAULT_CRASH] = "crash",
	[FAULT_KILL] = "kill",
	[FAULT_PAUSE] = "pause",
	[FAULT_CUT] = "cut",
	[FAULT_RESET] = "reset",
	[FAULT_SLOW_NET] = "slow-net",
	[FAULT_CORRUPT] = "corrupt",
	[FAULT_SLOW_DISK] = "slow-disk",
	[FAULT_IO_ERROR] = "io-error",
	[FAULT_BREAK] = "break",
	[FAULT_ROT] = "rot",
	[FAULT_MISDIRECT] = "misdirect",
	[FAULT_CLOCK] = "clock",
	[FAULT_ADMIN] = "admin",
	[FAULT_FORCE] = "force",
	[FAULT_MEMORY] = "memory",
};

#define BIT(fault) (1u << (fault))

/* What a storm is made of, and how much more often it comes. */
static const struct {
	uint32_t always;
	unsigned int factor;
} storms[SCENARIO_NR] = {
	[SCENARIO_DEFAULT] = { 0, 1 },
	[SCENARIO_CRASH] = { BIT(FAULT_CRASH) | BIT(FAULT_KILL), 5 },
	[SCENARIO_PARTITION] = { BIT(FAULT_CUT) | BIT(FAULT_RESET), 5 },
	[SCENARIO_DISK] = { BIT(FAULT_SLOW_DISK) | BIT(FAULT_IO_ERROR) | BIT(FAULT_ROT) |
			    BIT(FAULT_MISDIRECT), 5 },
	[SCENARIO_ADMIN] = { BIT(FAULT_ADMIN) | BIT(FAULT_FORCE), 6 },
};

/* In percent of the rounds; media that lie are rare, they excuse much. */
static const unsigned int odds[FAULT_NR] = {
	[FAULT_CRASH] = 60, [FAULT_KILL] = 50, [FAULT_PAUSE] = 30, [FAULT_CUT] = 45,
	[FAULT_RESET] = 30, [FAULT_SLOW_NET] = 30, [FAULT_CORRUPT] = 15, [FAULT_SLOW_DISK] = 30,
	[FAULT_IO_ERROR] = 10, [FAULT_BREAK] = 5, [FAULT_ROT] = 6, [FAULT_MISDIRECT] = 5,
	[FAULT_CLOCK] = 20, [FAULT_ADMIN] = 45, [FAULT_FORCE] = 40, [FAULT_MEMORY] = 10,
};

static void draw_faults(struct world *world, const struct run_options *options,
			struct swarm *swarm)
{
	for (unsigned int i = 0; i < FAULT_NR; i++) {
		bool storm = storms[options->scenario].always & BIT(i);

		swarm->weight[i] = 1 + world_below(world, 8);
		if (storm)
			swarm->weight[i] *= storms[options->scenario].factor;
		if (world_below(world, 100) < odds[i] || storm)
			swarm->on |= BIT(i);
	}
	swarm->on &= ~options->without;
}

void scenario_draw_settings(struct world *world, struct machine_layout *layout)
{
	static const enum reprise_durability modes[] = {
		REPRISE_DURABILITY_WRITE, REPRISE_DURABILITY_WRITE, REPRISE_DURABILITY_WRITE,
		REPRISE_DURABILITY_FLUSH, REPRISE_DURABILITY_FLUSH, REPRISE_DURABILITY_MEMORY,
		REPRISE_DURABILITY_ASYNC,
	};

	layout->timeout_ms = 300 + world_below(world, 2000);
	layout->durability = modes[world_below(world, 7)];
	layout->on_peer_loss = world_below(world, 3) ? REPRISE_ON_PEER_LOSS_ALONE :
						       REPRISE_ON_PEER_LOSS_FREEZE;
}

static void draw_layout(struct world *world, struct machine_layout *layout)
{
	/* The smallest hold fourteen requests of one block, and the rest of a frame. */
	static const uint64_t segments[] = { 64 << 10, 128 << 10, 256 << 10 };
	unsigned int big = world_below(world, 4) == 0;

	*layout = (struct machine_layout){
		.nr_nodes = 2,
		.nr_volumes = 1 + world_below(world, 2),
		.nr_segments = 4 + world_below(world, 5),
		.block_bytes = big ? 4096 : 512,
		.sectors = 64 << world_below(world, 4),
		.segment_bytes = segments[big + world_below(world, 3 - big)],
		.queue_kib = 1024,
	};
	scenario_draw_settings(world, layout);
	layout->unapplied_bytes = layout->segment_bytes * (1 + world_below(world, 3));
}

/* Fourteen of the largest requests must fit into a segment, as they do in real ones. */
static void draw_mix(struct world *world, const struct machine_layout *layout,
		     struct load_mix *mix)
{
	uint64_t payload = (layout->segment_bytes - 8704) / REPRISE_FRAME_MAX_OPS;
	unsigned int most = payload / layout->block_bytes;

	if (most * layout->block_bytes > 16 * 512)
		most = 16 * 512 / layout->block_bytes;
	*mix = (struct load_mix){
		.depth = 1 + world_below(world, 16),
		.gap_us = 2000 << world_below(world, 6),
		.bursts = world_below(world, 2) * world_below(world, 30),
		.reads = world_below(world, 400),
		.flushes = world_below(world, 200),
		.fua = world_below(world, 2) * world_below(world, 300),
		.zeroes = world_below(world, 2) * world_below(world, 150),
		.max_blocks = 1 + world_below(world, most),
		.hot_blocks = 1 + world_below(world, 32),
	};
}

static void draw_link(struct world *world, uint32_t on, struct net_link *link)
{
	*link = (struct net_link){
		.delay_us = 20 + world_below(world, 500),
		.jitter_us = world_below(world, 300),
	};
	if (on & BIT(FAULT_SLOW_NET)) {
		link->slow_ppm = world_below(world, 30000);
		link->slow_ms = world_below(world, 600);
	}
	if (on & BIT(FAULT_RESET))
		link->reset_ppm = world_below(world, 3000);
	if (on & BIT(FAULT_CORRUPT))
		link->corrupt_ppm = world_below(world, 2000);
}

void scenario_draw(struct world *world, const struct run_options *options, struct swarm *swarm)
{
	memset(swarm, 0, sizeof(*swarm));
	draw_faults(world, options, swarm);
	swarm->chaos_ms = 500 + world_below(world, 5000);
	swarm->chaos_gap_ms = 50 << world_below(world, 6);
	if (options->scenario != SCENARIO_DEFAULT)
		swarm->chaos_gap_ms /= 2;
	draw_layout(world, &swarm->layout);
	draw_mix(world, &swarm->layout, &swarm->mix);
	draw_link(world, swarm->on, &swarm->link);
}

unsigned int scenario_rounds(struct world *world, const struct run_options *options)
{
	unsigned int rounds = 1 + world_below(world, 2);

	return options->rounds ? options->rounds : rounds;
}
