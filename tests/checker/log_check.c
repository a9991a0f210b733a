// SPDX-License-Identifier: GPL-2.0
/*
 * log-check: is what a replica holds a prefix of what was written? Replays
 * the log from seq 1 onto zeros and compares: the store must be, sector by
 * sector, the replay at some seq between the recorded `applied` and the
 * highest commit in the log (--exact N: the replay at N, and nothing else);
 * the log must keep what the writer's record was promised.
 *
 * Exit code 0: all is well; 1: not, the reasons stand on standard output as
 * comments; 2: could not be checked. The last line is for scripts.
 */
#include <endian.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "stream.h"
#include "tag.h"

static struct {
	const char *log, *record, *stores[TAG_MAX_VOLUMES];
	unsigned int nr_stores;
	uint64_t segment_bytes, exact, acked;
	bool is_exact;
	enum mode mode;
} args = { .mode = MODE_WRITE };

static const uint8_t zeros[TAG_SECTOR_BYTES];

static bool is_on(const struct op *op, unsigned int volume)
{
	return op->volume == volume &&
	       (op->type == REPRISE_OP_WRITE || op->type == REPRISE_OP_WRITE_ZEROES);
}

static const uint8_t *content(const struct op *op, uint64_t sector)
{
	return op->payload ? op->payload + (sector - op->sector) * TAG_SECTOR_BYTES : zeros;
}

/*
 * The sectors of @volume that do not hold what the replay gives at any seq
 * from @low to @high; wrong[] says which.
 */
static uint64_t compare(const struct stream *stream, const struct store *store,
			unsigned int volume, uint64_t low, uint64_t high, bool *wrong)
{
	const uint8_t *data = store->image.data;
	uint64_t nr = 0;
	const uint8_t **base = calloc(store->sectors, sizeof(*base));

	for (uint64_t seq = 1; seq <= low; seq++) {
		const struct op *op = &stream->ops[seq - 1];

		for (uint64_t s = op->sector; is_on(op, volume) && s < op->sector + op->sectors; s++)
			base[s] = content(op, s);
	}
	for (uint64_t s = 0; s < store->sectors; s++)
		wrong[s] = memcmp(data + s * TAG_SECTOR_BYTES, base[s] ? base[s] : zeros,
				  TAG_SECTOR_BYTES);
	for (uint64_t seq = low + 1; seq <= high; seq++) {
		const struct op *op = &stream->ops[seq - 1];

		for (uint64_t s = op->sector; is_on(op, volume) && s < op->sector + op->sectors; s++)
			wrong[s] = wrong[s] && memcmp(data + s * TAG_SECTOR_BYTES, content(op, s),
						      TAG_SECTOR_BYTES);
	}
	for (uint64_t s = 0; s < store->sectors; s++)
		nr += wrong[s];
	free(base);
	return nr;
}

/* Which seq wrote what the store holds there? */
static void explain(const struct stream *stream, const struct store *store, unsigned int volume,
		    uint64_t sector)
{
	const uint8_t *is = store->image.data + sector * TAG_SECTOR_BYTES;
	uint64_t found = 0, last = 0;

	for (uint64_t seq = 1; seq <= stream->tip; seq++) {
		const struct op *op = &stream->ops[seq - 1];

		if (!is_on(op, volume) || sector < op->sector || sector >= op->sector + op->sectors)
			continue;
		last = seq;
		if (!memcmp(is, content(op, sector), TAG_SECTOR_BYTES))
			found = seq;
	}
	complain("volume %u, sector %llu holds %s%llu; the last write of it is %llu", volume,
		 (unsigned long long)sector,
		 found ? "seq " : memcmp(is, zeros, TAG_SECTOR_BYTES) ? "what no seq wrote, " :
									 "zeros, ",
		 (unsigned long long)found, (unsigned long long)last);
}

static bool in_bounds(const struct stream *stream, const struct store *stores)
{
	for (uint64_t seq = 1; seq <= stream->tip; seq++) {
		const struct op *op = &stream->ops[seq - 1];

		if (op->type != REPRISE_OP_WRITE && op->type != REPRISE_OP_WRITE_ZEROES)
			continue;
		if (op->volume >= args.nr_stores ||
		    op->sector + op->sectors > stores[op->volume].sectors) {
			complain("seq %llu goes past the end of volume %u", (unsigned long long)seq,
				 op->volume);
			return false;
		}
	}
	return true;
}

