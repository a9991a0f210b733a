// SPDX-License-Identifier: GPL-2.0
/*
 * A session, as in kmod/session.c: the sender as a state that is looked at
 * whenever it might go on (session_step()), the receiver as what happens when
 * the connection has something, the watch as an event.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/crc32c.h"
#include "heap.h"
#include "model.h"
#include "module_impl.h"

enum {
	NEWS_DELAY_MS = 20,
	IDLE_FRAME_MS = 1000,
	ACKS_AT_ONCE = 16,
};

struct session {
	struct module *module;
	uint16_t node;
	uint64_t id;
	struct net_end *end;
	struct module_frame *next;	/* the first not yet taken; NULL: cut one */
	struct module_frame *sending;
	size_t sent;
	bool dead, orderly, greeted, idle, owes_ack, waiting;
	uint64_t wait_ms;
	uint64_t progress_at;
	struct event wake, watch, reap;
	uint8_t in[ACKS_AT_ONCE * sizeof(struct reprise_ack)];
	size_t have;
};

uint32_t module_crc(const void *data, unsigned int bytes)
{
	return crc32c(data, bytes);
}

static struct world *world_of(const struct session *session)
{
	return session->module->host.world;
}

static void session_lose(struct session *session, const char *reason);

/* --- frames -------------------------------------------------------------- */

static void frame_drop(struct module *module, struct module_frame *frame)
{
	struct module_frame **at = &module->frames;

	if (--frame->refs)
		return;
	while (*at != frame)
		at = &(*at)->next;
	*at = frame->next;
	if (!frame->next)
		module->frames_end = at;
	for (unsigned int i = 0; i < frame->nr_ops; i++)
		request_put(request_of(frame->ops[i]));
	sim_free(frame->data);
	sim_free(frame);
}

static void copy_payloads(struct module_frame *frame)
{
	size_t at = REPRISE_FRAME_HEAD_BYTES;

	for (unsigned int i = 0; i < frame->nr_ops; i++) {
		const struct request *request = request_of(frame->ops[i]);
		size_t bytes = reprise_payload_bytes(frame->ops[i]->type, frame->ops[i]->sectors);

		if (bytes)
			memcpy(frame->data + at, request->data, bytes);
		at += bytes;
	}
}

static struct module_frame *frame_cut(struct session *session)
{
	struct module *module = session->module;
	struct module_frame *frame = sim_alloc(sizeof(*frame));
	struct reprise_frame_head head;

	frame->nr_ops = reprise_stream_cut(&module->stream, &head,
					   module->host.realtime_ns(module->host.ctx), module_crc,
					   frame->ops);
	frame->bytes = le32toh(head.frame_bytes);
	frame->data = sim_alloc(frame->bytes);
	memcpy(frame->data, &head, sizeof(head));
	copy_payloads(frame);
	for (unsigned int i = 0; i < frame->nr_ops; i++)
		request_of(frame->ops[i])->refs++;
	frame->refs = module->sessions;
	*module->frames_end = frame;
	module->frames_end = &frame->next;
	model_cut(module->host.model, module->host.number, le64toh(head.first_seq), frame->nr_ops,
		  le64toh(head.commit), le64toh(head.flushed));
	for (unsigned int i = 0; i < REPRISE_MAX_NODES; i++) {
		struct session *other = module->peers[i].session;

		if (!other || other == session || other->dead || other->next)
			continue;
		other->next = frame;
		event_after(world_of(other), &other->wake, 0);
	}
	return frame;
}

static struct module_frame *next_frame(struct session *session)
{
	struct module *module = session->module;
	struct module_frame *frame = session->next;

	if (frame)
		session->next = frame->next;
	else if (reprise_stream_may_cut(&module->stream) || session->idle || !session->greeted)
		frame = frame_cut(session);
	session->greeted = true;
	session->idle = false;
	return frame;
}

/* --- sending ------------------------------------------------------------- */

static void begin_frame(struct session *session, struct module_frame *frame)
{
	session->sending = frame;
	session->sent = 0;
	if (!session->owes_ack) {
		session->progress_at = world_now(world_of(session));
		session->owes_ack = true;
	}
}

