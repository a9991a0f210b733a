// SPDX-License-Identifier: GPL-2.0
/*
 * The replica's public operations, and the pump that keeps its parts moving.
 * The one idea: an operation is a list of steps, each of which waits for a
 * condition of the state; operations run one after the other, and every
 * callback comes from a timer, so that its receiver may do what it likes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica_impl.h"

static void notify_fired(struct env_timer *timer);

static bool is_quiet(const struct replica *replica)
{
	return !replica->session.active && !replica->log.writing && !apply_running(replica) &&
	       replica->record.phase == RECORD_IDLE &&
	       (replica->recover.phase == RECOVER_IDLE || replica->recover.phase == RECOVER_DONE);
}

static int init_parts(struct replica *replica)
{
	struct env *env = replica->config.env;

	replica->ring.bytes = replica->config.ring_bytes;
	replica->ring.base = env->ops->ring_alloc(env, replica->ring.bytes);
	if (!replica->ring.base)
		return -ENOMEM;
	if (record_init(replica) || append_init(replica))
		return -ENOMEM;
	return apply_init(replica);
}

static void init_state(struct replica *replica)
{
	const struct replica_config *config = &replica->config;
	unsigned int i;

	replica->notify_timer.fire = notify_fired;
	replica->state.meta = &replica->meta;
	replica->state.log_bytes = config->nr_segments * config->segment_bytes;
	replica->limits.logical_block_bytes = config->logical_block_bytes;
	for (i = 0; i < config->nr_volumes; i++)
		replica->limits.size_sectors[config->volumes[i].number] =
			config->volumes[i].size_sectors;
	memcpy(replica->expect.resource_id, config->resource_id, REPRISE_ID_BYTES);
	replica->expect.limits = &replica->limits;
}

struct replica *replica_create(const struct replica_config *config)
{
	struct replica *replica = calloc(1, sizeof(*replica));

	assert(config->nr_volumes && config->nr_volumes <= REPRISE_MAX_VOLUMES);
	assert(config->nr_segments >= 4);
	assert(config->segment_bytes % LOG_BLOCK_BYTES == 0);
	assert(config->reread_bytes % LOG_BLOCK_BYTES == 0);
	assert(config->ring_bytes && config->ring_bytes % (64 << 10) == 0);
	if (!replica)
		return NULL;
	replica->config = *config;
	memcpy(replica->volumes, config->volumes, config->nr_volumes * sizeof(*config->volumes));
	replica->config.volumes = replica->volumes;
	if (init_parts(replica)) {
		replica_destroy(replica);
		return NULL;
	}
	init_state(replica);
	replica->config.segments = NULL;	/* the caller's; log.segments holds a copy */
	return replica;
}

void replica_abandon(struct replica *replica)
{
	struct env *env = replica->config.env;

	env_timer_clear(env, &replica->notify_timer);
	env_timer_clear(env, &replica->apply.timer);
	env_timer_clear(env, &replica->log.full_timer);
	if (replica->ring.base)
		env->ops->ring_free(env, replica->ring.base, replica->ring.bytes);
	record_exit(replica);
	append_exit(replica);
	apply_exit(replica);
	free(replica);
}

void replica_destroy(struct replica *replica)
{
	assert(!replica->opened || replica->closed || replica->released);
	assert(is_quiet(replica));
	replica_abandon(replica);
}

const struct replica_state *replica_state(const struct replica *replica)
{
	return &replica->state;
}

void replica_fail(struct replica *replica, enum replica_damage damage, const char *fmt, ...)
{
	struct replica_state *state = &replica->state;
	va_list args;

	if (state->damage != REPLICA_OK)
		return;
	state->damage = damage;
	va_start(args, fmt);
	vsnprintf(state->damage_text, sizeof(state->damage_text), fmt, args);
	va_end(args);
	env_log(replica->config.env, 3, replica->config.name, "%s", state->damage_text);
	replica->again = true;
}

void replica_take_meta(struct replica *replica)
{
	struct replica_state *state = &replica->state;
	const struct meta *meta = &replica->meta;
	const struct meta_timeline *current = meta_current(meta);

	memset(state->timeline_id, 0, sizeof(state->timeline_id));
	if (current)
		memcpy(state->timeline_id, current->id, sizeof(state->timeline_id));
	state->generation = current ? current->generation : 0;
	state->received = state->durable = state->applied = meta->applied;
	state->commit = meta->commit > meta->applied ? meta->commit : meta->applied;
	state->flushed = current ? current->fork_seq : 0;
	memcpy(replica->expect.timeline_id, state->timeline_id, REPRISE_ID_BYTES);
	replica->expect.generation = state->generation;
	replica->apply.cursor = (struct log_cursor){ 0 };
	replica->log.commit = replica->log.last_commit = 0;
	replica->log.unapplied_bytes = 0;
	replica->log.tail = NULL;
}

