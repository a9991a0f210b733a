// SPDX-License-Identifier: GPL-2.0
/*
 * The stand-in kernel: one resource, frames of one write each, no queue.  A
 * peer that is not attached when something is written is behind from then on.
 */
#include "env_kernel.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/crc32c.h"

struct ek_peer {
	int fd;			/* -1: no session */
	uint64_t session;
	uint8_t in[sizeof(struct reprise_ack)];
	size_t have;
};

struct env_kernel {
	bool running;
	bool open;
	int start_error, set_error;
	bool spoil_stop;
	unsigned int starts;
	struct nl_resource res;
	struct ek_peer peers[REPRISE_MAX_NODES];
	char error[128];
};

struct env_kernel *env_kernel_create(void)
{
	struct env_kernel *ek = calloc(1, sizeof(*ek));

	assert(ek);
	return ek;
}

void env_kernel_destroy(struct env_kernel *ek)
{
	env_kernel_crash(ek);
	free(ek);
}

static void lose(struct env_kernel *ek, unsigned int i, const char *reason)
{
	struct nl_peer *peer = &ek->res.peers[i];

	if (ek->peers[i].fd < 0)
		return;
	close(ek->peers[i].fd);
	ek->peers[i].fd = -1;
	peer->state = peer->durable == ek->res.seq ? REPRISE_PEER_ABSENT : REPRISE_PEER_BEHIND;
	snprintf(peer->reason, sizeof(peer->reason), "%s", reason);
	if (ek->res.on_peer_loss != REPRISE_ON_PEER_LOSS_ALONE)
		ek->res.frozen = true;
}

void env_kernel_crash(struct env_kernel *ek)
{
	if (!ek->running)
		return;
	for (unsigned int i = 0; i < ek->res.nr_peers; i++)
		lose(ek, i, "crash");
	for (unsigned int i = 0; i < ek->res.nr_volumes; i++)
		close(ek->res.volumes[i].backing_fd);
	ek->running = false;
}

static int fail(struct env_kernel *ek, int error, const char *text)
{
	snprintf(ek->error, sizeof(ek->error), "%s", text);
	return error;
}

/* Other members take the state as it would come over netlink: without descriptors. */
static void copy_state(const struct env_kernel *ek, struct nl_resource *res)
{
	*res = ek->res;
	for (unsigned int i = 0; i < res->nr_volumes; i++)
		res->volumes[i].backing_fd = -1;
}

static int ek_list(void *ctx, struct nl_resource **list, size_t *count)
{
	struct env_kernel *ek = ctx;

	*count = ek->running;
	*list = malloc(sizeof(**list));
	assert(*list);
	copy_state(ek, *list);
	return 0;
}

static int ek_get(void *ctx, const char *name, struct nl_resource *res)
{
	struct env_kernel *ek = ctx;

	if (!ek->running || strcmp(name, ek->res.name))
		return fail(ek, -ENOENT, "no such resource");
	copy_state(ek, res);
	return 0;
}

static int ek_start(void *ctx, const struct nl_resource *res)
{
	struct env_kernel *ek = ctx;

	if (ek->start_error) {
		int err = ek->start_error;

		ek->start_error = 0;
		return fail(ek, err, "the test says no");
	}
	assert(!ek->running && res->frozen && res->nr_volumes >= 1);
	ek->running = true;
	ek->starts++;
	ek->res = *res;
	ek->res.commit = ek->res.flushed = res->seq;
	for (unsigned int i = 0; i < res->nr_volumes; i++) {
		ek->res.volumes[i].backing_fd = dup(res->volumes[i].backing_fd);
		assert(ek->res.volumes[i].backing_fd >= 0);
	}
	for (unsigned int i = 0; i < res->nr_peers; i++) {
		ek->peers[i].fd = -1;
		ek->res.peers[i].state = REPRISE_PEER_ABSENT;
		ek->res.peers[i].durable = res->seq;
	}
	return 0;
}

static int ek_set(void *ctx, const struct nl_resource *res)
{
	struct env_kernel *ek = ctx;
	int err = ek->set_error;

	ek->set_error = 0;
	if (err)
		return fail(ek, err, "the test says no");
	ek->res.durability = res->durability;
	ek->res.on_peer_loss = res->on_peer_loss;
	return 0;
}

static int find_peer(const struct env_kernel *ek, unsigned int node)
{
	for (unsigned int i = 0; i < ek->res.nr_peers; i++) {
		if (ek->res.peers[i].node == node)
			return i;
	}
	return -1;
}

static void fill_head(const struct env_kernel *ek, struct reprise_frame_head *head,
		      unsigned int nr_ops, uint32_t payload)
{
	memset(head, 0, sizeof(*head));
	head->magic = htole32(REPRISE_FRAME_MAGIC);
	head->version = htole16(REPRISE_FRAME_VERSION);
	head->head_bytes = htole16(REPRISE_FRAME_HEAD_BYTES);
	head->frame_bytes = htole32(REPRISE_FRAME_HEAD_BYTES + payload);
	head->nr_ops = htole16(nr_ops);
	head->origin = htole16(ek->res.node);
	memcpy(head->resource_id, ek->res.id, REPRISE_ID_BYTES);
	memcpy(head->timeline_id, ek->res.timeline_id, REPRISE_ID_BYTES);
	head->generation = htole64(ek->res.generation);
	head->first_seq = htole64(nr_ops ? ek->res.seq : ek->res.seq + 1);
	head->commit = htole64(ek->res.commit);
	head->flushed = htole64(ek->res.flushed);
}

