// SPDX-License-Identifier: GPL-2.0
/*
 * A session: a connected peer, on a TCP socket that the agent handed over.
 * One thread sends frames, one receives acknowledgements; a delayed work
 * watches for progress.  Nothing but acknowledgements is ever parsed.
 *
 * Frames are cut when some sender is idle, once for all sessions: the one
 * that cuts puts the frame in resource.frames, where the others find it.
 *
 * End of life: session_lose() may be called from any thread, marks the session
 * dead and takes it out of the stream; reap() then joins the threads, aborts
 * the connection (queued data must not live on) and frees it.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/kthread.h>
#include <linux/mempool.h>
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "checksum.h"
#include "compat.h"
#include "netlink.h"
#include "request.h"
#include "session.h"
#include "trace.h"

enum {
	NEWS_DELAY_MS = 20,		/* commit or flushed moved and nothing followed */
	IDLE_FRAME_MS = 1000,		/* an idle connection is proven this often */
	FRAME_RESERVE = 16,
	MAX_BVECS = 1 + REPRISE_FRAME_MAX_BYTES / PAGE_SIZE + REPRISE_FRAME_MAX_OPS,
	ACKS_AT_ONCE = 16,
};

/**
 * struct reprise_frame - a frame that was cut
 * @refs: sessions that have not yet sent it; under resource.lock
 */
struct reprise_frame {
	struct list_head link;		/* resource.frames */
	unsigned int refs;
	unsigned int nr_ops;
	struct page *page;		/* the header block */
	struct reprise_op *ops[REPRISE_FRAME_MAX_OPS];
};

/**
 * struct reprise_session - one session with one peer
 * @next: first frame not yet taken by the sender; NULL: cut one
 * @dead: lost; under resource.lock, read without
 * @progress_at: jiffies of the last sign that the peer gets on
 */
struct reprise_session {
	struct reprise_resource *res;
	u16 node;
	u64 id;
	struct socket *socket;
	struct task_struct *sender;
	struct task_struct *receiver;
	wait_queue_head_t wait;
	struct reprise_frame *next;
	bool dead;
	bool orderly;			/* all is acknowledged: what is queued may still arrive */
	bool greeted;
	bool dozing;			/* the sender waits for whatever comes; under the lock */
	bool owes_ack;			/* a frame was sent after the last ack */
	unsigned long progress_at;
	struct delayed_work watch;
	struct work_struct reap_work;
	struct completion reaped;
	struct kref kref;
	struct bio_vec bvecs[MAX_BVECS];
};

static mempool_t frame_pool;
static mempool_t head_pool;
static struct kmem_cache *frame_cache;

static void session_free(struct kref *kref)
{
	struct reprise_session *session = container_of(kref, struct reprise_session, kref);

	reprise_resource_put(session->res);
	kvfree(session);
}

static void session_put(struct reprise_session *session)
{
	kref_put(&session->kref, session_free);
}

/* --- frames ------------------------------------------------------------ */

static struct reprise_frame *frame_alloc(void)
{
	struct reprise_frame *frame = mempool_alloc(&frame_pool, GFP_NOIO);

	frame->page = mempool_alloc(&head_pool, GFP_NOIO);
	frame->nr_ops = 0;
	return frame;
}

static void frame_free(struct reprise_frame *frame)
{
	unsigned int i;

	for (i = 0; i < frame->nr_ops; i++)
		reprise_request_put(reprise_request_of(frame->ops[i]));
	if (page_count(frame->page) > 1)
		put_page(frame->page);
	else
		mempool_free(frame->page, &head_pool);
	mempool_free(frame, &frame_pool);
}

/* A session is done with a frame, sent or not. */
static void frame_drop(struct reprise_resource *res, struct reprise_frame *frame)
{
	bool last, none_left;

	spin_lock_irq(&res->lock);
	last = !--frame->refs;
	if (last)
		list_del(&frame->link);
	none_left = list_empty(&res->frames);
	spin_unlock_irq(&res->lock);
	if (last)
		frame_free(frame);
	if (none_left && wq_has_sleeper(&res->progress))
		wake_up_all(&res->progress);
}

