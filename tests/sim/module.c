// SPDX-License-Identifier: GPL-2.0
/*
 * The module's resource, as in kmod/resource.c, and the commands of
 * kmod/netlink.c behind agent/kernel.h.
 *
 * One difference: a stop does not wait.  It flushes, looks once whether all
 * is quiet, and answers; the agent asks again, as it does when the kernel's
 * wait is over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "model.h"
#include "module_impl.h"
#include "wrap.h"


uint32_t module_no_memory_ppm;
static struct world *memory_world;

void *sim_kzalloc(size_t bytes)
{
	return world_chance(memory_world, module_no_memory_ppm) ? NULL : sim_alloc(bytes);
}

struct module_peer *module_peer(struct module *module, uint16_t node)
{
	for (unsigned int i = 0; i < REPRISE_MAX_NODES; i++)
		if (module->peers[i].node == node)
			return &module->peers[i];
	return NULL;
}

void module_event(struct module *module, enum reprise_event event, unsigned int node,
		  const char *reason, int volume)
{
	struct nl_event ev = { .event = event, .peer = node, .volume = volume < 0 ? 0 : volume };

	snprintf(ev.resource, sizeof(ev.resource), "%s", module->name);
	snprintf(ev.reason, sizeof(ev.reason), "%s", reason ? reason : "");
	module->host.event(module->host.ctx, &ev);
}

void module_io_error(struct module *module, struct module_volume *volume, bool is_write)
{
	volume->io_errors++;
	volume->write_errors += is_write;
	module_event(module, REPRISE_EVENT_IO_ERROR, 0, NULL, volume->number);
}

/* --- actions ------------------------------------------------------------- */

void module_act(struct module *module, struct reprise_actions *act)
{
	struct reprise_flush *flush, *next_flush;
	struct reprise_op *op, *next;

	list_for_each_entry_safe(op, next, &act->submit, submit_link) {
		list_del(&op->submit_link);
		request_submit_local(request_of(op));
	}
	list_for_each_entry_safe(op, next, &act->complete, complete_link)
		request_complete(request_of(op));
	list_for_each_entry_safe(flush, next_flush, &act->flushes, link)
		request_complete(sim_container(flush, struct request, flush));
	list_for_each_entry_safe(op, next, &act->retire, link)
		request_retire(request_of(op));
	if (act->wake)
		session_wake_all(module);
}

/* --- the primary's own flushes ------------------------------------------- */

static int flush_volumes(struct module *module)
{
	struct reprise_actions act;
	uint64_t seq, order;
	int err;

	for (unsigned int i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		if (!module->volumes[i].used)
			continue;
		seq = module->stream.local_seq;
		order = model_disk_flush(module->host.model);
		err = disk_flush_now(module->volumes[i].file->disk);
		model_disk_flushed(module->host.model, module->host.number, i, order, err);
		if (err) {
			module_io_error(module, &module->volumes[i], true);
			reprise_stream_volume_flush_failed(&module->stream, i, err);
			return err;
		}
		reprise_actions_init(&act);
		reprise_stream_volume_flushed(&module->stream, i, seq, &act);
		module_act(module, &act);
	}
	return 0;
}

static void queue_own_flush(struct module *module)
{
	uint64_t ms = reprise_stream_flush_interval_ms(module->timeout_ms);

	event_after(module->host.world, &module->flush_work, ms * SIM_MS);
}

static void own_flush(struct event *event)
{
	struct module *module = sim_container(event, struct module, flush_work);

	if (module->stream.flushed < module->stream.local_seq)
		flush_volumes(module);
	queue_own_flush(module);
}

/* --- waiting bios -------------------------------------------------------- */

static struct bio *take_all(struct bio **first, struct bio ***end)
{
	struct bio *bios = *first;

	*first = NULL;
	*end = first;
	return bios;
}

static void submit_all(struct module *module, struct bio *bio)
{
	while (bio) {
		struct bio *next = bio->next;

		request_bio(module, bio);
		bio = next;
	}
}

