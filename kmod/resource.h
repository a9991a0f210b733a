/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REPRISE_RESOURCE_H
#define _REPRISE_RESOURCE_H

#include <linux/bio.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>

#include "stream.h"

struct reprise_session;
struct reprise_volume;

/* A peer's part that is not the stream's business. */
struct reprise_peer {
	u16 node;				/* 0: unused */
	char name[REPRISE_NAME_MAX + 1];
	struct reprise_session *session;	/* under resource.lock */
	char reason[128];			/* why the last one ended */
	u64 sent_bytes;
	u64 frames;
};

/**
 * struct reprise_resource - a resource of which this node is primary
 * @control: serialises commands; taken before @lock
 * @lock: the stream, the peers' sessions, @frames, @parked, @to_submit, flags;
 *	taken in interrupt context
 */
struct reprise_resource {
	struct kref kref;
	struct list_head registered;		/* under the registry's mutex */
	struct net *net;
	char name[REPRISE_NAME_MAX + 1];

	struct mutex control;
	u32 timeout_ms;
	u64 queue_bytes;

	spinlock_t lock;
	struct reprise_stream stream;
	struct reprise_peer peers[REPRISE_MAX_NODES];
	struct list_head frames;		/* cut, not yet sent to all */
	unsigned int sessions;			/* that count for new frames */
	struct bio_list parked;
	bool frozen;
	bool dead;				/* everything pending fails */
	bool io_error;				/* an event is owed */

	struct reprise_volume *volumes[REPRISE_MAX_VOLUMES];

	atomic64_t queued;			/* bytes charged */
	wait_queue_head_t room;			/* for @queued to fall */
	wait_queue_head_t progress;		/* watermarks moved: reprise_resource_stop() */

	struct list_head to_submit;
	struct work_struct submit_work;
	struct work_struct unpark_work;
	struct work_struct event_work;
	struct delayed_work flush_work;
};

/* What a start needs; descriptors are of the calling process. */
struct reprise_start_volume {
	u16 number;
	int minor;
	int backing_fd;
	u64 sectors;
	u32 logical_block_bytes;
};

struct reprise_start {
	const char *name;
	struct reprise_origin origin;
	u64 last_seq;
	enum reprise_durability durability;
	enum reprise_on_peer_loss on_peer_loss;
	u32 timeout_ms;
	u32 queue_kib;
	bool frozen;
	unsigned int nr_volumes;
	struct reprise_start_volume volumes[REPRISE_MAX_VOLUMES];
	unsigned int nr_peers;
	struct {
		u16 node;
		char name[REPRISE_NAME_MAX + 1];
	} peers[REPRISE_MAX_NODES];
};

struct reprise_stopped {
	u64 last_seq;
	u16 busy_volume;
	unsigned int nr_volumes;
	struct {
		u16 number;
		int fd;
		u64 write_errors;
	} volumes[REPRISE_MAX_VOLUMES];
};

int reprise_resource_init(void);
void reprise_resource_exit(void);

int reprise_resource_start(struct net *net, const struct reprise_start *start,
			   const char **why);
int reprise_resource_stop(struct reprise_resource *res, u32 wait_ms, bool force,
			  struct reprise_stopped *stopped, const char **why);
struct reprise_resource *reprise_resource_find(struct net *net, const char *name);
struct reprise_resource *reprise_resource_nth(struct net *net, unsigned int n);
void reprise_resource_get(struct reprise_resource *res);
void reprise_resource_put(struct reprise_resource *res);
struct reprise_peer *reprise_resource_peer(struct reprise_resource *res, u16 node);

void reprise_resource_freeze(struct reprise_resource *res);
void reprise_resource_resume(struct reprise_resource *res);
void reprise_resource_act(struct reprise_resource *res, struct reprise_actions *act,
			  bool may_submit);

extern struct workqueue_struct *reprise_wq;
extern struct workqueue_struct *reprise_slow_wq;

#endif /* _REPRISE_RESOURCE_H */