/* Cut into @frame and show it to the other sessions.  Under resource.lock. */
static void frame_cut_locked(struct reprise_session *session, struct reprise_frame *frame)
{
	struct reprise_resource *res = session->res;
	unsigned int i;

	lockdep_assert_held(&res->lock);
	frame->nr_ops = reprise_stream_cut(&res->stream, page_address(frame->page),
					   ktime_get_real_ns(), reprise_crc, frame->ops);
	for (i = 0; i < frame->nr_ops; i++)
		refcount_inc(&reprise_request_of(frame->ops[i])->refs);
	frame->refs = res->sessions;
	list_add_tail(&frame->link, &res->frames);
	for (i = 0; i < REPRISE_MAX_NODES; i++) {
		struct reprise_session *other = res->peers[i].session;

		if (!other || other == session || other->dead || other->next)
			continue;
		other->next = frame;
		wake_up(&other->wait);
	}
}

static bool has_work(struct reprise_session *session)
{
	return READ_ONCE(session->dead) || READ_ONCE(session->next) ||
	       reprise_stream_may_cut(&session->res->stream);
}

/*
 * The next frame to send: one that another session cut, or a new one; after
 * a while without operations, an empty one.  NULL: the session is dead.
 */
static struct reprise_frame *next_frame(struct reprise_session *session)
{
	struct reprise_resource *res = session->res;
	struct reprise_frame *spare = frame_alloc(), *frame = NULL;
	unsigned int delay_ms = 0;
	bool idle = false;

	while (!frame && !READ_ONCE(session->dead)) {
		spin_lock_irq(&res->lock);
		if (session->dead) {
			/* reap() drops what is left. */
		} else if (session->next) {
			frame = session->next;
			session->next = list_is_last(&frame->link, &res->frames) ?
				NULL : list_next_entry(frame, link);
		} else if (reprise_stream_may_cut(&res->stream) || idle || !session->greeted) {
			frame_cut_locked(session, spare);
			frame = spare;
			spare = NULL;
		} else {
			delay_ms = reprise_stream_news(&res->stream) ?
				NEWS_DELAY_MS : IDLE_FRAME_MS;
		}
		session->dozing = !frame && delay_ms == IDLE_FRAME_MS;
		session->greeted = true;
		spin_unlock_irq(&res->lock);
		if (frame)
			break;
		/* News that come while we wait for IDLE_FRAME_MS are noticed by a wake-up. */
		idle = !wait_event_idle_timeout(session->wait, has_work(session) ||
				(delay_ms == IDLE_FRAME_MS && reprise_stream_news(&res->stream)),
				msecs_to_jiffies(delay_ms));
	}
	if (spare)
		frame_free(spare);
	if (frame)
		trace_reprise_cut(res->name,
				  le64_to_cpu(((struct reprise_frame_head *)
					       page_address(frame->page))->first_seq),
				  frame->nr_ops, res->stream.commit, res->stream.flushed);
	return frame;
}

/* --- sending ----------------------------------------------------------- */

static unsigned int frame_bvecs(const struct reprise_frame *frame, struct bio_vec *bvecs,
				unsigned int *bytes)
{
	unsigned int i, j, n = 0;

	bvecs[n++] = (struct bio_vec){ frame->page, REPRISE_FRAME_HEAD_BYTES, 0 };
	*bytes = REPRISE_FRAME_HEAD_BYTES;
	for (i = 0; i < frame->nr_ops; i++) {
		struct bio *bio = &reprise_request_of(frame->ops[i])->local;

		for (j = 0; j < bio->bi_vcnt; j++) {
			bvecs[n++] = bio->bi_io_vec[j];
			*bytes += bio->bi_io_vec[j].bv_len;
		}
	}
	return n;
}

static int send_all(struct reprise_session *session, struct msghdr *msg)
{
	while (msg_data_left(msg)) {
		int sent = sock_sendmsg(session->socket, msg);

		if (READ_ONCE(session->dead))
			return -ESHUTDOWN;
		/* -EAGAIN: sk_sndtimeo; the watch decides how long is too long. */
		if (sent < 0 && sent != -EAGAIN && sent != -EINTR)
			return sent;
	}
	return 0;
}

static int frame_send(struct reprise_session *session, struct reprise_frame *frame)
{
	struct msghdr msg = { .msg_flags = MSG_NOSIGNAL | REPRISE_MSG_SPLICE };
	unsigned int bytes, n = frame_bvecs(frame, session->bvecs, &bytes);
	struct reprise_peer *peer = reprise_resource_peer(session->res, session->node);
	unsigned int noreclaim;
	int err;

	if (!READ_ONCE(session->owes_ack)) {
		WRITE_ONCE(session->progress_at, jiffies);
		WRITE_ONCE(session->owes_ack, true);
	}
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, session->bvecs, n, bytes);
	noreclaim = memalloc_noreclaim_save();
	err = send_all(session, &msg);
	memalloc_noreclaim_restore(noreclaim);
	WRITE_ONCE(peer->sent_bytes, peer->sent_bytes + bytes);
	WRITE_ONCE(peer->frames, peer->frames + 1);
	return err;
}