static void unpark(struct event *event)
{
	struct module *module = sim_container(event, struct module, unpark_work);

	if (!module->frozen || module->dead)
		submit_all(module, take_all(&module->parked, &module->parked_end));
}

static void room(struct event *event)
{
	struct module *module = sim_container(event, struct module, room_work);

	submit_all(module, take_all(&module->waiting, &module->waiting_end));
}

static void resume(struct module *module)
{
	struct reprise_actions act;

	reprise_actions_init(&act);
	module->frozen = false;
	model_alone(module->host.model, module->host.number);
	reprise_stream_alone(&module->stream, &act);
	module_act(module, &act);
	event_after(module->host.world, &module->unpark_work, 0);
}

/* --- life ---------------------------------------------------------------- */

struct module *module_create(const struct module_host *host)
{
	struct module *module = sim_alloc(sizeof(*module));

	memory_world = host->world;
	module->host = *host;
	module->frames_end = &module->frames;
	module->parked_end = &module->parked;
	module->waiting_end = &module->waiting;
	INIT_LIST_HEAD(&module->requests);
	module->flush_work.fire = own_flush;
	module->unpark_work.fire = unpark;
	module->room_work.fire = room;
	return module;
}

static void clear_events(struct module *module)
{
	event_clear(module->host.world, &module->flush_work);
	event_clear(module->host.world, &module->unpark_work);
	event_clear(module->host.world, &module->room_work);
}

static void release_volumes(struct module *module)
{
	for (unsigned int i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		if (module->volumes[i].used)
			disk_put(module->volumes[i].file);
		module->volumes[i].used = false;
	}
}

void module_destroy(struct module *module)
{
	struct request *request, *next;

	clear_events(module);
	session_forget_all(module);
	list_for_each_entry_safe(request, next, &module->requests, all) {
		if (request->io)
			disk_orphan(request->io);
		sim_free(request->data);
		sim_free(request);
	}
	if (module->running) {
		reprise_stream_exit(&module->stream);
		release_volumes(module);
	}
	sim_free(module);
}

bool module_running(const struct module *module)
{
	return module->running;
}

bool module_submit(struct module *module, struct bio *bio)
{
	if (!module->running || !module->volumes[bio->volume].used)
		return false;
	request_bio(module, bio);
	return true;
}

void module_set_open(struct module *module, bool open)
{
	module->open = open;
}

/* --- start --------------------------------------------------------------- */

static int fail(struct module *module, int error, const char *text)
{
	snprintf(module->error, sizeof(module->error), "%s", text);
	return error;
}

static void start_volume(struct module *module, const struct nl_volume *from,
			 struct process *process)
{
	struct module_volume *volume = &module->volumes[from->number];

	*volume = (struct module_volume){
		.used = true, .number = from->number, .minor = from->minor,
		.sectors = from->sectors, .block_bytes = from->logical_block_bytes,
		.file = process_fd_file(process, from->backing_fd),
	};
	disk_get(volume->file);
}

static void start_stream(struct module *module, const struct nl_resource *res)
{
	struct reprise_origin origin = { .generation = res->generation, .node = res->node };
	uint16_t volumes = 0;

	memcpy(origin.resource_id, res->id, REPRISE_ID_BYTES);
	memcpy(origin.timeline_id, res->timeline_id, REPRISE_ID_BYTES);
	for (unsigned int i = 0; i < res->nr_volumes; i++)
		volumes |= 1 << res->volumes[i].number;
	reprise_stream_init(&module->stream, &origin, res->durability, res->on_peer_loss, res->seq,
			    volumes);
	memset(module->peers, 0, sizeof(module->peers));
	for (unsigned int i = 0; i < res->nr_peers; i++) {
		reprise_stream_add_peer(&module->stream, res->peers[i].node);
		module->peers[i].node = res->peers[i].node;
		snprintf(module->peers[i].name, sizeof(module->peers[i].name), "%s",
			 res->peers[i].name);
	}
}

