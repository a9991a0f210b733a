// SPDX-License-Identifier: GPL-2.0
/*
 * A resource of which this node is primary: its volumes and its stream, from
 * reprise_resource_start() to reprise_resource_stop().  Also carries out what
 * the stream decides (struct reprise_actions).
 *
 * Stop has phases: closed (no openers), quiet (everything durable on every
 * connected peer), dead (nothing may complete any more), removed.  Until the
 * last but one it can be called off and nothing has changed.
 */
#include <linux/blkdev.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "netlink.h"
#include "request.h"
#include "resource.h"
#include "session.h"
#include "volume.h"

enum {
	OPENERS_GRACE_MS = 1000,	/* udev closes what it opened within this */
};

struct workqueue_struct *reprise_wq;		/* works never wait for a peer */
struct workqueue_struct *reprise_slow_wq;	/* works may */

static DEFINE_MUTEX(registry_lock);
static LIST_HEAD(registry);

/* --- actions ----------------------------------------------------------- */

static void submit_or_queue(struct reprise_resource *res, struct reprise_actions *act,
			    bool may_submit)
{
	struct reprise_op *op, *next;
	unsigned long flags;

	if (list_empty(&act->submit))
		return;
	if (!may_submit) {
		spin_lock_irqsave(&res->lock, flags);
		list_splice_tail_init(&act->submit, &res->to_submit);
		spin_unlock_irqrestore(&res->lock, flags);
		queue_work(reprise_wq, &res->submit_work);
		return;
	}
	list_for_each_entry_safe(op, next, &act->submit, submit_link) {
		list_del(&op->submit_link);
		reprise_request_submit_local(reprise_request_of(op));
	}
}

/**
 * reprise_resource_act - carry out what the stream decided
 * @may_submit: process context in which bios may be submitted
 *
 * Without the lock.  Any context.
 */
void reprise_resource_act(struct reprise_resource *res, struct reprise_actions *act,
			  bool may_submit)
{
	bool moved = !list_empty(&act->retire);
	struct reprise_flush *flush, *next_flush;
	struct reprise_op *op, *next;

	submit_or_queue(res, act, may_submit);
	list_for_each_entry_safe(op, next, &act->complete, complete_link)
		reprise_request_complete(reprise_request_of(op));
	list_for_each_entry_safe(flush, next_flush, &act->flushes, link)
		reprise_request_flushed(container_of(flush, struct reprise_request, flush));
	list_for_each_entry_safe(op, next, &act->retire, link)
		reprise_request_retire(reprise_request_of(op));
	if (act->wake)
		reprise_session_wake_all(res);
	if (moved && wq_has_sleeper(&res->progress))
		wake_up_all(&res->progress);
}

static void submit_work(struct work_struct *work)
{
	struct reprise_resource *res = container_of(work, struct reprise_resource, submit_work);
	struct reprise_op *op, *next;
	struct blk_plug plug;
	LIST_HEAD(list);

	spin_lock_irq(&res->lock);
	list_splice_init(&res->to_submit, &list);
	spin_unlock_irq(&res->lock);
	blk_start_plug(&plug);
	list_for_each_entry_safe(op, next, &list, submit_link) {
		list_del(&op->submit_link);
		reprise_request_submit_local(reprise_request_of(op));
	}
	blk_finish_plug(&plug);
}

static void event_work(struct work_struct *work)
{
	struct reprise_resource *res = container_of(work, struct reprise_resource, event_work);
	unsigned int i;

	if (!xchg(&res->io_error, false))
		return;
	for (i = 0; i < REPRISE_MAX_VOLUMES; i++)
		if (res->volumes[i] && atomic64_read(&res->volumes[i]->io_errors))
			reprise_netlink_event(res, REPRISE_EVENT_IO_ERROR, 0, NULL, i);
}

/* --- the primary's own flushes ----------------------------------------- */