static void session_lose(struct reprise_session *session, const char *reason);

static int sender_main(void *arg)
{
	struct reprise_session *session = arg;
	struct reprise_frame *frame;
	int err;

	while ((frame = next_frame(session))) {
		err = frame_send(session, frame);
		frame_drop(session->res, frame);
		if (err) {
			session_lose(session, "the connection broke while sending");
			break;
		}
	}
	while (!kthread_should_stop())
		schedule_timeout_idle(HZ / 50);
	return 0;
}

/* --- acknowledgements -------------------------------------------------- */

static int take_ack(struct reprise_session *session, const struct reprise_ack *wire)
{
	struct reprise_resource *res = session->res;
	struct reprise_stream_peer *peer;
	struct reprise_ack_host ack;
	struct reprise_actions act;
	bool moved, all_durable;
	int err = reprise_ack_decode(wire, reprise_crc, &ack);

	if (err)
		return err;
	reprise_actions_init(&act);
	spin_lock_irq(&res->lock);
	if (session->dead) {
		spin_unlock_irq(&res->lock);
		return -ESHUTDOWN;
	}
	peer = reprise_stream_peer(&res->stream, session->node);
	moved = ack.received > peer->received || ack.durable > peer->durable;
	err = reprise_stream_ack(&res->stream, session->node, &ack, &act);
	all_durable = peer->durable == peer->sent;
	spin_unlock_irq(&res->lock);
	if (!err && (moved || all_durable))
		WRITE_ONCE(session->progress_at, jiffies);
	WRITE_ONCE(session->owes_ack, !all_durable);
	trace_reprise_acked(res->name, session->node, ack.received, ack.durable, ack.applied);
	reprise_resource_act(res, &act, true);
	return err;
}

