// SPDX-License-Identifier: GPL-2.0
/*
 * The metadata record: between the bytes on disk and struct meta.  The one
 * idea: a record is taken whole or not at all; whatever this version does
 * not understand (a flag, a reserved byte, a lineage that contradicts
 * itself) makes the record invalid and is named.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "crc32c.h"
#include "meta.h"

uint64_t meta_area_offset(uint64_t device_bytes)
{
	device_bytes &= ~(uint64_t)4095;
	if (device_bytes <= REPRISE_META_AREA_BYTES)
		return 0;
	return device_bytes - REPRISE_META_AREA_BYTES;
}

uint64_t meta_volume_sectors(uint64_t device_bytes)
{
	return meta_area_offset(device_bytes) / REPRISE_SECTOR_BYTES;
}

uint64_t meta_copy_offset(uint64_t device_bytes, uint64_t number)
{
	return meta_area_offset(device_bytes) +
	       (number & 1 ? REPRISE_META_COPY1_OFFSET : REPRISE_META_COPY0_OFFSET);
}

static uint32_t record_crc(const void *buf)
{
	return crc32c_with_hole(buf, REPRISE_META_RECORD_BYTES,
				offsetof(struct reprise_meta_record, crc));
}

static void encode_timeline(const struct meta_timeline *timeline, struct reprise_meta_timeline *disk)
{
	disk->generation = htole64(timeline->generation);
	memcpy(disk->id, timeline->id, sizeof(disk->id));
	memcpy(disk->parent, timeline->parent, sizeof(disk->parent));
	disk->fork_seq = htole64(timeline->fork_seq);
	disk->kind = htole16(timeline->kind);
	disk->opener = htole16(timeline->opener);
	disk->opened_realtime_ns = htole64(timeline->opened_realtime_ns);
}

static void encode_peer(const struct meta_peer *peer, struct reprise_meta_peer *disk)
{
	disk->node = htole16(peer->node);
	disk->absent = htole16(peer->absent);
	disk->since_seq = htole64(peer->since_seq);
	disk->since_realtime_ns = htole64(peer->since_realtime_ns);
}

static void encode_identity(const struct meta *meta, struct reprise_meta_record *disk)
{
	memcpy(disk->magic, REPRISE_META_MAGIC, sizeof(disk->magic));
	disk->version = htole32(REPRISE_META_VERSION);
	disk->number = htole64(meta->number);
	memcpy(disk->resource_id, meta->resource_id, sizeof(disk->resource_id));
	memcpy(disk->log_id, meta->log_id, sizeof(disk->log_id));
	memcpy(disk->resource_name, meta->resource_name,
	       strnlen(meta->resource_name, REPRISE_NAME_MAX));
	memcpy(disk->node_name, meta->node_name, strnlen(meta->node_name, REPRISE_NAME_MAX));
	disk->node = htole16(meta->node);
	disk->nr_volumes = htole16(meta->nr_volumes);
	disk->logical_block_bytes = htole32(meta->logical_block_bytes);
}

static void encode_state(const struct meta *meta, struct reprise_meta_record *disk)
{
	disk->state = htole16(meta->state);
	disk->durability = htole16(meta->durability);
	disk->on_peer_loss = htole16(meta->on_peer_loss);
	disk->flags = htole32(meta->left ? REPRISE_META_F_LEFT : 0);
	disk->applied = htole64(meta->applied);
	disk->left_seq = htole64(meta->left ? meta->left_seq : 0);
	disk->realtime_ns = htole64(meta->realtime_ns);
	disk->commit = htole64(meta->commit);
	disk->log_ordinal = htole64(meta->log_ordinal);
}

void meta_encode(const struct meta *meta, const struct meta_volume *volume, void *buf)
{
	struct reprise_meta_record *disk = buf;
	unsigned int i;

	assert(meta->nr_timelines <= REPRISE_META_MAX_TIMELINES);
	assert(meta->nr_peers <= REPRISE_META_MAX_PEERS);
	memset(disk, 0, sizeof(*disk));
	encode_identity(meta, disk);
	encode_state(meta, disk);
	disk->volume = htole16(volume->number);
	disk->size_sectors = htole64(volume->size_sectors);
	disk->device_sectors = htole64(volume->device_sectors);
	disk->nr_peers = htole16(meta->nr_peers);
	for (i = 0; i < meta->nr_peers; i++)
		encode_peer(&meta->peers[i], &disk->peers[i]);
	disk->nr_timelines = htole16(meta->nr_timelines);
	for (i = 0; i < meta->nr_timelines; i++)
		encode_timeline(&meta->timelines[i], &disk->timelines[i]);
	disk->crc = htole32(record_crc(disk));
}

static const char *decode_name(const uint8_t *disk, char *name)
{
	size_t len = strnlen((const char *)disk, REPRISE_NAME_MAX + 1);

	if (len > REPRISE_NAME_MAX || !len ||
	    !bytes_all_zero(disk + len, REPRISE_NAME_MAX + 1 - len))
		return "a name is empty or not terminated";
	memcpy(name, disk, REPRISE_NAME_MAX + 1);
	return NULL;
}

static const char *decode_identity(const struct reprise_meta_record *disk, struct meta *meta)
{
	const char *why;

	meta->number = le64toh(disk->number);
	memcpy(meta->resource_id, disk->resource_id, sizeof(meta->resource_id));
	memcpy(meta->log_id, disk->log_id, sizeof(meta->log_id));
	why = decode_name(disk->resource_name, meta->resource_name);
	if (!why)
		why = decode_name(disk->node_name, meta->node_name);
	if (why)
		return why;
	meta->node = le16toh(disk->node);
	if (!meta->node || meta->node > REPRISE_MAX_NODES)
		return "the node id is out of range";
	meta->nr_volumes = le16toh(disk->nr_volumes);
	if (!meta->nr_volumes || meta->nr_volumes > REPRISE_MAX_VOLUMES)
		return "the number of volumes is out of range";
	meta->logical_block_bytes = le32toh(disk->logical_block_bytes);
	if (meta->logical_block_bytes != 512 && meta->logical_block_bytes != 4096)
		return "the logical block size is neither 512 nor 4096";
	return NULL;
}

static const char *decode_state(const struct reprise_meta_record *disk, struct meta *meta)
{
	uint32_t flags = le32toh(disk->flags);

	meta->state = le16toh(disk->state);
	if (le16toh(disk->state) > REPRISE_STORE_DAMAGED)
		return "the state is unknown";
	meta->durability = le16toh(disk->durability);
	if (!disk->durability || le16toh(disk->durability) > REPRISE_DURABILITY_ASYNC)
		return "the durability mode is unknown";
	meta->on_peer_loss = le16toh(disk->on_peer_loss);
	if (!disk->on_peer_loss || le16toh(disk->on_peer_loss) > REPRISE_ON_PEER_LOSS_ALONE)
		return "the on-peer-loss setting is unknown";
	if (flags & ~REPRISE_META_F_LEFT)
		return "a flag is unknown";
	meta->left = flags & REPRISE_META_F_LEFT;
	meta->left_seq = le64toh(disk->left_seq);
	if (!meta->left && meta->left_seq)
		return "a timeline is left at a position, but not left";
	meta->applied = le64toh(disk->applied);
	if (meta->left && meta->left_seq < meta->applied)
		return "the timeline was left before what is applied";
	meta->realtime_ns = le64toh(disk->realtime_ns);
	meta->commit = le64toh(disk->commit);
	meta->log_ordinal = le64toh(disk->log_ordinal);
	return NULL;
}

static const char *decode_peer(const struct reprise_meta_peer *disk, struct meta_peer *peer)
{
	peer->node = le16toh(disk->node);
	peer->absent = disk->absent;
	peer->since_seq = le64toh(disk->since_seq);
	peer->since_realtime_ns = le64toh(disk->since_realtime_ns);
	if (!peer->node || peer->node > REPRISE_MAX_NODES)
		return "a peer's node id is out of range";
	if (le16toh(disk->absent) > 1)
		return "a peer is neither absent nor present";
	if (disk->reserved || disk->reserved2)
		return "reserved bytes of a peer are set";
	return NULL;
}

static const char *decode_peers(const struct reprise_meta_record *disk, struct meta *meta)
{
	const char *why = NULL;
	unsigned int i;

	meta->nr_peers = le16toh(disk->nr_peers);
	if (meta->nr_peers > REPRISE_META_MAX_PEERS)
		return "the number of peers is out of range";
	for (i = 0; i < meta->nr_peers && !why; i++)
		why = decode_peer(&disk->peers[i], &meta->peers[i]);
	if (!why &&
	    !bytes_all_zero(&disk->peers[i], sizeof(disk->peers) - i * sizeof(disk->peers[0])))
		why = "unused peers are not empty";
	return why;
}

static const char *decode_timeline(const struct reprise_meta_timeline *disk,
				   struct meta_timeline *timeline)
{
	timeline->generation = le64toh(disk->generation);
	memcpy(timeline->id, disk->id, sizeof(timeline->id));
	memcpy(timeline->parent, disk->parent, sizeof(timeline->parent));
	timeline->fork_seq = le64toh(disk->fork_seq);
	timeline->kind = le16toh(disk->kind);
	timeline->opener = le16toh(disk->opener);
	timeline->opened_realtime_ns = le64toh(disk->opened_realtime_ns);
	if (le16toh(disk->kind) > REPRISE_FORK_RESOLVE)
		return "the kind of a fork is unknown";
	if (timeline->opener > REPRISE_MAX_NODES)
		return "the opener of a timeline is out of range";
	if (disk->reserved)
		return "reserved bytes of a timeline are set";
	if (!timeline->generation != bytes_all_zero(timeline->id, sizeof(timeline->id)))
		return "timeline 0 and its id contradict each other";
	return NULL;
}

bool meta_ids_differ(const struct meta_timeline *timelines, unsigned int nr)
{
	for (unsigned int i = 1; i < nr; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (!memcmp(timelines[i].id, timelines[j].id, REPRISE_ID_BYTES))
				return false;
		}
	}
	return true;
}

static const char *check_lineage(const struct meta *meta)
{
	unsigned int i;

	for (i = 1; i < meta->nr_timelines; i++) {
		const struct meta_timeline *old = &meta->timelines[i - 1];
		const struct meta_timeline *new = &meta->timelines[i];

		if (new->generation <= old->generation)
			return "the generations of the timelines do not rise";
		if (memcmp(new->parent, old->id, sizeof(new->parent)))
			return "a timeline is not the child of the one before it";
		if (new->fork_seq < old->fork_seq)
			return "a timeline forks before its parent began";
	}
	if (!meta_ids_differ(meta->timelines, meta->nr_timelines))
		return "two timelines have one id";
	return NULL;
}

static const char *decode_timelines(const struct reprise_meta_record *disk, struct meta *meta)
{
	const char *why = NULL;
	unsigned int i;

	meta->nr_timelines = le16toh(disk->nr_timelines);
	if (meta->nr_timelines > REPRISE_META_MAX_TIMELINES)
		return "the number of timelines is out of range";
	if (!meta->nr_timelines != (meta->state == REPRISE_STORE_BLANK))
		return "the state and the number of timelines contradict each other";
	for (i = 0; i < meta->nr_timelines && !why; i++)
		why = decode_timeline(&disk->timelines[i], &meta->timelines[i]);
	if (!why && !bytes_all_zero(&disk->timelines[i],
				    sizeof(disk->timelines) - i * sizeof(disk->timelines[0])))
		why = "unused timelines are not empty";
	return why ? why : check_lineage(meta);
}

static const char *decode_volume(const struct reprise_meta_record *disk,
				 struct meta_volume *volume)
{
	volume->number = le16toh(disk->volume);
	volume->size_sectors = le64toh(disk->size_sectors);
	volume->device_sectors = le64toh(disk->device_sectors);
	if (volume->number >= REPRISE_MAX_VOLUMES)
		return "the volume's number is out of range";
	if (!volume->size_sectors || volume->device_sectors > UINT64_MAX / REPRISE_SECTOR_BYTES ||
	    volume->size_sectors > volume->device_sectors)
		return "the volume's size is out of range";
	return NULL;
}

static const char *decode_body(const struct reprise_meta_record *disk, struct meta *meta,
			       struct meta_volume *volume)
{
	const char *why = decode_identity(disk, meta);

	if (!why)
		why = decode_state(disk, meta);
	if (!why)
		why = decode_peers(disk, meta);
	if (!why)
		why = decode_timelines(disk, meta);
	if (!why)
		why = decode_volume(disk, volume);
	if (!why && !bytes_all_zero(disk->reserved, sizeof(disk->reserved)))
		why = "reserved bytes are set";
	return why;
}

int meta_decode(const void *buf, struct meta *meta, struct meta_volume *volume, const char **why)
{
	const struct reprise_meta_record *disk = buf;
	struct meta got = { 0 };
	struct meta_volume got_volume;

	if (memcmp(disk->magic, REPRISE_META_MAGIC, sizeof(disk->magic))) {
		*why = "there is no Reprise metadata";
		return -ENOENT;
	}
	if (le32toh(disk->version) != REPRISE_META_VERSION) {
		*why = "the metadata is of another version";
		return -EPROTONOSUPPORT;
	}
	if (le32toh(disk->crc) != record_crc(disk)) {
		*why = "the checksum is wrong";
		return -EINVAL;
	}
	*why = decode_body(disk, &got, &got_volume);
	if (*why)
		return -EINVAL;
	*meta = got;
	*volume = got_volume;
	return 0;
}

/* A record may only stand in the copy that its number belongs to. */
static int decode_copy(const void *buf, unsigned int copy, struct meta *meta,
		       struct meta_volume *volume, const char **why)
{
	struct meta got;
	struct meta_volume got_volume;
	int error = meta_decode(buf, &got, &got_volume, why);