static int flush_volumes(struct reprise_resource *res)
{
	struct reprise_actions act;
	unsigned int i;
	u64 seq;
	int err;

	for (i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		if (!res->volumes[i])
			continue;
		spin_lock_irq(&res->lock);
		seq = res->stream.local_seq;
		spin_unlock_irq(&res->lock);
		err = blkdev_issue_flush(res->volumes[i]->backing);
		if (err) {
			reprise_volume_io_error(res->volumes[i], true);
			spin_lock_irq(&res->lock);
			reprise_stream_volume_flush_failed(&res->stream, i, err);
			spin_unlock_irq(&res->lock);
			return err;
		}
		reprise_actions_init(&act);
		spin_lock_irq(&res->lock);
		reprise_stream_volume_flushed(&res->stream, i, seq, &act);
		spin_unlock_irq(&res->lock);
		reprise_resource_act(res, &act, true);
	}
	return 0;
}

static void queue_own_flush(struct reprise_resource *res)
{
	unsigned int ms = reprise_stream_flush_interval_ms(READ_ONCE(res->timeout_ms));

	queue_delayed_work(reprise_wq, &res->flush_work, msecs_to_jiffies(ms));
}

/* Logs and maps must not wait for an application that never flushes. */
static void own_flush_work(struct work_struct *work)
{
	struct reprise_resource *res = container_of(to_delayed_work(work),
						    struct reprise_resource, flush_work);

	if (READ_ONCE(res->stream.flushed) < READ_ONCE(res->stream.local_seq))
		flush_volumes(res);
	queue_own_flush(res);
}

/* --- freeze ------------------------------------------------------------ */

/**
 * reprise_resource_freeze - park I/O that comes from now on
 */
void reprise_resource_freeze(struct reprise_resource *res)
{
	spin_lock_irq(&res->lock);
	res->frozen = true;
	spin_unlock_irq(&res->lock);
}

/* May wait for room, that is, for a peer: not on reprise_wq. */
static void unpark_work(struct work_struct *work)
{
	struct reprise_resource *res = container_of(work, struct reprise_resource, unpark_work);
	struct bio_list bios;
	struct bio *bio;

	bio_list_init(&bios);
	spin_lock_irq(&res->lock);
	if (!res->frozen || res->dead) {
		bio_list_merge(&bios, &res->parked);
		bio_list_init(&res->parked);
	}
	spin_unlock_irq(&res->lock);
	while ((bio = bio_list_pop(&bios)))
		reprise_request_bio(bio->bi_bdev->bd_disk->private_data, bio);
}

/**
 * reprise_resource_resume - let parked I/O go, without lost peers if need be
 */
void reprise_resource_resume(struct reprise_resource *res)
{
	struct reprise_actions act;

	reprise_actions_init(&act);
	spin_lock_irq(&res->lock);
	res->frozen = false;
	reprise_stream_alone(&res->stream, &act);
	spin_unlock_irq(&res->lock);
	reprise_resource_act(res, &act, true);
	queue_work(reprise_slow_wq, &res->unpark_work);
}

/* --- registry ---------------------------------------------------------- */

static void resource_free(struct kref *kref)
{
	struct reprise_resource *res = container_of(kref, struct reprise_resource, kref);

	reprise_stream_exit(&res->stream);
	put_net(res->net);
	kfree(res);
	module_put(THIS_MODULE);
}

void reprise_resource_get(struct reprise_resource *res)
{
	kref_get(&res->kref);
}

void reprise_resource_put(struct reprise_resource *res)
{
	kref_put(&res->kref, resource_free);
}

static struct reprise_resource *find_locked(struct net *net, const char *name)
{
	struct reprise_resource *res;

	lockdep_assert_held(&registry_lock);
	list_for_each_entry(res, &registry, registered)
		if (net_eq(res->net, net) && !strcmp(res->name, name))
			return res;
	return NULL;
}

/**
 * reprise_resource_find - by name, in one network namespace
 * Return: the resource with a reference, or NULL.
 */
struct reprise_resource *reprise_resource_find(struct net *net, const char *name)
{
	struct reprise_resource *res;

	mutex_lock(&registry_lock);
	res = find_locked(net, name);
	if (res)
		reprise_resource_get(res);
	mutex_unlock(&registry_lock);
	return res;
}