static int receive_acks(struct reprise_session *session, struct reprise_ack *acks,
			unsigned int *have)
{
	struct msghdr msg = { .msg_flags = MSG_NOSIGNAL };
	struct kvec vec = {
		.iov_base = (char *)acks + *have,
		.iov_len = ACKS_AT_ONCE * sizeof(*acks) - *have,
	};
	unsigned int noreclaim = memalloc_noreclaim_save();
	int got = kernel_recvmsg(session->socket, &msg, &vec, 1, vec.iov_len, 0);
	unsigned int i, whole;
	int err = 0;

	memalloc_noreclaim_restore(noreclaim);
	if (got == -EAGAIN || got == -EINTR)
		return 0;
	if (got <= 0)
		return got ? got : -ENOTCONN;
	*have += got;
	whole = *have / sizeof(*acks);
	for (i = 0; i < whole && !err; i++)
		err = take_ack(session, &acks[i]);
	*have -= whole * sizeof(*acks);
	memmove(acks, &acks[whole], *have);
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

static int receiver_main(void *arg)
{
	struct reprise_session *session = arg;
	struct reprise_ack acks[ACKS_AT_ONCE];
	unsigned int have = 0;
	int err = 0;

	while (!err && !READ_ONCE(session->dead))
		err = receive_acks(session, acks, &have);
	if (err)
		session_lose(session, receive_reason(err));
	while (!kthread_should_stop())
		schedule_timeout_idle(HZ / 50);
	return 0;
}

/* --- loss -------------------------------------------------------------- */

static void watch_work(struct work_struct *work)
{
	struct reprise_session *session = container_of(to_delayed_work(work),
						       struct reprise_session, watch);
	unsigned long timeout = msecs_to_jiffies(READ_ONCE(session->res->timeout_ms));

	if (READ_ONCE(session->dead))
		return;
	if (READ_ONCE(session->owes_ack) &&
	    time_after(jiffies, READ_ONCE(session->progress_at) + timeout)) {
		session_lose(session, "the peer made no progress for the timeout");
		return;
	}
	queue_delayed_work(reprise_wq, &session->watch, timeout / 8 + 1);
}

/* Any process context, also the session's own threads. */
static void session_lose(struct reprise_session *session, const char *reason)
{
	struct reprise_resource *res = session->res;
	struct reprise_peer *peer = reprise_resource_peer(res, session->node);
	struct reprise_actions act;
	bool freeze;

	reprise_actions_init(&act);
	spin_lock_irq(&res->lock);
	if (session->dead) {
		spin_unlock_irq(&res->lock);
		return;
	}
	session->dead = true;
	res->sessions--;
	strscpy(peer->reason, reason, sizeof(peer->reason));
	freeze = reprise_stream_lose(&res->stream, session->node, &act) && !res->dead;
	if (freeze)
		res->frozen = true;
	spin_unlock_irq(&res->lock);

	kernel_sock_shutdown(session->socket, SHUT_RDWR);
	wake_up_all(&session->wait);
	queue_work(reprise_slow_wq, &session->reap_work);
	pr_info("reprise %s: session with %s ended: %s\n", res->name, peer->name, reason);
	reprise_netlink_event(res, REPRISE_EVENT_PEER_LOST, session->node, reason, -1);
	if (freeze)
		reprise_netlink_event(res, REPRISE_EVENT_FROZEN, session->node, reason, -1);
	reprise_resource_act(res, &act, true);
}

static void drop_rest(struct reprise_session *session)
{
	struct reprise_resource *res = session->res;
	struct reprise_frame *frame;

	for (;;) {
		spin_lock_irq(&res->lock);
		frame = session->next;
		if (frame)
			session->next = list_is_last(&frame->link, &res->frames) ?
				NULL : list_next_entry(frame, link);
		spin_unlock_irq(&res->lock);
		if (!frame)
			return;
		frame_drop(res, frame);
	}
}

static void reap_work(struct work_struct *work)
{
	struct reprise_session *session = container_of(work, struct reprise_session, reap_work);
	struct reprise_resource *res = session->res;
	struct sock *sk = session->socket->sk;

	cancel_delayed_work_sync(&session->watch);
	kthread_stop(session->sender);
	kthread_stop(session->receiver);
	drop_rest(session);
	if (!session->orderly)
		tcp_abort(sk, ECONNABORTED);
	sk_clear_memalloc(sk);
	sockfd_put(session->socket);
	spin_lock_irq(&res->lock);
	reprise_resource_peer(res, session->node)->session = NULL;
	spin_unlock_irq(&res->lock);
	complete_all(&session->reaped);
	session_put(session);
}

/**
 * reprise_session_detach - end a peer's session, if it has one, and wait for it
 * @orderly: the peer holds everything; what is still queued may reach it
 *
 * May sleep; resource.control is held.
 */
void reprise_session_detach(struct reprise_resource *res, u16 node, const char *reason,
			    bool orderly)
{
	struct reprise_peer *peer = reprise_resource_peer(res, node);
	struct reprise_session *session;

	spin_lock_irq(&res->lock);
	session = peer ? peer->session : NULL;
	if (session) {
		kref_get(&session->kref);
		session->orderly = orderly;
	}
	spin_unlock_irq(&res->lock);
	if (!session)
		return;
	session_lose(session, reason);
	wait_for_completion(&session->reaped);
	session_put(session);
}

void reprise_session_detach_all(struct reprise_resource *res, const char *reason, bool orderly)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_NODES; i++)
		if (res->peers[i].node)
			reprise_session_detach(res, res->peers[i].node, reason, orderly);
}

/* A sender that only awaits operations is not woken for every acknowledgement. */
static void wake_if_work_locked(struct reprise_resource *res, struct reprise_session *session)
{
	if (session && (session->dozing || has_work(session)))
		wake_up(&session->wait);
}

/**
 * reprise_session_wake_all - there is something to send
 *
 * Any context.
 */
void reprise_session_wake_all(struct reprise_resource *res)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&res->lock, flags);
	if (res->sessions)
		for (i = 0; i < REPRISE_MAX_NODES; i++)
			wake_if_work_locked(res, res->peers[i].session);
	spin_unlock_irqrestore(&res->lock, flags);
}

/* --- attach ------------------------------------------------------------ */

static int check_socket(struct socket *socket, const char **why)
{
	struct sock *sk = socket->sk;

	if (socket->type != SOCK_STREAM || sk->sk_protocol != IPPROTO_TCP ||
	    (sk->sk_family != AF_INET && sk->sk_family != AF_INET6)) {
		*why = "the socket is not TCP";
		return -EPROTONOSUPPORT;
	}
	if (sk->sk_state != TCP_ESTABLISHED) {
		*why = "the socket is not connected";
		return -ENOTCONN;
	}
	if (sk->sk_user_data) {
		*why = "the socket is in use by another kernel facility";
		return -EBUSY;
	}
	return 0;
}

static void prepare_socket(struct sock *sk, u32 timeout_ms)
{
	sk->sk_allocation = GFP_NOIO;
	sk->sk_use_task_frag = false;
	sk->sk_sndtimeo = max_t(long, msecs_to_jiffies(timeout_ms) / 4, 1);
	sk_set_memalloc(sk);
	tcp_sock_set_nodelay(sk);
}

