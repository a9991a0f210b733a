// SPDX-License-Identifier: GPL-2.0
/*
 * The life of one request: a bio from above is copied (with its checksum,
 * once), charged, stamped, written locally, and ended when the stream says so.
 *
 * Waiting: only for room (reprise_request_bio(), before anything is queued).
 * Room is given back when operations retire, which needs the local disk and
 * the connected peers; a peer without progress is lost after timeout, so the
 * wait is bounded.  Pages: a fallback reserve is shared by all, entered by one
 * copier at a time, and refilled by the same retirements.
 */
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/mempool.h>
#include <linux/module.h>

#include "checksum.h"
#include "compat.h"
#include "request.h"
#include "session.h"
#include "trace.h"

enum {
	CHUNK_ORDER = 4,		/* payload buffers of 64 KiB where they can be had */
	RESERVE_PAGES = BIO_MAX_VECS,	/* enough for one largest write */
	BIO_RESERVE = 64,
};

static struct bio_set write_bios;
static struct bio_set read_bios;
static mempool_t page_reserve;
static DEFINE_MUTEX(page_reserve_lock);

/* --- payload ----------------------------------------------------------- */

static void payload_free(struct bio *bio)
{
	unsigned int i;

	for (i = 0; i < bio->bi_vcnt; i++) {
		struct page *page = bio->bi_io_vec[i].bv_page;

		/* TCP may hold a page still: then it must not be used again. */
		if (PageCompound(page) || page_count(page) > 1)
			put_page(page);
		else
			mempool_free(page, &page_reserve);
	}
	bio->bi_vcnt = 0;
}

static struct page *chunk_alloc(unsigned int bytes, unsigned int *chunk_bytes)
{
	unsigned int order = min_t(unsigned int, CHUNK_ORDER, get_order(bytes));
	struct page *page;

	for (;;) {
		gfp_t gfp = GFP_NOIO | __GFP_NOWARN | __GFP_NORETRY;

		page = alloc_pages(order ? gfp | __GFP_COMP : gfp, order);
		if (page || !order)
			break;
		order = order > 2 ? 2 : 0;
	}
	*chunk_bytes = PAGE_SIZE << order;
	return page;
}

/* Fill the bio with buffers for @bytes.  May sleep, cannot fail. */
static void payload_alloc(struct bio *bio, unsigned int bytes)
{
	bool reserve = false;

	while (bytes) {
		unsigned int chunk;
		struct page *page = reserve ? NULL : chunk_alloc(bytes, &chunk);

		if (!page) {
			/* One at a time: two that each held half would wait for ever. */
			if (!reserve)
				mutex_lock(&page_reserve_lock);
			reserve = true;
			page = mempool_alloc(&page_reserve, GFP_NOIO);
			chunk = PAGE_SIZE;
		}
		chunk = min(chunk, bytes);
		__bio_add_page(bio, page, chunk, 0);
		bytes -= chunk;
	}
	if (reserve)
		mutex_unlock(&page_reserve_lock);
}

/* Copy the payload of @src into @dst's buffers; the checksum is of the copy. */
static u32 payload_copy(struct bio *dst, struct bio *src)
{
	struct bvec_iter from = src->bi_iter;
	u32 crc = ~0;
	unsigned int i;

	for (i = 0; i < dst->bi_vcnt; i++) {
		struct bio_vec *to = &dst->bi_io_vec[i];
		char *buf = page_address(to->bv_page);
		unsigned int filled = 0;

		while (filled < to->bv_len) {
			struct bio_vec bv = bio_iter_iovec(src, from);
			unsigned int n = min(bv.bv_len, to->bv_len - filled);

			memcpy_from_page(buf + filled, bv.bv_page, bv.bv_offset, n);
			bio_advance_iter_single(src, &from, n);
			filled += n;
		}
		crc = reprise_crc_update(crc, buf, to->bv_len);
	}
	return ~crc;
}

/* --- room -------------------------------------------------------------- */