/**
 * reprise_resource_nth - walk the resources of one network namespace
 * Return: the resource with a reference, or NULL past the last.
 */
struct reprise_resource *reprise_resource_nth(struct net *net, unsigned int n)
{
	struct reprise_resource *res, *found = NULL;

	mutex_lock(&registry_lock);
	list_for_each_entry(res, &registry, registered) {
		if (!net_eq(res->net, net) || n--)
			continue;
		reprise_resource_get(res);
		found = res;
		break;
	}
	mutex_unlock(&registry_lock);
	return found;
}

struct reprise_peer *reprise_resource_peer(struct reprise_resource *res, u16 node)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_NODES; i++)
		if (res->peers[i].node == node)
			return &res->peers[i];
	return NULL;
}

/* --- start ------------------------------------------------------------- */

static struct reprise_resource *resource_create(struct net *net, const struct reprise_start *start)
{
	struct reprise_resource *res = kzalloc(sizeof(*res), GFP_KERNEL);
	unsigned int i;
	u16 volumes = 0;

	if (!res)
		return NULL;
	kref_init(&res->kref);
	INIT_LIST_HEAD(&res->registered);
	res->net = get_net(net);
	strscpy(res->name, start->name, sizeof(res->name));
	mutex_init(&res->control);
	res->timeout_ms = start->timeout_ms;
	res->queue_bytes = (u64)start->queue_kib << 10;
	spin_lock_init(&res->lock);
	for (i = 0; i < start->nr_volumes; i++)
		volumes |= 1 << start->volumes[i].number;
	reprise_stream_init(&res->stream, &start->origin, start->durability,
			    start->on_peer_loss, start->last_seq, volumes);
	INIT_LIST_HEAD(&res->frames);
	bio_list_init(&res->parked);
	res->frozen = start->frozen;
	init_waitqueue_head(&res->room);
	init_waitqueue_head(&res->progress);
	INIT_LIST_HEAD(&res->to_submit);
	INIT_WORK(&res->submit_work, submit_work);
	INIT_WORK(&res->unpark_work, unpark_work);
	INIT_WORK(&res->event_work, event_work);
	INIT_DELAYED_WORK(&res->flush_work, own_flush_work);
	__module_get(THIS_MODULE);
	return res;
}

static int add_peers(struct reprise_resource *res, const struct reprise_start *start,
		     const char **why)
{
	unsigned int i;
	int err;

	for (i = 0; i < start->nr_peers; i++) {
		err = reprise_stream_add_peer(&res->stream, start->peers[i].node);
		if (err) {
			*why = "a peer is named twice, or there are too many";
			return err;
		}
		res->peers[i].node = start->peers[i].node;
		strscpy(res->peers[i].name, start->peers[i].name, sizeof(res->peers[i].name));
	}
	return 0;
}

static int create_volumes(struct reprise_resource *res, const struct reprise_start *start,
			  const char **why)
{
	unsigned int i;

	for (i = 0; i < start->nr_volumes; i++) {
		struct reprise_volume *volume;

		volume = reprise_volume_create(res, &start->volumes[i], why);
		if (IS_ERR(volume))
			return PTR_ERR(volume);
		res->volumes[volume->number] = volume;
	}
	return 0;
}

static void remove_volumes(struct reprise_resource *res)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_VOLUMES; i++)
		if (res->volumes[i])
			reprise_volume_remove(res->volumes[i]);
}

static void destroy_volumes(struct reprise_resource *res)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		if (res->volumes[i])
			reprise_volume_destroy(res->volumes[i]);
		res->volumes[i] = NULL;
	}
}

/*
 * Nothing that was accepted may complete from here on, and nothing may wait.
 * What was parked has failed at the end, or is counted as in flight.
 */
static void make_dead(struct reprise_resource *res)
{
	spin_lock_irq(&res->lock);
	res->dead = true;
	res->frozen = false;
	spin_unlock_irq(&res->lock);
	wake_up_all(&res->room);
	reprise_resource_resume(res);
	flush_work(&res->unpark_work);
}