static int m_start(void *ctx, const struct nl_resource *res)
{
	struct module *module = ctx;
	struct process *process = module->host.caller(module->host.ctx);
	struct heap *former = heap_switch(NULL);
	int err = 0;

	if (module->running)
		err = fail(module, -EEXIST, "a resource of this name is already primary here");
	for (unsigned int i = 0; !err && i < res->nr_volumes; i++)
		if (!process_fd_file(process, res->volumes[i].backing_fd))
			err = fail(module, -EBADF, "the backing device is not open");
	if (!err) {
		snprintf(module->name, sizeof(module->name), "%s", res->name);
		module->timeout_ms = res->timeout_ms;
		module->queue_bytes = (uint64_t)res->queue_kib << 10;
		module->queued = 0;
		module->dead = false;
		module->frozen = res->frozen;
		start_stream(module, res);
		for (unsigned int i = 0; i < res->nr_volumes; i++)
			start_volume(module, &res->volumes[i], process);
		module->running = true;
		model_started(module->host.model, module->host.number, res);
		queue_own_flush(module);
		module_event(module, REPRISE_EVENT_STARTED, 0, NULL, -1);
	}
	heap_switch(former);
	return err;
}

/* --- stop ---------------------------------------------------------------- */

static bool quiet(struct module *module)
{
	const struct reprise_stream *s = &module->stream;

	return list_empty(&s->ops) && list_empty(&s->flushes) && !module->parked &&
	       s->commit == reprise_stream_last_seq(s) &&
	       (!module->sessions || !reprise_stream_news(s)) && !module->frames;
}

/* Only the local disk can still owe an answer. */
static void drain(struct module *module)
{
	for (unsigned int i = 0; i < REPRISE_MAX_VOLUMES; i++)
		if (module->volumes[i].used)
			disk_drain(module->volumes[i].file);
}

static bool flying(const struct module *module)
{
	for (unsigned int i = 0; i < REPRISE_MAX_VOLUMES; i++)
		if (module->volumes[i].used && !disk_is_idle(module->volumes[i].file->disk))
			return true;
	return false;
}

static void make_dead(struct module *module)
{
	module->dead = true;
	resume(module);
	unpark(&module->unpark_work);
	room(&module->room_work);
	/* What one completes may submit another that was parked behind it. */
	do
		drain(module);
	while (flying(module));
}

static void hand_back(struct module *module, struct process *process, struct nl_resource *res)
{
	res->nr_volumes = 0;
	for (unsigned int i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		struct module_volume *volume = &module->volumes[i];
		struct nl_volume *to = &res->volumes[res->nr_volumes];

		if (!volume->used)
			continue;
		*to = (struct nl_volume){ .number = i, .minor = volume->minor,
					  .write_errors = volume->write_errors };
		disk_get(volume->file);
		to->backing_fd = process_give_file(process, volume->file);
		res->nr_volumes++;
	}
}

static void detach_all(struct module *module, const char *reason, bool orderly)
{
	for (unsigned int i = 0; i < REPRISE_MAX_NODES; i++)
		if (module->peers[i].node)
			session_detach(module, module->peers[i].node, reason, orderly);
}

static int stop(struct module *module, bool force, struct nl_resource *res, uint64_t *seq)
{
	int err;

	if (!module->running)
		return fail(module, -ENOENT, "no such resource");
	if (module->open && !force)
		return fail(module, -EBUSY, "the device is open (mounted, or used by a process)");
	err = force ? 0 : flush_volumes(module);
	if (err)
		return fail(module, err, "the backing device failed a flush");
	if (!force && !quiet(module))
		return fail(module, -ETIMEDOUT, "a peer does not hold everything yet");
	if (force)
		make_dead(module);
	detach_all(module, force ? "stopped by force" : "demoted", !force);
	make_dead(module);
	*seq = reprise_stream_last_seq(&module->stream);
	model_stopped(module->host.model, module->host.number, *seq, force);
	clear_events(module);
	hand_back(module, module->host.caller(module->host.ctx), res);
	release_volumes(module);
	reprise_stream_exit(&module->stream);
	module->running = false;
	module_event(module, REPRISE_EVENT_STOPPED, 0, NULL, -1);
	return 0;
}