/*
 * Never charges what it does not keep: two that wait would see each other's
 * attempt, take it for a full queue, and sleep with nobody left to wake them.
 */
static bool try_charge(struct reprise_resource *res, unsigned int bytes)
{
	s64 queued = atomic64_read(&res->queued);

	do {
		/* One request always fits, however large. */
		if (queued && queued + bytes > READ_ONCE(res->queue_bytes) &&
		    !READ_ONCE(res->dead))
			return false;
	} while (!atomic64_try_cmpxchg(&res->queued, &queued, queued + bytes));
	return true;
}

static void uncharge(struct reprise_resource *res, unsigned int bytes)
{
	atomic64_sub(bytes, &res->queued);
	if (wq_has_sleeper(&res->room))
		wake_up_all(&res->room);
}

/* Returns false if the bio would have to wait and must not. */
static bool charge(struct reprise_resource *res, struct bio *bio, unsigned int bytes)
{
	if (try_charge(res, bytes))
		return true;
	if (bio->bi_opf & REQ_NOWAIT)
		return false;
	/* What waits to be sent must not wait for the one who waits. */
	reprise_session_wake_all(res);
	wait_event(res->room, try_charge(res, bytes));
	return true;
}

/* --- ends -------------------------------------------------------------- */

void reprise_request_put(struct reprise_request *req)
{
	struct reprise_volume *volume = req->volume;

	if (!refcount_dec_and_test(&req->refs))
		return;
	payload_free(&req->local);
	bio_put(&req->local);
	reprise_volume_put_io(volume);
}

static void count_latency(struct reprise_volume *volume, u64 start_ns)
{
	u64 us = (ktime_get_ns() - start_ns) / NSEC_PER_USEC;
	unsigned int bucket = min_t(unsigned int, fls64(us), REPRISE_HIST_BUCKETS - 1);

	atomic64_inc(&volume->latency[bucket]);
}

static void end_orig(struct reprise_request *req, int error)
{
	struct bio *orig = req->orig;

	if (READ_ONCE(req->volume->res->dead))
		error = -EIO;
	count_latency(req->volume, req->start_ns);
	bio_end_io_acct(orig, req->start_acct);
	if (error)
		orig->bi_status = errno_to_blk_status(error);
	bio_endio(orig);
}

/* The stream says that the write may complete. */
void reprise_request_complete(struct reprise_request *req)
{
	trace_reprise_complete(req->volume->res->name, req->op.seq, req->op.volume, req->op.type,
			       req->op.sector, req->op.sectors);
	end_orig(req, req->op.error);
	reprise_request_put(req);
}

/* The stream says that the flush may complete. */
void reprise_request_flushed(struct reprise_request *req)
{
	end_orig(req, req->flush.error);
	reprise_request_put(req);
}

/* The stream has forgotten the operation. */
void reprise_request_retire(struct reprise_request *req)
{
	uncharge(req->volume->res, req->charged);
	reprise_request_put(req);
}

/* --- writes ------------------------------------------------------------ */

static void local_done(struct reprise_request *req, int error)
{
	struct reprise_volume *volume = req->volume;
	struct reprise_resource *res = volume->res;
	struct reprise_actions act;
	unsigned long flags;

	if (error)
		reprise_volume_io_error(volume, true);
	trace_reprise_local_done(res->name, req->op.seq, req->op.volume, req->op.type,
				 req->op.sector, req->op.sectors);
	reprise_actions_init(&act);
	spin_lock_irqsave(&res->lock, flags);
	reprise_stream_local_done(&res->stream, &req->op, error, &act);
	spin_unlock_irqrestore(&res->lock, flags);
	reprise_resource_act(res, &act, false);
}

static void zero_by_hand(struct reprise_request *req)
{
	struct reprise_resource *res = req->volume->res;
	unsigned long flags;

	req->by_hand = true;
	spin_lock_irqsave(&res->lock, flags);
	list_add_tail(&req->op.submit_link, &res->to_submit);
	spin_unlock_irqrestore(&res->lock, flags);
	queue_work(reprise_wq, &res->submit_work);
}