bool replica_busy(const struct replica *replica)
{
	unsigned int i;

	for (i = 0; i < replica->nr_calls; i++)
		if (replica->calls[i].kind != CALL_POLICY)
			return true;
	return false;
}

bool replica_hurries(const struct replica *replica)
{
	if (!replica->nr_calls)
		return false;
	return replica->calls[0].kind == CALL_OPEN || replica->calls[0].kind == CALL_SETTLE ||
	       replica->calls[0].kind == CALL_CLOSE;
}

/* The first call is over; its owner hears of it from the timer. */
static void finish(struct replica *replica, int error)
{
	assert(!replica->call_over);
	replica->call_over = true;
	replica->call_error = error;
	replica_notify(replica);
}

static int failure(const struct replica *replica)
{
	return replica->state.damage == REPLICA_META_INVALID ? -EINVAL : -EIO;
}

/* A step that waits for a record: true once it is durable (or finished with an error). */
static bool recorded(struct replica *replica, const struct replica_call *call)
{
	if (replica->record.done >= call->ticket)
		return true;
	if (replica_failed(replica) && is_quiet(replica))
		finish(replica, failure(replica));
	return false;
}

static void open_loaded(struct replica *replica, struct replica_call *call)
{
	if (replica->record.phase != RECORD_IDLE)
		return;
	if (replica_failed(replica)) {
		replica->opened = true;
		finish(replica, failure(replica));
		return;
	}
	if (!replica->record.loaded)
		return;
	replica_take_meta(replica);
	recover_start(replica);
	call->step = 2;
}

static void open_recovered(struct replica *replica, struct replica_call *call)
{
	struct replica_state *state = &replica->state;

	if (replica->recover.phase != RECOVER_DONE)
		return;
	if (replica_failed(replica)) {
		replica->opened = true;
		finish(replica, state->damage == REPLICA_IO_ERROR ? -EIO : 0);
		return;
	}
	if (state->commit > state->durable)
		state->commit = state->durable;
	append_count_used(replica);
	call->step = 3;
	replica->again = true;
}

static void open_redone(struct replica *replica)
{
	if (apply_running(replica) || (apply_possible(replica) && !replica_failed(replica)))
		return;
	replica->opened = true;
	finish(replica, replica->state.damage == REPLICA_IO_ERROR ? -EIO : 0);
}

static void call_open(struct replica *replica, struct replica_call *call)
{
	switch (call->step) {
	case 0:
		record_load(replica);
		call->step = 1;
		break;
	case 1:
		open_loaded(replica, call);
		break;
	case 2:
		open_recovered(replica, call);
		break;
	default:
		open_redone(replica);
	}
}

static void call_leave(struct replica *replica, struct replica_call *call)
{
	struct meta *next = &replica->record.next;

	if (call->step) {
		if (recorded(replica, call))
			finish(replica, 0);
		return;
	}
	session_end(replica, false, "the timeline is being left");
	if (replica->session.active)
		return;
	if (replica_failed(replica) || replica->meta.state != REPRISE_STORE_CLEAN) {
		finish(replica, -EIO);
		return;
	}
	if (replica->meta.left) {
		finish(replica, 0);
		return;
	}
	next->left = true;
	next->left_seq = replica->state.durable;
	call->ticket = record_request(replica);
	call->step = 1;
}

static void call_unleave(struct replica *replica, struct replica_call *call)
{
	if (call->step) {
		if (recorded(replica, call))
			finish(replica, 0);
		return;
	}
	if (replica_failed(replica)) {
		finish(replica, -EIO);
		return;
	}
	if (!replica->meta.left) {
		finish(replica, 0);
		return;
	}
	replica->record.next.left = false;
	replica->record.next.left_seq = 0;
	call->ticket = record_request(replica);
	call->step = 1;
}

/* From here on the tip is final: recorded first, since the store will hold it. */
static void settle_begin(struct replica *replica, struct replica_call *call)
{
	struct replica_state *state = &replica->state;

	if (replica->session.active || replica->meta.state != REPRISE_STORE_CLEAN) {
		finish(replica, -EBUSY);
		return;
	}
	replica->record.commit = state->durable;
	call->ticket = record_request(replica);
	call->step = 1;
}