	if (error)
		return error;
	if ((got.number & 1) != copy) {
		*why = "a record stands in the wrong copy";
		return -EINVAL;
	}
	*meta = got;
	*volume = got_volume;
	return 0;
}

int meta_choose(const void *copy0, const void *copy1, struct meta *meta,
		struct meta_volume *volume, const char **why)
{
	struct meta meta0, meta1;
	struct meta_volume volume0, volume1;
	const char *why0, *why1;
	int error0 = decode_copy(copy0, 0, &meta0, &volume0, &why0);
	int error1 = decode_copy(copy1, 1, &meta1, &volume1, &why1);

	if (error0 && error1) {
		/* Something unreadable says more than nothing there. */
		*why = error0 == -ENOENT ? why1 : why0;
		return error0 == -ENOENT ? error1 : error0;
	}
	if (!error0 && (error1 || meta0.number > meta1.number)) {
		*meta = meta0;
		*volume = volume0;
	} else {
		*meta = meta1;
		*volume = volume1;
	}
	*why = NULL;
	return 0;
}

const struct meta_timeline *meta_current(const struct meta *meta)
{
	return meta->nr_timelines ? &meta->timelines[meta->nr_timelines - 1] : NULL;
}

const struct meta_timeline *meta_find(const struct meta *meta, const uint8_t *id)
{
	unsigned int i;

	for (i = 0; i < meta->nr_timelines; i++)
		if (!memcmp(meta->timelines[i].id, id, REPRISE_ID_BYTES))
			return &meta->timelines[i];
	return NULL;
}