/*
 * Once the stream knows, others may end the request, and a stop may find the
 * volume idle and free the resource: held until everything decided is done.
 */
static void write_end_io(struct bio *bio)
{
	struct reprise_request *req = container_of(bio, struct reprise_request, local);
	struct reprise_volume *volume = req->volume;

	reprise_volume_get_io(volume);
	/* Some devices find out only now that they cannot; the peers have zeroed. */
	if (bio->bi_status == BLK_STS_NOTSUPP && req->op.type == REPRISE_OP_WRITE_ZEROES)
		zero_by_hand(req);
	else
		local_done(req, blk_status_to_errno(bio->bi_status));
	reprise_volume_put_io(volume);
}

/* Process context; the op is not blocked by another one. */
void reprise_request_submit_local(struct reprise_request *req)
{
	if (req->by_hand)
		local_done(req, blkdev_issue_zeroout(req->volume->backing, req->op.sector,
						     req->op.sectors, GFP_NOIO, 0));
	else
		submit_bio_noacct(&req->local);
}

static struct reprise_request *request_alloc(struct reprise_volume *volume, struct bio *orig,
					     unsigned short vecs, blk_opf_t opf)
{
	struct bio *bio = bio_alloc_bioset(volume->backing, vecs, opf, GFP_NOIO, &write_bios);
	struct reprise_request *req = container_of(bio, struct reprise_request, local);

	req->volume = volume;
	req->orig = orig;
	req->charged = 0;
	req->by_hand = false;
	bio_clone_blkg_association(bio, orig);
	reprise_volume_get_io(volume);
	return req;
}

static void start_orig(struct reprise_request *req)
{
	req->start_ns = ktime_get_ns();
	req->start_acct = bio_start_io_acct(req->orig);
}

/*
 * Flags that belong to the submitter's own dealings with us.  POLLED would
 * have nobody to poll; NOWAIT would let the local copy fail after the peers
 * got theirs.
 */
static blk_opf_t local_flags(struct bio *bio)
{
	return bio->bi_opf & (REQ_SYNC | REQ_META | REQ_PRIO | REQ_FUA | REQ_PREFLUSH |
			      REQ_IDLE | REQ_BACKGROUND | REQ_SWAP);
}

static struct reprise_request *make_write(struct reprise_volume *volume, struct bio *bio)
{
	unsigned int bytes = bio->bi_iter.bi_size;
	struct reprise_request *req;

	req = request_alloc(volume, bio, DIV_ROUND_UP(bytes, PAGE_SIZE),
			    REQ_OP_WRITE | local_flags(bio));
	payload_alloc(&req->local, bytes);
	req->op.type = REPRISE_OP_WRITE;
	req->op.crc = payload_copy(&req->local, bio);
	req->op.flags = 0;
	return req;
}

static struct reprise_request *make_zeroes(struct reprise_volume *volume, struct bio *bio)
{
	bool unmap = bio_op(bio) == REQ_OP_DISCARD || !(bio->bi_opf & REQ_NOUNMAP);
	struct reprise_request *req;

	req = request_alloc(volume, bio, 0, REQ_OP_WRITE_ZEROES | local_flags(bio) |
			    (unmap ? 0 : REQ_NOUNMAP));
	req->local.bi_iter.bi_size = bio->bi_iter.bi_size;
	req->op.type = REPRISE_OP_WRITE_ZEROES;
	req->op.crc = 0;
	req->op.flags = unmap ? REPRISE_OP_UNMAP : 0;
	return req;
}

struct plug_cb {
	struct blk_plug_cb cb;
	bool held;
};

/* Called from the scheduler too: does nothing but wake. */
static void unplugged(struct blk_plug_cb *cb, bool from_schedule)
{
	struct reprise_resource *res = cb->data;

	reprise_session_wake_all(res);
	kfree(container_of(cb, struct plug_cb, cb));
	reprise_resource_put(res);
}