static void call_settle(struct replica *replica, struct replica_call *call)
{
	if (replica_failed(replica)) {
		if (is_quiet(replica))
			finish(replica, -EIO);
		return;
	}
	switch (call->step) {
	case 0:
		settle_begin(replica, call);
		break;
	case 1:
		if (!recorded(replica, call))
			break;
		replica->state.commit = replica->state.durable;
		call->step = 2;
		replica->again = true;
		break;
	default:
		if (!apply_running(replica) && !apply_possible(replica)) {
			assert(replica->state.applied == replica->state.durable);
			finish(replica, 0);
		}
	}
}

/* A primary that crashed, or whose disk failed it, may go on by itself, unclean. */
static bool is_crash_fork(const struct replica *replica, const struct replica_call *call)
{
	return meta_is_uncertain(replica->meta.state) &&
	       call->store_state == REPRISE_STORE_UNCLEAN &&
	       call->timeline.kind == REPRISE_FORK_CRASH;
}

/* The content of any other fork is not just that of its parent. */
static bool is_clean_fork(const struct replica *replica, const struct replica_call *call)
{
	return replica->meta.state == REPRISE_STORE_CLEAN &&
	       call->timeline.kind == REPRISE_FORK_CLEAN;
}

static bool may_enter(const struct replica *replica, const struct replica_call *call)
{
	const struct replica_state *state = &replica->state;
	const struct meta_timeline *current = meta_current(&replica->meta);

	return current && !replica->session.active && !replica_failed(replica) &&
	       (is_clean_fork(replica, call) || is_crash_fork(replica, call)) &&
	       state->applied == state->durable &&
	       call->timeline.fork_seq == state->durable &&
	       call->timeline.generation > current->generation &&
	       !memcmp(call->timeline.parent, current->id, REPRISE_ID_BYTES) &&
	       !meta_find(&replica->meta, call->timeline.id);
}

static void call_enter(struct replica *replica, struct replica_call *call)
{
	struct meta *next = &replica->record.next;

	if (call->step) {
		if (!recorded(replica, call) || !is_quiet(replica))
			return;
		replica_take_meta(replica);
		append_count_used(replica);
		finish(replica, 0);
		return;
	}
	if (!may_enter(replica, call)) {
		finish(replica, -EINVAL);
		return;
	}
	next->left = false;
	next->left_seq = 0;
	next->state = call->store_state;
	next->applied = next->commit = call->timeline.fork_seq;
	meta_add_timeline(next, &call->timeline);
	call->ticket = record_request(replica);
	call->step = 1;
}

static void regain_loaded(struct replica *replica, struct replica_call *call)
{
	struct meta *next = &replica->record.next;

	if (replica_failed(replica)) {
		finish(replica, failure(replica));
		return;
	}
	if (!replica->record.loaded)
		return;
	if (replica->meta.state != REPRISE_STORE_UNCLEAN || call->seq < replica->meta.applied) {
		finish(replica, -EINVAL);
		return;
	}
	next->state = call->store_state;
	next->applied = next->commit = call->seq;
	call->ticket = record_request(replica);
	call->step = 2;
}

static void call_regain(struct replica *replica, struct replica_call *call)
{
	switch (call->step) {
	case 0:
		replica->released = false;
		record_load(replica);
		call->step = 1;
		break;
	case 1:
		if (replica->record.phase == RECORD_IDLE)
			regain_loaded(replica, call);
		break;
	default:
		if (!recorded(replica, call) || !is_quiet(replica))
			break;
		replica_take_meta(replica);
		replica->state.flushed = call->seq;
		append_count_used(replica);
		finish(replica, 0);
	}
}

static void call_policy(struct replica *replica, struct replica_call *call)
{
	if (call->step) {
		if (recorded(replica, call))
			finish(replica, 0);
		return;
	}
	if (replica_failed(replica) || replica->released) {
		finish(replica, replica->released ? -EBUSY : failure(replica));
		return;
	}
	replica->record.next.durability = call->durability;
	replica->record.next.on_peer_loss = call->on_peer_loss;
	call->ticket = record_request(replica);
	call->step = 1;
}

static bool record_is_behind(const struct replica *replica)
{
	return replica->record.loaded && replica->meta.state == REPRISE_STORE_CLEAN &&
	       (replica->meta.applied < replica->state.applied ||
		replica->meta.log_ordinal < replica->log.newest_ordinal);
}

static void call_close(struct replica *replica, struct replica_call *call)
{
	bool failed = replica_failed(replica);

	session_end(replica, false, "the resource is being taken down");
	if (replica->session.active || apply_running(replica) || (apply_possible(replica) && !failed))
		return;
	if (!call->step && !failed && !replica->released && record_is_behind(replica)) {
		call->ticket = record_request(replica);
		call->step = 1;
		return;
	}
	if (!is_quiet(replica) || (!failed && replica->record.done < call->ticket))
		return;
	replica->closed = true;
	finish(replica, failed ? failure(replica) : 0);
}