static void seal(struct reprise_frame_head *head)
{
	head->head_crc = 0;
	head->head_crc = htole32(crc32c(head, sizeof(*head)));
}

static void send_all(struct env_kernel *ek, const void *frame, size_t bytes)
{
	for (unsigned int i = 0; i < ek->res.nr_peers; i++) {
		if (ek->peers[i].fd < 0)
			continue;
		if (send(ek->peers[i].fd, frame, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
			lose(ek, i, "sending failed");
	}
}

static void send_empty(struct env_kernel *ek)
{
	struct reprise_frame_head head;

	ek->res.commit = ek->res.flushed = ek->res.seq;
	fill_head(ek, &head, 0, 0);
	seal(&head);
	send_all(ek, &head, sizeof(head));
}

int env_kernel_write(struct env_kernel *ek, uint64_t sector, uint8_t fill)
{
	struct {
		struct reprise_frame_head head;
		uint8_t data[512];
	} __attribute__((aligned(4096))) frame;
	uint8_t block[4096] __attribute__((aligned(4096)));

	if (!ek->running)
		return -ENODEV;
	if (ek->res.frozen)
		return -EAGAIN;
	ek->res.seq++;
	memset(frame.data, fill, sizeof(frame.data));
	fill_head(ek, &frame.head, 1, sizeof(frame.data));
	frame.head.ops[0] = (struct reprise_op_desc){
		.sector = htole64(sector),
		.sectors = htole32(1),
		.crc = htole32(crc32c(frame.data, sizeof(frame.data))),
		.op = REPRISE_OP_WRITE,
	};
	seal(&frame.head);
	memcpy(block, frame.data, 512);
	if (pwrite(ek->res.volumes[0].backing_fd, block, 512, sector * 512) != 512)
		return -EIO;
	send_all(ek, &frame, sizeof(frame.head) + sizeof(frame.data));
	for (unsigned int i = 0; i < ek->res.nr_peers; i++) {
		if (ek->peers[i].fd < 0) {
			ek->res.peers[i].state = REPRISE_PEER_BEHIND;
			ek->res.peers[i].dirty_blocks++;
		}
	}
	return 0;
}

/* -1: the session is over. */
static int take_acks(struct env_kernel *ek, unsigned int i)
{
	struct ek_peer *p = &ek->peers[i];
	struct nl_peer *peer = &ek->res.peers[i];
	struct reprise_ack ack;

	for (;;) {
		ssize_t got = recv(p->fd, p->in + p->have, sizeof(p->in) - p->have, MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (got <= 0)
			return -1;
		p->have += got;
		if (p->have < sizeof(p->in))
			continue;
		p->have = 0;
		memcpy(&ack, p->in, sizeof(ack));
		assert(le32toh(ack.magic) == REPRISE_ACK_MAGIC);
		assert(le64toh(ack.session) == p->session);
		peer->received = le64toh(ack.received);
		peer->durable = le64toh(ack.durable);
		peer->applied = le64toh(ack.applied);
		assert(peer->applied <= peer->durable && peer->durable <= peer->received);
		assert(peer->received <= ek->res.seq);
	}
}

static void tell_lost(struct env_kernel *ek, unsigned int i,
		      void (*event)(void *ctx, const struct nl_event *event), void *ctx)
{
	struct nl_event ev = { .event = REPRISE_EVENT_PEER_LOST, .peer = ek->res.peers[i].node };

	lose(ek, i, "the connection ended");
	snprintf(ev.resource, sizeof(ev.resource), "%s", ek->res.name);
	snprintf(ev.reason, sizeof(ev.reason), "the connection ended");
	event(ctx, &ev);
}

void env_kernel_poll(struct env_kernel *ek,
		     void (*event)(void *ctx, const struct nl_event *event), void *ctx)
{
	for (unsigned int i = 0; ek->running && i < ek->res.nr_peers; i++) {
		if (ek->peers[i].fd >= 0 && take_acks(ek, i))
			tell_lost(ek, i, event, ctx);
	}
}

bool env_kernel_synced(const struct env_kernel *ek)
{
	for (unsigned int i = 0; i < ek->res.nr_peers; i++) {
		if (ek->peers[i].fd >= 0 && ek->res.peers[i].durable != ek->res.seq)
			return false;
	}
	return true;
}

static int ek_stop(void *ctx, const char *name, uint32_t wait_ms, bool force,
		   struct nl_resource *res, uint64_t *seq)
{
	struct env_kernel *ek = ctx;

	(void)wait_ms;
	if (!ek->running || strcmp(name, ek->res.name))
		return fail(ek, -ENOENT, "no such resource");
	if (ek->open && !force)
		return fail(ek, -EBUSY, "volume 0 (/dev/reprise0) is open");
	for (unsigned int i = 0; i < ek->res.nr_peers; i++) {
		if (ek->peers[i].fd >= 0)
			take_acks(ek, i);
	}
	if (!env_kernel_synced(ek) && !force)
		return fail(ek, -ETIMEDOUT, "a peer does not hold everything yet");
	send_empty(ek);
	*res = ek->res;
	*seq = ek->res.seq;
	for (unsigned int i = 0; i < res->nr_volumes; i++)
		res->volumes[i].backing_fd = ek->spoil_stop ? open("/dev/null", O_RDWR) :
					     dup(ek->res.volumes[i].backing_fd);
	ek->spoil_stop = false;
	env_kernel_crash(ek);
	return 0;
}

static int ek_attach(void *ctx, const char *name, unsigned int node, int socket_fd,
		     uint64_t session, const uint8_t timeline_id[REPRISE_ID_BYTES],
		     uint64_t position, uint64_t *s0)
{
	struct env_kernel *ek = ctx;
	int i = find_peer(ek, node);

	if (!ek->running || strcmp(name, ek->res.name) || i < 0)
		return fail(ek, -ENOENT, "no such resource or peer");
	lose(ek, i, "replaced");
	if (memcmp(timeline_id, ek->res.timeline_id, REPRISE_ID_BYTES))
		return fail(ek, -ESTALE, "another timeline");
	if (position > ek->res.seq)
		return fail(ek, -ERANGE, "it claims more than there is");
	if (position < ek->res.seq)
		return fail(ek, -EUCLEAN, "it lacks writes that are no longer held");
	ek->peers[i] = (struct ek_peer){ .fd = dup(socket_fd), .session = session };
	ek->res.peers[i].state = REPRISE_PEER_CONNECTED;
	ek->res.peers[i].durable = ek->res.peers[i].received = position;
	ek->res.peers[i].dirty_blocks = 0;
	*s0 = ek->res.seq + 1;
	return 0;
}

static int ek_detach(void *ctx, const char *name, unsigned int node)
{
	struct env_kernel *ek = ctx;
	int i = find_peer(ek, node);

	if (!ek->running || strcmp(name, ek->res.name) || i < 0)
		return -ENOENT;
	lose(ek, i, "detached");
	return 0;
}

static int ek_freeze(void *ctx, const char *name)
{
	struct env_kernel *ek = ctx;

	(void)name;
	ek->res.frozen = true;
	return 0;
}

static int ek_resume(void *ctx, const char *name)
{
	struct env_kernel *ek = ctx;

	(void)name;
	ek->res.frozen = false;
	return 0;
}

static const char *ek_error(void *ctx)
{
	struct env_kernel *ek = ctx;

	return ek->error;
}

static int ek_peek(void *ctx, const char *path, struct meta *meta, struct meta_volume *volume,
		   const char **why)
{
	struct env_kernel *ek = ctx;
	off_t bytes = lseek(ek->res.volumes[0].backing_fd, 0, SEEK_END);
	char *copies = aligned_alloc(4096, 2 * REPRISE_META_RECORD_BYTES);
	int err;

	(void)path;
	assert(copies);
	for (unsigned int i = 0; i < 2; i++)
		assert(pread(ek->res.volumes[0].backing_fd, copies + i * REPRISE_META_RECORD_BYTES,
			     REPRISE_META_RECORD_BYTES, meta_copy_offset(bytes, i)) > 0);
	err = meta_choose(copies, copies + REPRISE_META_RECORD_BYTES, meta, volume, why);
	free(copies);
	return err;
}

struct kernel env_kernel_ops(struct env_kernel *ek)
{
	static const struct kernel_ops ops = {
		.list = ek_list,
		.get = ek_get,
		.start = ek_start,
		.set = ek_set,
		.stop = ek_stop,
		.attach = ek_attach,
		.detach = ek_detach,
		.freeze = ek_freeze,
		.resume = ek_resume,
		.error = ek_error,
		.peek = ek_peek,
	};

	return (struct kernel){ .ops = &ops, .ctx = ek };
}

const struct nl_resource *env_kernel_state(const struct env_kernel *ek)
{
	return ek->running ? &ek->res : NULL;
}

unsigned int env_kernel_attached(const struct env_kernel *ek)
{
	unsigned int count = 0;

	for (unsigned int i = 0; ek->running && i < ek->res.nr_peers; i++)
		count += ek->peers[i].fd >= 0;
	return count;
}

void env_kernel_fail_start(struct env_kernel *ek, int error)
{
	ek->start_error = error;
}

void env_kernel_fail_set(struct env_kernel *ek, int error)
{
	ek->set_error = error;
}

void env_kernel_set_write_errors(struct env_kernel *ek, uint64_t count)
{
	ek->res.volumes[0].io_errors = ek->res.volumes[0].write_errors = count;
}

void env_kernel_spoil_stop(struct env_kernel *ek)
{
	ek->spoil_stop = true;
}

void env_kernel_set_open(struct env_kernel *ek, bool open)
{
	ek->open = open;
}

unsigned int env_kernel_starts(const struct env_kernel *ek)
{
	return ek->starts;
}
