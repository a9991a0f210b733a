/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel module of one machine, as far as it is not pure: kmod/stream.c,
 * frame.c and dirty.c run as they are, and what kmod/resource.c, request.c
 * and session.c do around them is mirrored in module.c, module_request.c and
 * module_session.c, function by function.  It lives as long as the machine
 * does, whatever happens to the agent.
 */
#ifndef SIM_MODULE_H
#define SIM_MODULE_H

#include "agent/kernel.h"
#include "disk.h"
#include "net.h"
#include "process.h"

struct model;
struct module;

enum bio_op { BIO_READ, BIO_WRITE, BIO_ZEROES, BIO_FLUSH };

/* One request from above, the submitter's until @done. */
struct bio {
	enum bio_op op;
	bool fua, unmap;
	unsigned int volume;
	uint64_t sector;
	uint32_t sectors;
	uint8_t *data;
	uint32_t version;		/* WRITE: names its content, see model.h */
	uint64_t seq;			/* as stamped, 0: not yet */
	uint64_t order;			/* of its flush, see model_disk_flush() */
	void (*done)(struct bio *bio, int error);
	void *ctx;
	struct bio *next;		/* the module's, while it waits */
};

struct module_host {
	struct world *world;
	struct net *net;
	unsigned int number;
	const char *name;
	struct model *model;
	uint64_t (*realtime_ns)(void *ctx);
	/* An event for whoever listens to netlink now. */
	void (*event)(void *ctx, const struct nl_event *event);
	/* The disk at a path, for peek. */
	struct disk *(*find_disk)(void *ctx, const char *path);
	/* The process that calls, NULL: none. */
	struct process *(*caller)(void *ctx);
	void *ctx;
};

struct module *module_create(const struct module_host *host);
/* The machine is gone: no bio ends any more. */
void module_destroy(struct module *module);
/* agent/kernel.h on it. */
struct kernel module_kernel(struct module *module);

/* Is there a device of this volume?  Then @bio is taken. */
bool module_submit(struct module *module, struct bio *bio);
/* Somebody has the device open. */
void module_set_open(struct module *module, bool open);
/* The resource's state; false: not primary. */
bool module_state(struct module *module, struct nl_resource *state);
bool module_running(const struct module *module);

/* In millionths, of the dirty map's allocations in every module. */
extern uint32_t module_no_memory_ppm;

#endif /* SIM_MODULE_H */