/* Wake the senders now, or, where a batch is being submitted, at its end. */
static void wake_senders(struct reprise_resource *res)
{
	struct blk_plug_cb *cb = blk_check_plugged(unplugged, res, sizeof(struct plug_cb));
	struct plug_cb *plug;

	if (!cb) {
		reprise_session_wake_all(res);
		return;
	}
	plug = container_of(cb, struct plug_cb, cb);
	if (!plug->held)
		reprise_resource_get(res);
	plug->held = true;
}

static void stamp(struct reprise_request *req)
{
	struct reprise_resource *res = req->volume->res;
	struct reprise_actions act;
	bool wake;

	reprise_actions_init(&act);
	spin_lock_irq(&res->lock);
	reprise_stream_submit(&res->stream, &req->op, &act);
	/* One that waits for another's local I/O may be over as soon as we unlock. */
	trace_reprise_submit(res->name, req->op.seq, req->op.volume, req->op.type,
			     req->op.sector, req->op.sectors);
	spin_unlock_irq(&res->lock);
	wake = act.wake;
	act.wake = false;
	reprise_resource_act(res, &act, true);
	if (wake)
		wake_senders(res);
}

static void submit_write(struct reprise_volume *volume, struct bio *bio)
{
	struct reprise_resource *res = volume->res;
	bool zeroes = bio_op(bio) != REQ_OP_WRITE;
	unsigned int charged = sizeof(struct reprise_request) +
			       (zeroes ? 0 : bio->bi_iter.bi_size);
	struct reprise_request *req;

	if (!charge(res, bio, charged)) {
		bio_wouldblock_error(bio);
		return;
	}
	/* "write through" strips flushes above us: make up for it. */
	if (!bdev_write_cache(bio->bi_bdev))
		bio->bi_opf |= REQ_FUA;

	req = zeroes ? make_zeroes(volume, bio) : make_write(volume, bio);
	req->charged = charged;
	refcount_set(&req->refs, 2);
	req->op.volume = volume->number;
	req->op.sector = bio->bi_iter.bi_sector;
	req->op.sectors = bio_sectors(bio);
	if (bio->bi_opf & (REQ_FUA | REQ_PREFLUSH))
		req->op.flags |= REPRISE_OP_FUA;
	req->local.bi_iter.bi_sector = req->op.sector;
	req->local.bi_end_io = write_end_io;
	start_orig(req);
	atomic64_inc(&volume->writes);
	atomic64_add(req->op.sectors, &volume->write_sectors);
	stamp(req);
}

/* --- flushes ----------------------------------------------------------- */

/* Holds the volume as write_end_io() does. */
static void flush_end_io(struct bio *bio)
{
	struct reprise_request *req = container_of(bio, struct reprise_request, local);
	struct reprise_volume *volume = req->volume;
	struct reprise_resource *res = volume->res;
	int error = blk_status_to_errno(bio->bi_status);
	struct reprise_actions act;
	unsigned long flags;

	reprise_volume_get_io(volume);
	if (error)
		reprise_volume_io_error(volume, true);
	reprise_actions_init(&act);
	spin_lock_irqsave(&res->lock, flags);
	reprise_stream_flush_done(&res->stream, &req->flush, error, &act);
	spin_unlock_irqrestore(&res->lock, flags);
	reprise_resource_act(res, &act, false);
	reprise_volume_put_io(volume);
}

static void submit_flush(struct reprise_volume *volume, struct bio *bio)
{
	struct reprise_resource *res = volume->res;
	struct reprise_request *req;

	req = request_alloc(volume, bio, 0, REQ_OP_WRITE | REQ_PREFLUSH | REQ_SYNC);
	refcount_set(&req->refs, 1);
	req->local.bi_end_io = flush_end_io;
	req->flush.volume = volume->number;
	start_orig(req);
	atomic64_inc(&volume->flushes);
	spin_lock_irq(&res->lock);
	reprise_stream_flush(&res->stream, &req->flush);
	spin_unlock_irq(&res->lock);
	submit_bio_noacct(&req->local);
}