static int m_stop(void *ctx, const char *name, uint32_t wait_ms, bool force,
		  struct nl_resource *res, uint64_t *seq)
{
	struct heap *former = heap_switch(NULL);
	int err = stop(ctx, force, res, seq);

	(void)name;
	(void)wait_ms;
	heap_switch(former);
	return err;
}

/* --- the other commands -------------------------------------------------- */

static void fill_peer(const struct module *module, const struct module_peer *peer,
		      struct nl_peer *to)
{
	const struct reprise_stream_peer *p =
		reprise_stream_peer((struct reprise_stream *)&module->stream, peer->node);

	to->node = peer->node;
	snprintf(to->name, sizeof(to->name), "%s", peer->name);
	to->state = p->connected ? REPRISE_PEER_CONNECTED :
		    reprise_dirty_any(&p->dirty) ? REPRISE_PEER_BEHIND : REPRISE_PEER_ABSENT;
	to->sent = p->sent;
	to->received = p->received;
	to->durable = p->durable;
	to->applied = p->applied;
	to->dirty_blocks = p->dirty.blocks;
	to->dirty_all = p->dirty.all;
	to->sent_bytes = peer->sent_bytes;
	to->frames = peer->frames;
	snprintf(to->reason, sizeof(to->reason), "%s", peer->reason);
}

static void fill_volumes(const struct module *module, struct nl_resource *res)
{
	for (unsigned int i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		const struct module_volume *volume = &module->volumes[i];

		if (!volume->used)
			continue;
		res->volumes[res->nr_volumes++] = (struct nl_volume){
			.number = i, .minor = volume->minor, .backing_fd = -1,
			.sectors = volume->sectors, .logical_block_bytes = volume->block_bytes,
			.openers = module->open, .reads = volume->reads, .writes = volume->writes,
			.flushes = volume->flushes, .io_errors = volume->io_errors,
			.write_errors = volume->write_errors,
		};
	}
}

bool module_state(struct module *module, struct nl_resource *res)
{
	const struct reprise_stream *s = &module->stream;

	if (!module->running)
		return false;
	memset(res, 0, sizeof(*res));
	snprintf(res->name, sizeof(res->name), "%s", module->name);
	memcpy(res->id, s->origin.resource_id, REPRISE_ID_BYTES);
	memcpy(res->timeline_id, s->origin.timeline_id, REPRISE_ID_BYTES);
	res->node = s->origin.node;
	res->generation = s->origin.generation;
	res->seq = reprise_stream_last_seq(s);
	res->commit = s->commit;
	res->flushed = s->flushed;
	res->durability = s->durability;
	res->on_peer_loss = s->on_peer_loss;
	res->timeout_ms = module->timeout_ms;
	res->queue_kib = module->queue_bytes >> 10;
	res->queued_bytes = module->queued;
	res->parked = module->parked != NULL;
	res->frozen = module->frozen;
	fill_volumes(module, res);
	for (unsigned int i = 0; i < REPRISE_MAX_NODES; i++)
		if (module->peers[i].node)
			fill_peer(module, &module->peers[i], &res->peers[res->nr_peers++]);
	return true;
}

static int m_get(void *ctx, const char *name, struct nl_resource *res)
{
	struct module *module = ctx;

	if (strcmp(name, module->name) || !module_state(module, res))
		return fail(module, -ENOENT, "no such resource");
	return 0;
}

