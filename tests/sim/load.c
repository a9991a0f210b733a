// SPDX-License-Identifier: GPL-2.0
/*
 * The load.  A request tells the model when it begins and when it ends; what
 * a read returned is judged there.
 */
#include "load.h"

#include <string.h>
#include <sys/queue.h>

#include "heap.h"

struct request {
	LIST_ENTRY(request) link;
	struct bio bio;
	struct load *load;
	struct model_timeline *timeline;
	union {
		struct model_flush flush;
		struct model_read read;
	};
	uint8_t data[];
};

struct load {
	struct world *world;
	struct model *model;
	struct machine *machine;
	struct machine_layout layout;
	struct load_mix mix;
	bool running;
	unsigned int busy, burst;
	struct event next;
	LIST_HEAD(, request) requests;
};

static void request_free(struct request *request)
{
	LIST_REMOVE(request, link);
	request->load->busy--;
	sim_free(request);
}

static void close_if_idle(struct load *load)
{
	struct module *module = machine_module(load->machine);

	if (!load->running && !load->busy && module)
		module_set_open(module, false);
}

static void done(struct bio *bio, int error)
{
	struct request *request = sim_container(bio, struct request, bio);
	struct load *load = request->load;

	switch (bio->op) {
	case BIO_READ:
		model_read_done(load->model, &request->read, bio, error);
		break;
	case BIO_FLUSH:
		model_flush_done(load->model, &request->flush, bio, error);
		break;
	default:
		model_write_done(load->model, request->timeline, bio, error);
	}
	request_free(request);
	close_if_idle(load);
}

/* --- making requests ----------------------------------------------------- */

static enum bio_op choose_op(struct load *load)
{
	const struct load_mix *mix = &load->mix;
	unsigned int dice = world_below(load->world, 1000);

	if (dice < mix->reads)
		return BIO_READ;
	if (dice < mix->reads + mix->flushes)
		return BIO_FLUSH;
	return dice < mix->reads + mix->flushes + mix->zeroes ? BIO_ZEROES : BIO_WRITE;
}

static void choose_place(struct load *load, struct bio *bio)
{
	uint32_t block_sectors = load->layout.block_bytes / 512;
	uint64_t blocks = load->layout.sectors / block_sectors, span = blocks;
	uint64_t nr = 1 + world_below(load->world, load->mix.max_blocks);

	if (load->mix.hot_blocks < blocks && world_below(load->world, 4))
		span = load->mix.hot_blocks;
	if (nr > span)
		nr = span;
	bio->volume = world_below(load->world, load->layout.nr_volumes);
	bio->sector = world_below(load->world, span - nr + 1) * block_sectors;
	bio->sectors = nr * block_sectors;
}

static struct request *make(struct load *load)
{
	size_t bytes = load->mix.max_blocks * load->layout.block_bytes;
	struct request *request = sim_alloc(sizeof(*request) + bytes);
	struct bio *bio = &request->bio;

	request->load = load;
	LIST_INSERT_HEAD(&load->requests, request, link);
	load->busy++;
	bio->op = choose_op(load);
	bio->done = done;
	bio->data = request->data;
	choose_place(load, bio);
	if (bio->op == BIO_WRITE) {
		bio->version = model_new_version(load->model);
		bio->fua = world_below(load->world, 1000) < load->mix.fua;
		for (uint32_t s = 0; s < bio->sectors; s++)
			model_fill(bio->version, bio->volume, bio->sector + s,
				   bio->data + s * 512);
	} else if (bio->op == BIO_ZEROES) {
		bio->unmap = world_below(load->world, 2);
	}
	return request;
}

static void submit(struct load *load)
{
	struct module *module = machine_module(load->machine);
	unsigned int node = machine_number(load->machine);
	struct request *request = make(load);

	request->timeline = model_running(load->model, node);
	if (request->bio.op == BIO_READ)
		model_read_begin(load->model, node, &request->bio, &request->read);
	else if (request->bio.op == BIO_FLUSH)
		model_flush_begin(load->model, node, &request->flush);
	if (!module_submit(module, &request->bio))
		request_free(request);
}

enum { BURST_REQUESTS = 150, BURST_GAP_US = 30 };

/* Most of the time there is little to do, and then everything at once. */
static uint64_t gap_us(struct load *load)
{
	if (!load->burst && world_below(load->world, 1000) < load->mix.bursts)
		load->burst = world_below(load->world, BURST_REQUESTS);
	if (!load->burst)
		return 1 + world_below(load->world, 2 * load->mix.gap_us);
	load->burst--;
	return 1 + world_below(load->world, BURST_GAP_US);
}

static void next_fired(struct event *event)
{
	struct load *load = sim_container(event, struct load, next);
	struct module *module = machine_module(load->machine);

	if (!load->running)
		return;
	if (module && module_running(module)) {
		module_set_open(module, true);
		if (load->busy < load->mix.depth)
			submit(load);
	}
	event_after(load->world, event, gap_us(load) * SIM_US);
}

/* --- life ---------------------------------------------------------------- */

struct load *load_create(struct world *world, struct model *model, struct machine *machine,
			 const struct machine_layout *layout, const struct load_mix *mix)
{
	struct load *load = sim_alloc(sizeof(*load));

	load->world = world;
	load->model = model;
	load->machine = machine;
	load->layout = *layout;
	load->mix = *mix;
	load->next.fire = next_fired;
	return load;
}

void load_start(struct load *load)
{
	if (load->running)
		return;
	load->running = true;
	event_after(load->world, &load->next, 0);
}

void load_stop(struct load *load)
{
	load->running = false;
	event_clear(load->world, &load->next);
	close_if_idle(load);
}

bool load_is_idle(const struct load *load)
{
	return !load->busy;
}

void load_forget(struct load *load)
{
	load->running = false;
	event_clear(load->world, &load->next);
	while (!LIST_EMPTY(&load->requests))
		request_free(LIST_FIRST(&load->requests));
}

void load_destroy(struct load *load)
{
	load_forget(load);
	sim_free(load);
}
