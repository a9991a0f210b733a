/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REPRISE_REQUEST_H
#define _REPRISE_REQUEST_H

#include <linux/bio.h>
#include "volume.h"

/**
 * struct reprise_request - one write, zeroing, flush or read under way
 * @orig: the bio that came from above, ended when the request completes
 * @local: the bio to the backing device; for a write it carries our copy of
 *	the payload, which the frames are sent from, so it lives as long as
 *	the request.  Allocated in one piece with it (the bioset's front pad).
 * @refs: a write: one until it completed, one until it retired, one for each
 *	frame it is in.  Others: one.
 */
struct reprise_request {
	struct reprise_volume *volume;
	struct bio *orig;
	unsigned long start_acct;
	u64 start_ns;
	unsigned int charged;
	refcount_t refs;
	bool by_hand;			/* zeroes have to be written by a worker */
	union {
		struct reprise_op op;
		struct reprise_flush flush;
	};
	struct bio local;		/* last: has its vectors behind it */
};

int reprise_request_init(void);
void reprise_request_exit(void);

void reprise_request_bio(struct reprise_volume *volume, struct bio *bio);
void reprise_request_submit_local(struct reprise_request *req);
void reprise_request_complete(struct reprise_request *req);
void reprise_request_flushed(struct reprise_request *req);
void reprise_request_retire(struct reprise_request *req);
void reprise_request_put(struct reprise_request *req);

static inline struct reprise_request *reprise_request_of(struct reprise_op *op)
{
	return container_of(op, struct reprise_request, op);
}

#endif /* _REPRISE_REQUEST_H */