static struct reprise_session *session_create(struct reprise_resource *res, u16 node,
					      int socket_fd, u64 id, const char **why, int *err)
{
	struct reprise_session *session = kvzalloc(sizeof(*session), GFP_KERNEL);

	if (!session) {
		*err = -ENOMEM;
		return NULL;
	}
	session->node = node;
	session->id = id;
	session->socket = sockfd_lookup(socket_fd, err);
	if (!session->socket) {
		*why = "the file descriptor is not a socket";
		goto err_free;
	}
	*err = check_socket(session->socket, why);
	if (*err)
		goto err_socket;
	init_waitqueue_head(&session->wait);
	INIT_DELAYED_WORK(&session->watch, watch_work);
	INIT_WORK(&session->reap_work, reap_work);
	init_completion(&session->reaped);
	kref_init(&session->kref);
	session->progress_at = jiffies;
	session->sender = kthread_create(sender_main, session, "reprise_s/%.8s", res->name);
	if (IS_ERR(session->sender)) {
		*err = PTR_ERR(session->sender);
		goto err_socket;
	}
	session->receiver = kthread_create(receiver_main, session, "reprise_r/%.8s", res->name);
	if (IS_ERR(session->receiver)) {
		*err = PTR_ERR(session->receiver);
		goto err_sender;
	}
	reprise_resource_get(res);
	session->res = res;
	return session;

err_sender:
	kthread_stop(session->sender);
err_socket:
	sockfd_put(session->socket);
err_free:
	kvfree(session);
	return NULL;
}

/* Undo of session_create() for one that never ran. */
static void session_discard(struct reprise_session *session)
{
	kthread_stop(session->sender);
	kthread_stop(session->receiver);
	sockfd_put(session->socket);
	session_put(session);
}

static const char *attach_words(int err)
{
	switch (err) {
	case -ENOENT:
		return "no such peer";
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

/**
 * reprise_session_attach - begin a session with a peer
 * @socket_fd: a connected TCP socket of the calling process, which closes its
 *	own descriptor afterwards in any case
 * @position: last seq of @timeline_id that the peer holds
 * @s0: set to the first seq of the session
 *
 * Ends the peer's old session first.  May sleep; resource.control is held.
 * Return: as reprise_stream_attach(), or what the socket is refused for.
 */
int reprise_session_attach(struct reprise_resource *res, u16 node, int socket_fd, u64 session_id,
			   const u8 *timeline_id, u64 position, u64 *s0, const char **why)
{
	struct reprise_peer *peer = reprise_resource_peer(res, node);
	struct reprise_session *session;
	struct reprise_actions act;
	int err = 0;

	if (!node || !peer) {
		*why = attach_words(-ENOENT);
		return -ENOENT;
	}
	reprise_session_detach(res, node, "replaced by a new session", false);
	session = session_create(res, node, socket_fd, session_id, why, &err);
	if (!session)
		return err;

	reprise_actions_init(&act);
	spin_lock_irq(&res->lock);
	err = reprise_stream_attach(&res->stream, node, session_id, timeline_id, position, s0,
				    &act);
	if (!err) {
		peer->session = session;
		peer->reason[0] = 0;
		res->sessions++;
	}
	spin_unlock_irq(&res->lock);
	reprise_resource_act(res, &act, true);
	if (err) {
		*why = attach_words(err);
		session_discard(session);
		return err;
	}
	prepare_socket(session->socket->sk, res->timeout_ms);
	queue_delayed_work(reprise_wq, &session->watch, 1);
	wake_up_process(session->sender);
	wake_up_process(session->receiver);
	reprise_netlink_event(res, REPRISE_EVENT_PEER_ATTACHED, node, NULL, -1);
	return 0;
}

int reprise_session_init(void)
{
	int err = -ENOMEM;

	frame_cache = KMEM_CACHE(reprise_frame, 0);
	if (!frame_cache)
		return -ENOMEM;
	err = mempool_init_slab_pool(&frame_pool, FRAME_RESERVE, frame_cache);
	if (err)
		goto err_cache;
	err = mempool_init_page_pool(&head_pool, FRAME_RESERVE, 0);
	if (err)
		goto err_frames;
	return 0;

err_frames:
	mempool_exit(&frame_pool);
err_cache:
	kmem_cache_destroy(frame_cache);
	return err;
}

void reprise_session_exit(void)
{
	mempool_exit(&head_pool);
	mempool_exit(&frame_pool);
	kmem_cache_destroy(frame_cache);
}