static void advance_call(struct replica *replica)
{
	struct replica_call *call = &replica->calls[0];

	if (!replica->nr_calls || replica->call_over)
		return;
	switch (call->kind) {
	case CALL_OPEN:
		call_open(replica, call);
		break;
	case CALL_LEAVE:
		call_leave(replica, call);
		break;
	case CALL_UNLEAVE:
		call_unleave(replica, call);
		break;
	case CALL_SETTLE:
		call_settle(replica, call);
		break;
	case CALL_ENTER:
		call_enter(replica, call);
		break;
	case CALL_REGAIN:
		call_regain(replica, call);
		break;
	case CALL_POLICY:
		call_policy(replica, call);
		break;
	case CALL_CLOSE:
		call_close(replica, call);
		break;
	}
}

void replica_pump(struct replica *replica)
{
	replica->again = true;
	if (replica->pumping)
		return;
	replica->pumping = true;
	while (replica->again) {
		replica->again = false;
		advance_call(replica);
		append_advance(replica);
		apply_advance(replica);
		record_advance(replica);
		session_advance(replica);
	}
	replica->pumping = false;
}

void replica_notify(struct replica *replica)
{
	struct env *env = replica->config.env;

	if (!replica->notify_timer.armed)
		env_timer_set(env, &replica->notify_timer, env_monotonic_ns(env));
}

static void notify_session(struct replica *replica)
{
	char reason[REPLICA_REASON_BYTES];

	replica->session.over = false;
	memcpy(reason, replica->session.reason, sizeof(reason));
	replica->config.session_ended(replica->config.ctx, reason, replica->session.fatal);
}

static void notify_fired(struct env_timer *timer)
{
	struct replica *replica = replica_of(timer, notify_timer);
	struct replica_call call;

	if (replica->session.over)
		notify_session(replica);
	if (!replica->call_over) {
		replica_pump(replica);
		return;
	}
	call = replica->calls[0];
	replica->call_over = false;
	replica->nr_calls--;
	memmove(replica->calls, replica->calls + 1, replica->nr_calls * sizeof(call));
	/* The next call goes on after this callback, which may destroy the replica. */
	if (replica->nr_calls)
		replica_notify(replica);
	call.done(call.ctx, replica->call_error);
}

static struct replica_call *add_call(struct replica *replica, enum call_kind kind,
				     replica_done done, void *ctx)
{
	struct replica_call *call = &replica->calls[replica->nr_calls];

	assert(replica->nr_calls < REPLICA_MAX_CALLS);
	assert(!replica->closed);
	replica->nr_calls++;
	*call = (struct replica_call){ .kind = kind, .done = done, .ctx = ctx };
	replica_notify(replica);
	return call;
}

void replica_open(struct replica *replica, replica_done done, void *ctx)
{
	assert(!replica->opened);
	add_call(replica, CALL_OPEN, done, ctx);
}

void replica_leave(struct replica *replica, replica_done done, void *ctx)
{
	add_call(replica, CALL_LEAVE, done, ctx);
}

void replica_unleave(struct replica *replica, replica_done done, void *ctx)
{
	add_call(replica, CALL_UNLEAVE, done, ctx);
}

void replica_settle(struct replica *replica, replica_done done, void *ctx)
{
	add_call(replica, CALL_SETTLE, done, ctx);
}

void replica_enter(struct replica *replica, const struct meta_timeline *timeline,
		   enum reprise_store_state state, replica_done done, void *ctx)
{
	struct replica_call *call = add_call(replica, CALL_ENTER, done, ctx);

	call->timeline = *timeline;
	call->store_state = state;
}

void replica_release(struct replica *replica)
{
	assert(replica->meta.state == REPRISE_STORE_UNCLEAN);
	assert(is_quiet(replica) && !replica->nr_calls);
	replica->released = true;
}

void replica_regain(struct replica *replica, const struct replica_volume *volumes,
		    uint64_t seq, enum reprise_store_state state, replica_done done,
		    void *ctx)
{
	struct replica_call *call = add_call(replica, CALL_REGAIN, done, ctx);

	call->seq = seq;
	call->store_state = state;
	memcpy(replica->volumes, volumes, replica->config.nr_volumes * sizeof(*volumes));
}

void replica_set_policy(struct replica *replica, enum reprise_durability durability,
			enum reprise_on_peer_loss on_peer_loss, replica_done done, void *ctx)
{
	struct replica_call *call = add_call(replica, CALL_POLICY, done, ctx);

	call->durability = durability;
	call->on_peer_loss = on_peer_loss;
}

void replica_close(struct replica *replica, replica_done done, void *ctx)
{
	add_call(replica, CALL_CLOSE, done, ctx);
}