static void check_store(const struct stream *stream, const struct store *store,
			unsigned int volume, uint64_t low, uint64_t high)
{
	bool *wrong = calloc(store->sectors, 1);
	uint64_t nr = compare(stream, store, volume, low, high, wrong);

	if (nr)
		complain("volume %u: %llu sectors are not the stream's content at any seq from %llu to %llu",
			 volume, (unsigned long long)nr, (unsigned long long)low,
			 (unsigned long long)high);
	for (uint64_t s = 0, said = 0; s < store->sectors && said < 5; s++) {
		if (wrong[s]) {
			explain(stream, store, volume, s);
			said++;
		}
	}
	free(wrong);
}

/* What the store may hold: from the recorded applied to what is known to be final. */
static void check_stores(const struct stream *stream, const struct store *stores)
{
	const struct reprise_meta_record *record = stores[0].record;
	uint64_t low = le64toh(record->applied), high = stream->commit;

	if (le64toh(record->commit) > high)
		high = le64toh(record->commit);
	if (args.is_exact) {
		if (stream->tip != args.exact)
			complain("the log ends at %llu (%s), told was %llu",
				 (unsigned long long)stream->tip, stream->end,
				 (unsigned long long)args.exact);
		low = high = args.exact;
	}
	if (high < low)
		high = low;
	if (stream->tip < high || stream->tip < args.acked) {
		complain("the log ends at %llu (%s), but %llu was applied, %llu committed, %llu acknowledged",
			 (unsigned long long)stream->tip, stream->end,
			 (unsigned long long)le64toh(record->applied), (unsigned long long)high,
			 (unsigned long long)args.acked);
		return;
	}
	if (!in_bounds(stream, stores))
		return;
	for (unsigned int i = 0; i < args.nr_stores; i++)
		check_store(stream, &stores[i], i, low, high);
}

static enum mode mode_of(const char *name)
{
	static const char *const names[] = { "async", "flush", "memory", "write" };

	for (unsigned int i = 0; i < 4; i++)
		if (!strcmp(name, names[i]))
			return i;
	fprintf(stderr, "log-check: no mode is called %s\n", name);
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "log", 1, NULL, 'l' }, { "segment-kib", 1, NULL, 'k' },
		{ "store", 1, NULL, 's' }, { "record", 1, NULL, 'r' },
		{ "mode", 1, NULL, 'm' }, { "exact", 1, NULL, 'e' },
		{ "acked", 1, NULL, 'a' }, { 0 },
	};
	bool bad = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'l':
			args.log = optarg;
			break;
		case 'k':
			args.segment_bytes = strtoull(optarg, NULL, 0) << 10;
			break;
		case 'r':
			args.record = optarg;
			break;
		case 'm':
			args.mode = mode_of(optarg);
			break;
		case 'a':
			args.acked = strtoull(optarg, NULL, 0);
			break;
		case 'e':
			args.exact = strtoull(optarg, NULL, 0);
			args.is_exact = true;
			break;
		case 's':
			if (args.nr_stores < TAG_MAX_VOLUMES)
				args.stores[args.nr_stores++] = optarg;
			break;
		default:
			bad = true;
		}
	}
	if (bad || optind != argc || !args.log || !args.nr_stores) {
		fprintf(stderr, "usage: log-check --log DIRECTORY|DEVICE [--segment-kib N] --store BACKING... [--record FILE --mode MODE] [--exact SEQ] [--acked SEQ]\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct store stores[TAG_MAX_VOLUMES];
	struct record_counts counts = { 0 };
	struct stream stream;

	parse(argc, argv);
	for (unsigned int i = 0; i < args.nr_stores; i++)
		if (!store_read(&stores[i], args.stores[i]))
			return 1;
	stream_read(&stream, args.log, args.segment_bytes, stores[0].record);
	check_stores(&stream, stores);
	if (args.record)
		record_check(args.record, args.mode, &stream, &counts);
	printf("tip=%llu applied=%llu commit=%llu segments=%u frames=%llu submitted=%llu completed=%llu flushed=%llu due=%llu whole=%d complaints=%u end=%s\n",
	       (unsigned long long)stream.tip,
	       (unsigned long long)le64toh(stores[0].record->applied),
	       (unsigned long long)stream.commit, stream.segments,
	       (unsigned long long)stream.frames, (unsigned long long)counts.submitted,
	       (unsigned long long)counts.completed, (unsigned long long)counts.flushed,
	       (unsigned long long)counts.due, counts.whole, complaints, stream.end);
	return complaints ? 1 : 0;
}