static void stop_works(struct reprise_resource *res)
{
	flush_work(&res->unpark_work);
	cancel_delayed_work_sync(&res->flush_work);
	flush_work(&res->submit_work);
	flush_work(&res->event_work);
}

static int add_volumes(struct reprise_resource *res)
{
	unsigned int i;
	int err;

	for (i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		if (!res->volumes[i])
			continue;
		err = reprise_volume_add(res->volumes[i]);
		if (err)
			return err;
	}
	return 0;
}

/**
 * reprise_resource_start - become primary of a resource
 * @start: checked for ranges by the caller
 * @why: set to words for most failures
 *
 * May sleep.  Return: 0 and the devices exist; or a negative errno and
 * nothing remains: -EEXIST (name or minor), what taking the backing devices
 * answered, -ENOMEM.
 */
int reprise_resource_start(struct net *net, const struct reprise_start *start, const char **why)
{
	struct reprise_resource *res = resource_create(net, start);
	int err;

	if (!res)
		return -ENOMEM;
	mutex_lock(&registry_lock);
	if (find_locked(net, start->name)) {
		*why = "a resource of this name is already primary here";
		err = -EEXIST;
	} else {
		list_add_tail(&res->registered, &registry);
		err = 0;
	}
	/* Commands that find it wait for the end of its start. */
	mutex_lock(&res->control);
	mutex_unlock(&registry_lock);
	if (!err)
		err = add_peers(res, start, why);
	if (!err)
		err = create_volumes(res, start, why);
	if (!err)
		err = add_volumes(res);
	if (err)
		goto err_undo;
	queue_own_flush(res);
	mutex_unlock(&res->control);
	reprise_netlink_event(res, REPRISE_EVENT_STARTED, 0, NULL, -1);
	return 0;

err_undo:
	make_dead(res);
	remove_volumes(res);
	stop_works(res);
	destroy_volumes(res);
	mutex_unlock(&res->control);
	mutex_lock(&registry_lock);
	list_del_init(&res->registered);
	mutex_unlock(&registry_lock);
	reprise_resource_put(res);
	return err;
}

/* --- stop -------------------------------------------------------------- */

static void reopen_volumes(struct reprise_resource *res)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_VOLUMES; i++)
		if (res->volumes[i])
			reprise_volume_reopen(res->volumes[i]);
}

static int close_volumes(struct reprise_resource *res, u16 *busy)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(OPENERS_GRACE_MS);
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		if (!res->volumes[i] || !reprise_volume_close(res->volumes[i], deadline))
			continue;
		*busy = i;
		reopen_volumes(res);
		return -EBUSY;
	}
	return 0;
}

/* Every connected peer holds, and has heard that it may apply, everything. */
static bool quiet(struct reprise_resource *res)
{
	struct reprise_stream *s = &res->stream;
	bool is_quiet;

	spin_lock_irq(&res->lock);
	is_quiet = list_empty(&s->ops) && list_empty(&s->flushes) &&
		   bio_list_empty(&res->parked) && s->commit == reprise_stream_last_seq(s) &&
		   (!res->sessions || !reprise_stream_news(s)) && list_empty(&res->frames);
	spin_unlock_irq(&res->lock);
	return is_quiet;
}

static int make_quiet(struct reprise_resource *res, u32 wait_ms, const char **why)
{
	int err = flush_volumes(res);

	if (err) {
		*why = "the backing device failed a flush";
		return err;
	}
	if (!wait_event_timeout(res->progress, quiet(res), msecs_to_jiffies(wait_ms) + 1)) {
		*why = "a peer does not hold everything yet";
		return -ETIMEDOUT;
	}
	return 0;
}

/* Room for the descriptors first: there is no way back once it is stopped. */
static int reserve_fds(struct reprise_resource *res, struct reprise_stopped *stopped,
		       const char **why)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		int fd;

		if (!res->volumes[i])
			continue;
		fd = get_unused_fd_flags(O_CLOEXEC);
		if (fd < 0) {
			*why = "the process has no descriptor left for a backing device";
			return fd;
		}
		stopped->volumes[stopped->nr_volumes].number = i;
		stopped->volumes[stopped->nr_volumes++].fd = fd;
	}
	return 0;
}

