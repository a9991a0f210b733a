/* SPDX-License-Identifier: GPL-2.0 */
/* Inside the module: what its three parts share.  Names as in kmod/. */
#ifndef SIM_MODULE_IMPL_H
#define SIM_MODULE_IMPL_H

#include "kmod/stream.h"
#include "module.h"

struct session;

struct module_frame {
	struct module_frame *next;	/* module.frames, oldest first */
	unsigned int refs;		/* sessions that have not sent it */
	unsigned int nr_ops;
	struct reprise_op *ops[REPRISE_FRAME_MAX_OPS];
	size_t bytes;
	uint8_t *data;
};

struct module_volume {
	bool used;
	unsigned int number;
	int minor;
	uint64_t sectors;
	uint32_t block_bytes;
	struct disk_file *file;
	uint64_t reads, writes, flushes, io_errors, write_errors;
};

struct module_peer {
	uint16_t node;
	char name[REPRISE_NAME_MAX + 1];
	struct session *session;
	char reason[128];
	uint64_t sent_bytes, frames;
};

/* A bio under way; see struct reprise_request. */
struct request {
	struct module *module;
	struct bio *bio;
	struct module_volume *volume;
	unsigned int charged, refs;
	bool is_flush;
	union {
		struct reprise_op op;
		struct reprise_flush flush;
	};
	struct iovec iov;
	uint8_t *data;			/* the copy */
	bool flushes_first;		/* PREFLUSH: before the local write */
	struct list_head all;		/* module.requests */
	struct disk_io *io;
};

struct module {
	struct module_host host;
	bool running, frozen, dead, open;
	char name[REPRISE_NAME_MAX + 1];
	uint32_t timeout_ms;
	uint64_t queue_bytes, queued;
	struct reprise_stream stream;
	struct module_peer peers[REPRISE_MAX_NODES];
	struct module_frame *frames, **frames_end;
	unsigned int sessions;
	struct bio *parked, **parked_end;
	struct bio *waiting, **waiting_end;	/* for room */
	struct module_volume volumes[REPRISE_MAX_VOLUMES];
	struct list_head requests;
	struct event flush_work, unpark_work, room_work;
	char error[128];
};

/* module.c */
struct module_peer *module_peer(struct module *module, uint16_t node);
void module_act(struct module *module, struct reprise_actions *act);
void module_event(struct module *module, enum reprise_event event, unsigned int node,
		  const char *reason, int volume);
void module_io_error(struct module *module, struct module_volume *volume, bool is_write);

/* module_request.c */
void request_bio(struct module *module, struct bio *bio);
void request_submit_local(struct request *request);
void request_complete(struct request *request);
void request_retire(struct request *request);
void request_put(struct request *request);
void request_uncharge(struct module *module, unsigned int bytes);
static inline struct request *request_of(struct reprise_op *op)
{
	return sim_container(op, struct request, op);
}

/* module_session.c */
int session_attach(struct module *module, uint16_t node, struct net_end *end, uint64_t id,
		   const uint8_t *timeline_id, uint64_t position, uint64_t *s0);
void session_detach(struct module *module, uint16_t node, const char *reason, bool orderly);
void session_wake_all(struct module *module);
/* The machine is gone. */
void session_forget_all(struct module *module);
uint32_t module_crc(const void *data, unsigned int bytes);

#endif /* SIM_MODULE_IMPL_H */