static int m_list(void *ctx, struct nl_resource **list, size_t *count)
{
	struct module *module = ctx;

	*list = malloc(sizeof(**list));
	*count = module_state(module, *list);
	return 0;
}

static int m_set(void *ctx, const struct nl_resource *res)
{
	struct module *module = ctx;
	struct heap *former = heap_switch(NULL);
	struct reprise_actions act;

	if (module->running) {
		reprise_actions_init(&act);
		reprise_stream_set(&module->stream, res->durability, res->on_peer_loss, &act);
		model_set(module->host.model, module->host.number, res->durability,
			  res->on_peer_loss);
		module_act(module, &act);
		module->timeout_ms = res->timeout_ms;
	}
	heap_switch(former);
	return module->running ? 0 : fail(module, -ENOENT, "no such resource");
}

static const char *attach_words(int err)
{
	switch (err) {
	case -ESTALE:
		return "the peer is on another timeline";
	case -ERANGE:
		return "the peer claims operations that do not exist";
	case -EUCLEAN:
		return "the peer lacks operations that are no longer held: it needs a resync";
	default:
		return "the peer cannot be attached";
	}
}

static int m_attach(void *ctx, const char *name, unsigned int node, int socket_fd,
		    uint64_t session, const uint8_t timeline_id[REPRISE_ID_BYTES],
		    uint64_t position, uint64_t *s0)
{
	struct module *module = ctx;
	struct net_end *end = process_fd_end(module->host.caller(module->host.ctx), socket_fd);
	struct heap *former = heap_switch(NULL);
	int err = -ENOENT;

	(void)name;
	if (module->running && end)
		err = session_attach(module, node, end, session, timeline_id, position, s0);
	if (err)
		fail(module, err, attach_words(err));
	heap_switch(former);
	return err;
}

static int m_detach(void *ctx, const char *name, unsigned int node)
{
	struct module *module = ctx;
	struct heap *former = heap_switch(NULL);

	(void)name;
	if (module->running)
		session_detach(module, node, "detached", false);
	heap_switch(former);
	return module->running ? 0 : -ENOENT;
}

static int m_freeze(void *ctx, const char *name)
{
	struct module *module = ctx;

	(void)name;
	if (!module->running)
		return fail(module, -ENOENT, "no such resource");
	module->frozen = true;
	module_event(module, REPRISE_EVENT_FROZEN, 0, NULL, -1);
	return 0;
}

static int m_resume(void *ctx, const char *name)
{
	struct module *module = ctx;
	struct heap *former = heap_switch(NULL);

	(void)name;
	if (module->running) {
		resume(module);
		module_event(module, REPRISE_EVENT_RESUMED, 0, NULL, -1);
	}
	heap_switch(former);
	return module->running ? 0 : fail(module, -ENOENT, "no such resource");
}

static const char *m_error(void *ctx)
{
	struct module *module = ctx;

	return module->error;
}

static int m_peek(void *ctx, const char *path, struct meta *meta, struct meta_volume *volume,
		  const char **why)
{
	struct module *module = ctx;
	struct disk *disk = module->host.find_disk(module->host.ctx, path);
	static uint8_t copies[2][REPRISE_META_RECORD_BYTES];

	*why = "cannot be opened";
	if (!disk)
		return -ENOENT;
	for (unsigned int i = 0; i < 2; i++)
		disk_peek(disk, meta_copy_offset(disk_bytes(disk), i), copies[i],
			  REPRISE_META_RECORD_BYTES);
	return meta_choose(copies[0], copies[1], meta, volume, why);
}

struct kernel module_kernel(struct module *module)
{
	static const struct kernel_ops ops = {
		.list = m_list,
		.get = m_get,
		.start = m_start,
		.set = m_set,
		.stop = m_stop,
		.attach = m_attach,
		.detach = m_detach,
		.freeze = m_freeze,
		.resume = m_resume,
		.error = m_error,
		.peek = m_peek,
	};

	return (struct kernel){ .ops = &ops, .ctx = module };
}