/* False: the connection takes no more now, or the session is over. */
static bool send_some(struct session *session)
{
	struct module_peer *peer = module_peer(session->module, session->node);
	struct module_frame *frame = session->sending;
	ssize_t took;

	while (session->sent < frame->bytes) {
		took = net_send(session->end, frame->data + session->sent,
				frame->bytes - session->sent);
		if (took == -EAGAIN)
			return false;
		if (took < 0) {
			session_lose(session, "the connection broke while sending");
			return false;
		}
		session->sent += took;
	}
	peer->sent_bytes += frame->bytes;
	peer->frames++;
	session->sending = NULL;
	frame_drop(session->module, frame);
	return true;
}

static void session_step(struct session *session)
{
	struct module_frame *frame;

	session->waiting = false;
	while (!session->dead) {
		if (session->sending && !send_some(session))
			return;
		frame = next_frame(session);
		if (!frame)
			break;
		begin_frame(session, frame);
	}
	if (session->dead)
		return;
	session->waiting = true;
	session->wait_ms = reprise_stream_news(&session->module->stream) ? NEWS_DELAY_MS :
									  IDLE_FRAME_MS;
	event_after(world_of(session), &session->wake, session->wait_ms * SIM_MS);
}

static void wake_fired(struct event *event)
{
	struct session *session = sim_container(event, struct session, wake);

	/* Nobody woke it earlier: the time is over. */
	session->idle = session->waiting;
	session_step(session);
}

static bool has_work(const struct session *session)
{
	return session->next || reprise_stream_may_cut(&session->module->stream) ||
	       (session->wait_ms == IDLE_FRAME_MS &&
		reprise_stream_news(&session->module->stream));
}

void session_wake_all(struct module *module)
{
	for (unsigned int i = 0; i < REPRISE_MAX_NODES; i++) {
		struct session *session = module->peers[i].session;

		if (!session || session->dead || !session->waiting || !has_work(session))
			continue;
		session->waiting = false;
		event_after(module->host.world, &session->wake,
			    world_below(module->host.world, 40) * SIM_US);
	}
}

/* --- acknowledgements ---------------------------------------------------- */

static int take_ack(struct session *session, const struct reprise_ack *wire)
{
	struct module *module = session->module;
	struct reprise_stream_peer *peer;
	struct reprise_ack_host ack;
	struct reprise_actions act;
	bool moved, all_durable;
	int err = reprise_ack_decode(wire, module_crc, &ack);

	if (err)
		return err;
	reprise_actions_init(&act);
	peer = reprise_stream_peer(&module->stream, session->node);
	moved = ack.received > peer->received || ack.durable > peer->durable;
	err = reprise_stream_ack(&module->stream, session->node, &ack, &act);
	all_durable = peer->durable == peer->sent;
	if (!err && (moved || all_durable))
		session->progress_at = world_now(world_of(session));
	session->owes_ack = !all_durable;
	if (!err)
		model_acked(module->host.model, module->host.number, session->node, ack.durable,
			    ack.applied);
	module_act(module, &act);
	return err;
}

static const char *receive_reason(int err)
{
	switch (err) {
	case -ENOTCONN:
		return "the peer closed the connection";
	case -EBADMSG:
		return "the peer sent a damaged acknowledgement";
	case -EPROTO:
		return "the peer sent an impossible acknowledgement";
	default:
		return "the connection broke while receiving";
	}
}

static int receive_acks(struct session *session)
{
	const size_t bytes = sizeof(struct reprise_ack);
	struct reprise_ack ack;
	ssize_t got;
	size_t at = 0;
	int err = 0;

	got = net_recv(session->end, session->in + session->have,
		       sizeof(session->in) - session->have);
	if (got <= 0)
		return got ? got : -ENOTCONN;
	session->have += got;
	for (; !err && !session->dead && session->have - at >= bytes; at += bytes) {
		memcpy(&ack, session->in + at, bytes);
		err = take_ack(session, &ack);
	}
	session->have -= at;
	memmove(session->in, session->in + at, session->have);
	return err;
}

static void end_ready(void *ctx)
{
	struct session *session = ctx;
	int err = 0;

	while (!session->dead && !err)
		err = receive_acks(session);
	if (err && err != -EAGAIN)
		session_lose(session, receive_reason(err));
	if (!session->dead && session->sending)
		session_step(session);
}

/* --- loss ---------------------------------------------------------------- */

