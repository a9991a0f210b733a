/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What was submitted, completed and promised: the oracle.  It watches the
 * devices from above (the load), and the modules' dealings with their peers
 * from aside, and shares no code with either.
 *
 * The one idea: every write has a version, a number that its sectors carry;
 * so the content of a sector names the write that it came from.  A timeline
 * is the versions that it began with and its operations in the order of their
 * seqs; what any copy must hold follows from that.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "agent/nl.h"
#include "disk.h"
#include "net.h"

enum {
	MODEL_MAX_VOLUMES = 2,
	MODEL_MAX_SECTORS = 1024,
	MODEL_MAX_SEGMENTS = 16,
	MODEL_MAX_TIMELINES = 64,
	MODEL_UNKNOWN = 0xffffffff,	/* not a version: damaged content */
};

struct bio;
struct model;

/* Where a node keeps its copy. */
struct model_copy {
	struct disk *volumes[MODEL_MAX_VOLUMES];
	struct disk *segments[MODEL_MAX_SEGMENTS];
	unsigned int nr_volumes, nr_segments;
	uint64_t sectors;			/* of a volume */
	bool media_fault;			/* a disk did what disks must not do */
};

struct model_op {
	uint32_t version;		/* 0: zeroes */
	uint16_t volume;
	bool zeroes, fua, done;
	bool failed;			/* the load knows */
	uint64_t unsure;		/* among completions: a flush of it failed; 0: none */
	uint64_t done_order;		/* among completions */
	uint64_t sector;
	uint32_t sectors;
};

struct model_timeline {
	uint8_t id[16];
	uint64_t generation, fork_seq;
	unsigned int kind;
	int node;			/* primary of it; -1: nobody */
	bool running, forced;
	struct model_timeline *parent;
	enum reprise_durability durability;
	enum reprise_on_peer_loss on_peer_loss;
	uint32_t *base[MODEL_MAX_VOLUMES];	/* versions at fork_seq, as read */
	uint32_t *platter[MODEL_MAX_VOLUMES];	/* ... that a power cut would have left then */
	uint64_t *completed[MODEL_MAX_VOLUMES];	/* per sector: highest completed seq, or 0 */
	struct model_op *ops;
	uint64_t nr_ops, room;
	uint64_t next_cut;		/* the seq that the next frame begins with */
	uint64_t promise;		/* seq that must survive any unforced promotion */
	uint64_t commit;		/* the highest that a frame carried */
	uint64_t may_commit;
	uint64_t flushed;		/* the highest that a frame carried */
	uint64_t flush_order[MODEL_MAX_VOLUMES];	/* completions that a flush has covered */
	uint64_t disk_order[MODEL_MAX_VOLUMES];		/* ... of the disk, told or not */
	bool async_ever, io_error;
	uint64_t excused;		/* submitted before the mode was last changed */
	uint64_t waived;		/* a forced promotion left out what is beyond */
	struct {
		bool live, held;	/* required */
		bool agreed;		/* held the same when this began, nothing being wrong */
		uint64_t acked, promise;
	} peers[NET_MAX_HOSTS];
};

struct model *model_create(struct world *world, unsigned int nodes);
void model_destroy(struct model *model);
struct model_copy *model_copy(struct model *model, unsigned int node);
/* New copies, all zeros: what was promised before is history. */
void model_begin_round(struct model *model);
/*
 * A promotion was asked for; @first: of those that are waiting there, @force:
 * one of them with --force.
 */
void model_promoting(struct model *model, unsigned int node, bool first, bool force);

/* Both say that they hold the same, and faults have stopped: one is mirrored to by the other. */
void model_agreed(struct model *model, unsigned int a, unsigned int b);

/* --- from the module ---------------------------------------------------- */
void model_started(struct model *model, unsigned int node, const struct nl_resource *res);
void model_stopped(struct model *model, unsigned int node, uint64_t seq, bool force);
void model_crashed(struct model *model, unsigned int node);
void model_set(struct model *model, unsigned int node, enum reprise_durability durability,
	       enum reprise_on_peer_loss on_peer_loss);
void model_stamped(struct model *model, unsigned int node, struct bio *bio, uint64_t seq);
/* The local copy of @seq could not be written. */
void model_local_error(struct model *model, unsigned int node, uint64_t seq);
/* A flush goes to a primary's disk; to be kept until it has ended there. */
uint64_t model_disk_flush(struct model *model);
void model_disk_flushed(struct model *model, unsigned int node, unsigned int volume,
			uint64_t order, bool failed);
void model_attached(struct model *model, unsigned int node, unsigned int peer_id,
		    uint64_t position);
void model_lost(struct model *model, unsigned int node, unsigned int peer_id);
void model_alone(struct model *model, unsigned int node);
void model_acked(struct model *model, unsigned int node, unsigned int peer_id, uint64_t durable,
		 uint64_t applied);
void model_cut(struct model *model, unsigned int node, uint64_t first_seq, unsigned int nr_ops,
	       uint64_t commit, uint64_t flushed);

/* --- from the load ------------------------------------------------------ */
struct model_read {
	uint64_t low[32];		/* per sector: what it must not be older than */
	struct model_timeline *timeline;
};
/* Was another timeline opened that is not older? */
bool model_is_superseded(struct model *model, const struct model_timeline *tl);
uint32_t model_new_version(struct model *model);
/* The timeline of which @node is primary now, NULL: none. */
struct model_timeline *model_running(struct model *model, unsigned int node);
void model_write_done(struct model *model, struct model_timeline *tl, const struct bio *bio,
		      int error);
struct model_flush {
	struct model_timeline *timeline;
	uint64_t seq, order;
};
void model_flush_begin(struct model *model, unsigned int node, struct model_flush *flush);
void model_flush_done(struct model *model, const struct model_flush *flush, const struct bio *bio,
		      int error);
void model_read_begin(struct model *model, unsigned int node, const struct bio *bio,
		      struct model_read *read);
void model_read_done(struct model *model, const struct model_read *read, const struct bio *bio,
		     int error);

/* --- content ------------------------------------------------------------ */
void model_fill(uint32_t version, unsigned int volume, uint64_t sector, void *buf);
uint32_t model_version(unsigned int volume, uint64_t sector, const void *buf);
struct model_timeline *model_find(struct model *model, const uint8_t id[16]);
uint64_t model_last(const struct model_timeline *tl);
const struct model_op *model_op_at(const struct model_timeline *tl, uint64_t seq);
/* Versions of all sectors of a volume at @seq. */
void model_content(const struct model_timeline *tl, unsigned int volume, uint64_t sectors,
		   uint64_t seq, uint32_t *versions);
struct world *model_world(struct model *model);
const char *model_node_name(unsigned int node);

#endif /* SIM_MODEL_H */