static void release_fds(struct reprise_stopped *stopped)
{
	while (stopped->nr_volumes)
		put_unused_fd(stopped->volumes[--stopped->nr_volumes].fd);
}

static void hand_back(struct reprise_resource *res, struct reprise_stopped *stopped)
{
	unsigned int i;

	for (i = 0; i < stopped->nr_volumes; i++) {
		struct reprise_volume *volume = res->volumes[stopped->volumes[i].number];

		stopped->volumes[i].write_errors = atomic64_read(&volume->write_errors);
		fd_install(stopped->volumes[i].fd, get_file(volume->backing_file));
	}
}

static void wait_retired(struct reprise_resource *res)
{
	bool empty;

	for (;;) {
		spin_lock_irq(&res->lock);
		empty = list_empty(&res->stream.ops) && list_empty(&res->stream.flushes);
		spin_unlock_irq(&res->lock);
		if (empty)
			return;
		/* Only the local disk can still owe an answer. */
		wait_event_timeout(res->progress, false, HZ / 50);
	}
}

/**
 * reprise_resource_stop - stop being primary
 * @wait_ms: how long connected peers may take to hold everything
 * @force: fail what is pending with an I/O error; wait for nobody
 * @stopped: the last seq, and a descriptor of the caller for each backing
 *	device; with -EBUSY the volume that is still open
 *
 * May sleep.  Return: 0; -EBUSY, -ETIMEDOUT, -EMFILE (no descriptor left), or
 * what the backing device answered to a flush: then nothing has changed.
 * -ENOENT: somebody else stopped it.
 */
int reprise_resource_stop(struct reprise_resource *res, u32 wait_ms, bool force,
			  struct reprise_stopped *stopped, const char **why)
{
	int err;

	memset(stopped, 0, sizeof(*stopped));
	mutex_lock(&res->control);
	err = res->dead ? -ENOENT : reserve_fds(res, stopped, why);
	if (err)
		goto out;
	if (!force) {
		err = close_volumes(res, &stopped->busy_volume);
		if (err) {
			*why = "the device is open (mounted, or used by a process)";
			goto out;
		}
		err = make_quiet(res, wait_ms, why);
		if (err) {
			reopen_volumes(res);
			goto out;
		}
	}
	if (force)
		make_dead(res);
	reprise_session_detach_all(res, force ? "stopped by force" : "demoted", !force);
	if (force)
		make_dead(res);
	remove_volumes(res);
	wait_retired(res);
	spin_lock_irq(&res->lock);
	res->dead = true;
	stopped->last_seq = reprise_stream_last_seq(&res->stream);
	spin_unlock_irq(&res->lock);
	stop_works(res);
	hand_back(res, stopped);
	destroy_volumes(res);
	mutex_unlock(&res->control);

	mutex_lock(&registry_lock);
	list_del_init(&res->registered);
	mutex_unlock(&registry_lock);
	reprise_netlink_event(res, REPRISE_EVENT_STOPPED, 0, NULL, -1);
	reprise_resource_put(res);
	return 0;
out:
	release_fds(stopped);
	mutex_unlock(&res->control);
	return err;
}

/* --- module ------------------------------------------------------------ */

int reprise_resource_init(void)
{
	reprise_wq = alloc_workqueue("reprise", WQ_MEM_RECLAIM | WQ_HIGHPRI | WQ_UNBOUND, 0);
	if (!reprise_wq)
		return -ENOMEM;
	reprise_slow_wq = alloc_workqueue("reprise_slow", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!reprise_slow_wq) {
		destroy_workqueue(reprise_wq);
		return -ENOMEM;
	}
	return 0;
}

void reprise_resource_exit(void)
{
	destroy_workqueue(reprise_slow_wq);
	destroy_workqueue(reprise_wq);
}