/* --- reads ------------------------------------------------------------- */

struct read_request {
	struct reprise_volume *volume;
	struct bio *orig;
	unsigned long start_acct;
	struct bio local;
};

static void read_end_io(struct bio *bio)
{
	struct read_request *req = container_of(bio, struct read_request, local);
	struct reprise_volume *volume = req->volume;
	struct bio *orig = req->orig;

	bio_end_io_acct(orig, req->start_acct);
	if (bio->bi_status) {
		orig->bi_status = bio->bi_status;
		/* Read-ahead and its like may fail for other reasons than the disk. */
		if (!(bio->bi_opf & (REQ_RAHEAD | REQ_NOWAIT | REQ_FAILFAST_MASK)))
			reprise_volume_io_error(volume, false);
	}
	bio_put(bio);
	bio_endio(orig);
	reprise_volume_put_io(volume);
}

static void submit_read(struct reprise_volume *volume, struct bio *bio)
{
	struct bio *local = bio_alloc_clone(volume->backing, bio, GFP_NOIO, &read_bios);
	struct read_request *req = container_of(local, struct read_request, local);

	req->volume = volume;
	req->orig = bio;
	req->start_acct = bio_start_io_acct(bio);
	local->bi_opf &= ~REQ_POLLED;
	local->bi_end_io = read_end_io;
	reprise_volume_get_io(volume);
	atomic64_inc(&volume->reads);
	atomic64_add(bio_sectors(bio), &volume->read_sectors);
	submit_bio_noacct(local);
}

/* --- entry ------------------------------------------------------------- */

/* Returns true if the bio was taken care of: parked, or refused. */
static bool held_back(struct reprise_resource *res, struct bio *bio)
{
	bool parked = false;

	if (likely(!READ_ONCE(res->frozen) && !READ_ONCE(res->dead)))
		return false;
	spin_lock_irq(&res->lock);
	if (res->frozen && !res->dead && !(bio->bi_opf & REQ_NOWAIT)) {
		bio_list_add(&res->parked, bio);
		parked = true;
	}
	spin_unlock_irq(&res->lock);
	if (parked)
		return true;
	if (READ_ONCE(res->dead)) {
		bio_io_error(bio);
		return true;
	}
	if (READ_ONCE(res->frozen)) {
		bio_wouldblock_error(bio);
		return true;
	}
	return false;
}

/**
 * reprise_request_bio - carry out a bio that was submitted to a volume
 *
 * The bio is within the queue limits.  May sleep.
 */
void reprise_request_bio(struct reprise_volume *volume, struct bio *bio)
{
	if (held_back(volume->res, bio))
		return;
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		submit_read(volume, bio);
		break;
	case REQ_OP_FLUSH:
		submit_flush(volume, bio);
		break;
	case REQ_OP_WRITE:
		if (bio_sectors(bio))
			submit_write(volume, bio);
		else
			submit_flush(volume, bio);
		break;
	case REQ_OP_DISCARD:
	case REQ_OP_WRITE_ZEROES:
		submit_write(volume, bio);
		break;
	default:
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
	}
}

int reprise_request_init(void)
{
	int err;

	err = bioset_init(&write_bios, BIO_RESERVE, offsetof(struct reprise_request, local),
			  BIOSET_NEED_BVECS);
	if (err)
		return err;
	err = bioset_init(&read_bios, BIO_RESERVE, offsetof(struct read_request, local), 0);
	if (err)
		goto err_write;
	err = mempool_init_page_pool(&page_reserve, RESERVE_PAGES, 0);
	if (err)
		goto err_read;
	return 0;

err_read:
	bioset_exit(&read_bios);
err_write:
	bioset_exit(&write_bios);
	return err;
}

void reprise_request_exit(void)
{
	mempool_exit(&page_reserve);
	bioset_exit(&read_bios);
	bioset_exit(&write_bios);
}