static void watch_fired(struct event *event)
{
	struct session *session = sim_container(event, struct session, watch);
	uint64_t timeout_ns = session->module->timeout_ms * SIM_MS;

	if (session->owes_ack &&
	    world_now(world_of(session)) > session->progress_at + timeout_ns) {
		session_lose(session, "the peer made no progress for the timeout");
		return;
	}
	event_after(world_of(session), event, timeout_ns / 8 + SIM_MS);
}

static void session_reap(struct session *session)
{
	struct module *module = session->module;
	struct module_frame *frame;

	event_clear(world_of(session), &session->wake);
	event_clear(world_of(session), &session->watch);
	event_clear(world_of(session), &session->reap);
	if (session->sending)
		frame_drop(module, session->sending);
	while ((frame = session->next)) {
		session->next = frame->next;
		frame_drop(module, frame);
	}
	if (!session->orderly)
		net_end_abort(session->end);
	net_end_unwatch(session->end, session);
	net_end_put(session->end);
	module_peer(module, session->node)->session = NULL;
	sim_free(session);
}

static void reap_fired(struct event *event)
{
	session_reap(sim_container(event, struct session, reap));
}

static void session_lose(struct session *session, const char *reason)
{
	struct module *module = session->module;
	struct module_peer *peer = module_peer(module, session->node);
	struct reprise_actions act;
	bool freeze;

	if (session->dead)
		return;
	reprise_actions_init(&act);
	session->dead = true;
	module->sessions--;
	snprintf(peer->reason, sizeof(peer->reason), "%s", reason);
	world_trace(module->host.world, "%s: session with %s ended: %s", module->host.name,
		    peer->name, reason);
	model_lost(module->host.model, module->host.number, session->node);
	freeze = reprise_stream_lose(&module->stream, session->node, &act) && !module->dead;
	if (freeze)
		module->frozen = true;
	event_clear(world_of(session), &session->wake);
	event_after(world_of(session), &session->reap,
		    world_below(world_of(session), 20000) * SIM_US);
	module_event(module, REPRISE_EVENT_PEER_LOST, session->node, reason, -1);
	if (freeze)
		module_event(module, REPRISE_EVENT_FROZEN, session->node, reason, -1);
	module_act(module, &act);
}

void session_detach(struct module *module, uint16_t node, const char *reason, bool orderly)
{
	struct module_peer *peer = module_peer(module, node);
	struct session *session = peer ? peer->session : NULL;

	if (!session)
		return;
	session->orderly = orderly;
	session_lose(session, reason);
	session_reap(session);
}

void session_forget_all(struct module *module)
{
	for (unsigned int i = 0; i < REPRISE_MAX_NODES; i++) {
		struct session *session = module->peers[i].session;

		if (!session)
			continue;
		session->dead = true;
		session_reap(session);
	}
}

/* --- attach -------------------------------------------------------------- */

int session_attach(struct module *module, uint16_t node, struct net_end *end, uint64_t id,
		   const uint8_t *timeline_id, uint64_t position, uint64_t *s0)
{
	struct module_peer *peer = module_peer(module, node);
	struct reprise_actions act;
	struct session *session;
	int err;

	if (!node || !peer)
		return -ENOENT;
	session_detach(module, node, "replaced by a new session", false);
	reprise_actions_init(&act);
	err = reprise_stream_attach(&module->stream, node, id, timeline_id, position, s0, &act);
	if (!err) {
		session = sim_alloc(sizeof(*session));
		*session = (struct session){
			.module = module, .node = node, .id = id, .end = end,
			.progress_at = world_now(module->host.world),
			.wake.fire = wake_fired, .watch.fire = watch_fired,
			.reap.fire = reap_fired,
		};
		net_end_get(end);
		peer->session = session;
		peer->reason[0] = 0;
		module->sessions++;
		model_attached(module->host.model, module->host.number, node, position);
	}
	module_act(module, &act);
	if (err)
		return err;
	net_end_watch(end, end_ready, session);
	event_after(module->host.world, &session->watch, SIM_MS);
	event_after(module->host.world, &session->wake, world_below(module->host.world, 100) * SIM_US);
	module_event(module, REPRISE_EVENT_PEER_ATTACHED, node, NULL, -1);
	return 0;
}
