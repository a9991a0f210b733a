// SPDX-License-Identifier: GPL-2.0
/*
 * The metadata record.  The input is one record as it stands on disk; a
 * second one, made from what the first says, stands beside it.  What decodes
 * encodes back to the same bytes, what does not fills nothing; of two copies
 * the newer valid one is taken.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "agent/crc32c.h"
#include "agent/meta.h"
#include "input.h"

union record {
	struct reprise_meta_record disk;
	uint8_t bytes[REPRISE_META_RECORD_BYTES];
};

struct decoded {
	struct meta meta;
	struct meta_volume volume;
};

static void seal(union record *record)
{
	record->disk.crc = htole32(crc32c_with_hole(record, sizeof(*record),
						    offsetof(struct reprise_meta_record, crc)));
}

static void check_values(const struct decoded *d)
{
	const struct meta *meta = &d->meta;
	const struct meta_timeline *current = meta_current(meta);

	must(meta->nr_timelines <= REPRISE_META_MAX_TIMELINES);
	must(meta->nr_peers <= REPRISE_META_MAX_PEERS);
	must(strlen(meta->resource_name) <= REPRISE_NAME_MAX && meta->resource_name[0]);
	must(strcmp(meta_state_name(meta->state), "unknown"));
	must(d->volume.size_sectors <= d->volume.device_sectors);
	must(!current == (meta->state == REPRISE_STORE_BLANK));
	if (!current)
		return;
	must(meta_on_history(meta, current->id, UINT64_MAX));
	must(strcmp(meta_fork_name(current->kind), "unknown"));
	must(meta_find(meta, current->id) == current);
	for (unsigned int i = 1; i < meta->nr_timelines; i++) {
		must(meta->timelines[i - 1].generation < meta->timelines[i].generation);
		must(meta_find(meta, meta->timelines[i].parent));
	}
}

static bool decodes(const union record *record, struct decoded *d)
{
	union record again;
	const char *why = NULL;
	int error;

	fuzz_poison(d, sizeof(*d));
	error = meta_decode(record, &d->meta, &d->volume, &why);
	if (error) {
		must(error == -ENOENT || error == -EPROTONOSUPPORT || error == -EINVAL);
		must(why && why[0] && fuzz_untouched(d, sizeof(*d)));
		return false;
	}
	check_values(d);
	meta_encode(&d->meta, &d->volume, &again);
	must(!memcmp(&again, record, sizeof(again)));
	return true;
}

/* What a node would write next; its lineage must be as good as the one before. */
static void next_record(const struct decoded *d, union record *next)
{
	struct decoded n = *d, got;
	const struct meta_timeline *old = meta_current(&d->meta);
	unsigned int nr = 0;

	n.meta.number++;
	if (old && old->generation < UINT64_MAX) {
		struct meta_timeline timeline = {
			.generation = old->generation + 1, .fork_seq = old->fork_seq,
			.kind = REPRISE_FORK_CLEAN, .opener = 1,
		};

		/* an id that no other has: as a number, the first that is free */
		do
			timeline.id[nr++ / UINT8_MAX]++;
		while (meta_find(&d->meta, timeline.id));
		memcpy(timeline.parent, old->id, sizeof(timeline.parent));
		meta_add_timeline(&n.meta, &timeline);
	}
	meta_encode(&n.meta, &n.volume, next);
	must(decodes(next, &got) && got.meta.number == n.meta.number);
}