bool meta_on_history(const struct meta *meta, const uint8_t *id, uint64_t seq)
{
	const struct meta_timeline *timeline = meta_find(meta, id);

	if (!timeline)
		return false;
	return timeline == meta_current(meta) || seq <= timeline[1].fork_seq;
}

void meta_add_timeline(struct meta *meta, const struct meta_timeline *timeline)
{
	if (meta->nr_timelines == REPRISE_META_MAX_TIMELINES) {
		memmove(meta->timelines, meta->timelines + 1,
			sizeof(meta->timelines) - sizeof(meta->timelines[0]));
		meta->nr_timelines--;
	}
	meta->timelines[meta->nr_timelines++] = *timeline;
}

bool meta_is_uncertain(enum reprise_store_state state)
{
	return state == REPRISE_STORE_UNCLEAN || state == REPRISE_STORE_LOST;
}

const char *meta_state_name(enum reprise_store_state state)
{
	static const char *const names[] = {
		[REPRISE_STORE_BLANK] = "blank",
		[REPRISE_STORE_CLEAN] = "clean",
		[REPRISE_STORE_UNCLEAN] = "unclean",
		[REPRISE_STORE_PULLING] = "pulling",
		[REPRISE_STORE_LOST] = "lost",
		[REPRISE_STORE_DAMAGED] = "damaged",
	};

	return (unsigned int)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

const char *meta_fork_name(enum reprise_fork_kind kind)
{
	static const char *const names[] = {
		[REPRISE_FORK_ORIGIN] = "origin",
		[REPRISE_FORK_CLEAN] = "clean",
		[REPRISE_FORK_CRASH] = "crash",
		[REPRISE_FORK_REWIND] = "rewind",
		[REPRISE_FORK_RESOLVE] = "resolve",
	};

	return (unsigned int)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}