/* @record is what was fuzzed, @other is valid if there is one. */
static void check_choice(const union record *record, const struct decoded *d, bool valid)
{
	static union record other, none;
	const union record *copies[2] = { &none, &none };
	struct decoded got;
	const char *why = NULL;
	unsigned int slot = valid ? d->meta.number & 1 : 0;
	int error;

	copies[slot] = record;
	fuzz_poison(&got, sizeof(got));
	error = meta_choose(copies[0], copies[1], &got.meta, &got.volume, &why);
	must(!error == valid);
	must(valid || (why && fuzz_untouched(&got, sizeof(got))));
	must(meta_choose(&none, &none, &got.meta, &got.volume, &why) == -ENOENT);
	if (!valid)
		return;
	must(got.meta.number == d->meta.number);
	/* In the wrong place it does not count. */
	must(meta_choose(copies[1], copies[0], &got.meta, &got.volume, &why) && why);
	if (d->meta.number == UINT64_MAX)
		return;
	next_record(d, &other);
	copies[!slot] = &other;
	must(!meta_choose(copies[0], copies[1], &got.meta, &got.volume, &why));
	must(got.meta.number == d->meta.number + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static union record record;
	static struct decoded d;
	bool valid;

	memset(&record, 0, sizeof(record));
	memcpy(&record, data, bytes < sizeof(record) ? bytes : sizeof(record));
	valid = decodes(&record, &d);
	check_choice(&record, &d, valid);
	return 0;
}

/* --- mutation ----------------------------------------------------------------- */

static void make_record(struct fuzz_random *random, union record *record)
{
	struct meta meta = {
		.number = fuzz_random_below(random, 10), .resource_name = "pg",
		.node_name = "alpha", .node = 1, .nr_volumes = 1,
		.state = REPRISE_STORE_CLEAN, .durability = REPRISE_DURABILITY_WRITE,
		.on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE, .logical_block_bytes = 4096,
		.applied = 7, .left = fuzz_random_below(random, 2), .nr_peers = 1,
		.peers = { { .node = 2, .absent = true, .since_seq = 5 } }, .nr_timelines = 1,
	};
	struct meta_volume volume = { .size_sectors = 8, .device_sectors = 4096 };
	unsigned int more = fuzz_random_below(random, 5);

	meta.left_seq = meta.left ? 9 : 0;
	while (more--) {
		struct meta_timeline timeline = meta.timelines[meta.nr_timelines - 1];

		memcpy(timeline.parent, timeline.id, sizeof(timeline.id));
		timeline.generation++;
		memset(timeline.id, timeline.generation, sizeof(timeline.id));
		meta_add_timeline(&meta, &timeline);
	}
	meta_encode(&meta, &volume, record);
}

/* What is not there is zero: most of a record is, and need not be kept. */
static size_t without_tail(const uint8_t *data, size_t bytes)
{
	while (bytes > 1 && !data[bytes - 1])
		bytes--;
	return bytes;
}

static void mutate_entry(struct fuzz_random *random, struct reprise_meta_record *disk)
{
	unsigned int timeline = fuzz_random_below(random, le16toh(disk->nr_timelines) + 1);
	unsigned int peer = fuzz_random_below(random, le16toh(disk->nr_peers) + 1);

	switch (fuzz_random_below(random, 4)) {
	case 0:
		fuzz_mutate_block((uint8_t *)&disk->timelines[timeline %
							      REPRISE_META_MAX_TIMELINES],
				  sizeof(disk->timelines[0]));
		break;
	case 1:
		fuzz_mutate_block((uint8_t *)&disk->peers[peer % REPRISE_META_MAX_PEERS],
				  sizeof(disk->peers[0]));
		break;
	default:
		fuzz_mutate_block((uint8_t *)disk, offsetof(struct reprise_meta_record, peers));
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max, unsigned int seed)
{
	static union record record;
	struct fuzz_random random = { seed };

	if (max < sizeof(record) || !fuzz_random_below(&random, 20))
		return without_tail(data, LLVMFuzzerMutate(data, bytes, max));
	memset(&record, 0, sizeof(record));
	memcpy(&record, data, bytes < sizeof(record) ? bytes : sizeof(record));
	if (bytes < offsetof(struct reprise_meta_record, flags))
		make_record(&random, &record);
	else if (fuzz_random_below(&random, 30))
		mutate_entry(&random, &record.disk);
	else
		fuzz_mutate_block(record.bytes, sizeof(record));
	if (fuzz_random_below(&random, 16))
		seal(&record);
	memcpy(data, &record, sizeof(record));
	return without_tail(data, sizeof(record));
}
