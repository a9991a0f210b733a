// SPDX-License-Identifier: GPL-2.0
/*
 * Documentation/formats.md against the headers.  The page's tables are read as
 * they are: every offset, length and value that it states must be the
 * compiler's, nothing may be missing in either, and structures leave no gap.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kmod/uapi/reprise_frame.h"
#include "../kmod/uapi/reprise_meta.h"
#include "../kmod/uapi/reprise_netlink.h"
#include "wire.h"

#include "kselftest_harness.h"

#define PAGE "Documentation/formats.md"

struct field {
	const char *of;
	const char *name;
	size_t offset, bytes;
};

#define F(s, f) { "struct " #s, #f, offsetof(struct s, f), sizeof(((struct s *)0)->f) }

static const struct field fields[] = {
	F(reprise_op_desc, sector), F(reprise_op_desc, sectors), F(reprise_op_desc, crc),
	F(reprise_op_desc, volume), F(reprise_op_desc, op), F(reprise_op_desc, flags),
	F(reprise_op_desc, reserved),

	F(reprise_frame_head, magic), F(reprise_frame_head, version),
	F(reprise_frame_head, head_bytes), F(reprise_frame_head, frame_bytes),
	F(reprise_frame_head, nr_ops), F(reprise_frame_head, origin),
	F(reprise_frame_head, resource_id), F(reprise_frame_head, timeline_id),
	F(reprise_frame_head, generation), F(reprise_frame_head, first_seq),
	F(reprise_frame_head, commit), F(reprise_frame_head, flushed),
	F(reprise_frame_head, stamp), F(reprise_frame_head, realtime_ns),
	F(reprise_frame_head, flags), F(reprise_frame_head, head_crc),
	F(reprise_frame_head, reserved), F(reprise_frame_head, ops),
	F(reprise_frame_head, reserved2),

	F(reprise_ack, magic), F(reprise_ack, version), F(reprise_ack, flags),
	F(reprise_ack, session), F(reprise_ack, timeline_id), F(reprise_ack, received),
	F(reprise_ack, durable), F(reprise_ack, applied), F(reprise_ack, crc),
	F(reprise_ack, reserved),

	F(reprise_meta_record, magic), F(reprise_meta_record, version),
	F(reprise_meta_record, crc), F(reprise_meta_record, number),
	F(reprise_meta_record, resource_id), F(reprise_meta_record, log_id),
	F(reprise_meta_record, resource_name), F(reprise_meta_record, node_name),
	F(reprise_meta_record, node), F(reprise_meta_record, volume),
	F(reprise_meta_record, nr_volumes), F(reprise_meta_record, nr_timelines),
	F(reprise_meta_record, nr_peers), F(reprise_meta_record, state),
	F(reprise_meta_record, durability), F(reprise_meta_record, on_peer_loss),
	F(reprise_meta_record, logical_block_bytes), F(reprise_meta_record, flags),
	F(reprise_meta_record, size_sectors), F(reprise_meta_record, device_sectors),
	F(reprise_meta_record, applied), F(reprise_meta_record, left_seq),
	F(reprise_meta_record, realtime_ns), F(reprise_meta_record, commit),
	F(reprise_meta_record, log_ordinal), F(reprise_meta_record, reserved),
	F(reprise_meta_record, peers), F(reprise_meta_record, timelines),

	F(reprise_meta_timeline, generation), F(reprise_meta_timeline, id),
	F(reprise_meta_timeline, parent), F(reprise_meta_timeline, fork_seq),
	F(reprise_meta_timeline, kind), F(reprise_meta_timeline, opener),
	F(reprise_meta_timeline, reserved), F(reprise_meta_timeline, opened_realtime_ns),

	F(reprise_meta_peer, node), F(reprise_meta_peer, absent), F(reprise_meta_peer, reserved),
	F(reprise_meta_peer, since_seq), F(reprise_meta_peer, since_realtime_ns),
	F(reprise_meta_peer, reserved2),

	F(reprise_log_head, magic), F(reprise_log_head, version), F(reprise_log_head, crc),
	F(reprise_log_head, log_id), F(reprise_log_head, resource_id),
	F(reprise_log_head, ordinal), F(reprise_log_head, segment_bytes),
	F(reprise_log_head, session), F(reprise_log_head, session_ordinal),
	F(reprise_log_head, timeline_id), F(reprise_log_head, generation),
	F(reprise_log_head, prev_timeline_id), F(reprise_log_head, prev_seq),
	F(reprise_log_head, first_seq), F(reprise_log_head, commit),
	F(reprise_log_head, first_offset), F(reprise_log_head, reserved),
};

static const struct {
	const char *name;
	size_t bytes;
} structs[] = {
#define S(s) { "struct " #s, sizeof(struct s) }
	S(reprise_op_desc), S(reprise_frame_head), S(reprise_ack), S(reprise_meta_record),
	S(reprise_meta_timeline), S(reprise_meta_peer), S(reprise_log_head),
	{ "wire head", WIRE_HEAD_BYTES }, { "wire hello", WIRE_HELLO_BYTES },
	{ "wire challenge", WIRE_CHALLENGE_BYTES }, { "wire refused", WIRE_REFUSED_BYTES },
};

static const struct {
	const char *name;
	uint64_t value;
} constants[] = {
#define C(name) { #name, name }
	C(REPRISE_FRAME_MAGIC), C(REPRISE_FRAME_VERSION), C(REPRISE_FRAME_HEAD_BYTES),
	C(REPRISE_FRAME_MAX_BYTES), C(REPRISE_FRAME_MAX_OPS), C(REPRISE_OP_MAX_SECTORS),
	C(REPRISE_ZERO_MAX_SECTORS), C(REPRISE_MAX_VOLUMES), C(REPRISE_MAX_NODES),
	C(REPRISE_SECTOR_BYTES), C(REPRISE_ID_BYTES), C(REPRISE_ACK_MAGIC),
	C(REPRISE_ACK_VERSION), C(REPRISE_ACK_BYTES),
	C(REPRISE_OP_WRITE), C(REPRISE_OP_WRITE_ZEROES), C(REPRISE_OP_CHECKPOINT),
	C(REPRISE_OP_RESIZE), C(REPRISE_OP_FUA), C(REPRISE_OP_UNMAP), C(REPRISE_OP_SKIPPABLE),

	C(REPRISE_META_VERSION), C(REPRISE_META_AREA_BYTES), C(REPRISE_META_RECORD_BYTES),
	C(REPRISE_META_COPY0_OFFSET), C(REPRISE_META_INTENT_OFFSET),
	C(REPRISE_META_COPY1_OFFSET), C(REPRISE_META_MAX_TIMELINES), C(REPRISE_META_MAX_PEERS),
	C(REPRISE_LOG_VERSION), C(REPRISE_LOG_HEAD_BYTES),
	C(REPRISE_FORK_ORIGIN), C(REPRISE_FORK_CLEAN), C(REPRISE_FORK_CRASH),
	C(REPRISE_FORK_REWIND), C(REPRISE_FORK_RESOLVE),
	C(REPRISE_STORE_BLANK), C(REPRISE_STORE_CLEAN), C(REPRISE_STORE_UNCLEAN),
	C(REPRISE_STORE_PULLING), C(REPRISE_STORE_LOST), C(REPRISE_STORE_DAMAGED),

	C(REPRISE_DURABILITY_WRITE), C(REPRISE_DURABILITY_MEMORY), C(REPRISE_DURABILITY_FLUSH),
	C(REPRISE_DURABILITY_ASYNC), C(REPRISE_ON_PEER_LOSS_FREEZE),
	C(REPRISE_ON_PEER_LOSS_HOOK), C(REPRISE_ON_PEER_LOSS_ALONE),
	C(REPRISE_PEER_CONNECTED), C(REPRISE_PEER_ABSENT), C(REPRISE_PEER_BEHIND),
	C(REPRISE_CMD_GET), C(REPRISE_CMD_START), C(REPRISE_CMD_SET), C(REPRISE_CMD_STOP),
	C(REPRISE_CMD_ATTACH), C(REPRISE_CMD_DETACH), C(REPRISE_CMD_FREEZE),
	C(REPRISE_CMD_RESUME), C(REPRISE_CMD_EVENT),
	C(REPRISE_EVENT_STARTED), C(REPRISE_EVENT_STOPPED), C(REPRISE_EVENT_PEER_ATTACHED),
	C(REPRISE_EVENT_PEER_LOST), C(REPRISE_EVENT_IO_ERROR), C(REPRISE_EVENT_FROZEN),
	C(REPRISE_EVENT_RESUMED),
	C(REPRISE_A_NAME), C(REPRISE_A_RESOURCE_ID), C(REPRISE_A_NODE), C(REPRISE_A_TIMELINE_ID),
	C(REPRISE_A_GENERATION), C(REPRISE_A_SEQ), C(REPRISE_A_DURABILITY),
	C(REPRISE_A_ON_PEER_LOSS), C(REPRISE_A_TIMEOUT_MS), C(REPRISE_A_QUEUE_KIB),
	C(REPRISE_A_FROZEN), C(REPRISE_A_FORCE), C(REPRISE_A_WAIT_MS), C(REPRISE_A_VOLUME),
	C(REPRISE_A_PEER), C(REPRISE_A_EVENT), C(REPRISE_A_COMMIT), C(REPRISE_A_FLUSHED),
	C(REPRISE_A_QUEUED_BYTES), C(REPRISE_A_PARKED), C(REPRISE_A_PAD),
	C(REPRISE_V_NUMBER), C(REPRISE_V_MINOR), C(REPRISE_V_BACKING_FD), C(REPRISE_V_SECTORS),
	C(REPRISE_V_LOGICAL_BLOCK), C(REPRISE_V_BACKING_DEV), C(REPRISE_V_OPENERS),
	C(REPRISE_V_READS), C(REPRISE_V_WRITES), C(REPRISE_V_FLUSHES),
	C(REPRISE_V_READ_SECTORS), C(REPRISE_V_WRITE_SECTORS), C(REPRISE_V_IO_ERRORS),
	C(REPRISE_V_LATENCY), C(REPRISE_V_PAD), C(REPRISE_V_WRITE_ERRORS),
	C(REPRISE_P_NODE), C(REPRISE_P_NAME), C(REPRISE_P_SOCKET_FD), C(REPRISE_P_SESSION),
	C(REPRISE_P_POSITION), C(REPRISE_P_STATE), C(REPRISE_P_SENT), C(REPRISE_P_RECEIVED),
	C(REPRISE_P_DURABLE), C(REPRISE_P_APPLIED), C(REPRISE_P_REASON),
	C(REPRISE_P_DIRTY_BLOCKS), C(REPRISE_P_DIRTY_ALL), C(REPRISE_P_SENT_BYTES),
	C(REPRISE_P_FRAMES), C(REPRISE_P_PAD),

	C(WIRE_HELLO), C(WIRE_CHALLENGE), C(WIRE_PROOF), C(WIRE_ACCEPTED), C(WIRE_REFUSED),
	C(WIRE_INTRODUCE), C(WIRE_STATE), C(WIRE_HEARTBEAT), C(WIRE_GOODBYE), C(WIRE_OFFER),
	C(WIRE_OFFER_ANSWER), C(WIRE_SESSION_REFUSED), C(WIRE_LEAVE), C(WIRE_LEFT),
	C(WIRE_ENTER), C(WIRE_ENTERED), C(WIRE_WITHDRAW),
	C(WIRE_REFUSE_VERSION), C(WIRE_REFUSE_RESOURCE), C(WIRE_REFUSE_NODE),
	C(WIRE_REFUSE_KEY), C(WIRE_REFUSE_SESSION), C(WIRE_REFUSE_BUSY),
	C(WIRE_REFUSE_MALFORMED), C(WIRE_REFUSE_DISCONNECTED),
};

enum {
	NR_FIELDS = sizeof(fields) / sizeof(fields[0]),
	NR_STRUCTS = sizeof(structs) / sizeof(structs[0]),
	NR_CONSTANTS = sizeof(constants) / sizeof(constants[0]),
	MAX_ROWS = 512,
	MAX_TEXT = 1 << 20,
};

/* A row of a marked table: "| a | b | `c` | ...", the columns in numbers where they are. */
struct row {
	char table[64];			/* of the marker */
	unsigned long long marker;	/* the number at its end, if any */
	char name[64];
	unsigned long long first, second;
};

static struct row rows[MAX_ROWS];
static unsigned int nr_rows;

static char *slurp(const char *path)
{
	char *text = calloc(1, MAX_TEXT);
	FILE *file = fopen(path, "r");

	if (!text || !file || !fread(text, 1, MAX_TEXT - 1, file)) {
		printf("# %s cannot be read; run this from the top of the tree\n", path);
		exit(KSFT_FAIL);
	}
	fclose(file);
	return text;
}

static void take_row(const char *line, const struct row *head)
{
	struct row row = *head;

	if (sscanf(line, "| %llu | %llu | `%63[^`]`", &row.first, &row.second, row.name) != 3 &&
	    sscanf(line, "| `%63[^`]` | %lli |", row.name, (long long *)&row.first) != 2)
		return;
	if (nr_rows < MAX_ROWS)
		rows[nr_rows++] = row;
}

static void read_page(void)
{
	char *text = slurp(PAGE), *save, *line;
	struct row head = { 0 };

	nr_rows = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[64];
		unsigned long long bytes = 0;

		if (sscanf(line, "<!-- struct %50s %llu -->", name, &bytes) == 2)
			snprintf(head.table, sizeof(head.table), "struct %.50s", name);
		else if (sscanf(line, "<!-- wire %50s %llu -->", name, &bytes) == 2)
			snprintf(head.table, sizeof(head.table), "wire %.50s", name);
		else if (!strncmp(line, "<!-- constants", 14))
			snprintf(head.table, sizeof(head.table), "constants");
		else if (line[0] == '|' && head.table[0])
			take_row(line, &head);
		else if (line[0] != '|')
			head.table[0] = '\0';
		if (bytes)
			head.marker = bytes;
	}
	free(text);
}

static const struct row *find_row(const char *table, const char *name)
{
	for (unsigned int i = 0; i < nr_rows; i++)
		if (!strcmp(rows[i].table, table) && !strcmp(rows[i].name, name))
			return &rows[i];
	return NULL;
}

TEST(every_field_stands_where_the_page_says)
{
	unsigned int documented = 0;

	read_page();
	for (unsigned int i = 0; i < NR_FIELDS; i++) {
		const struct row *row = find_row(fields[i].of, fields[i].name);

		ASSERT_NE(NULL, row) TH_LOG("%s.%s is not in " PAGE, fields[i].of, fields[i].name);
		EXPECT_EQ(fields[i].offset, row->first) TH_LOG("%s.%s", fields[i].of, row->name);
		EXPECT_EQ(fields[i].bytes, row->second) TH_LOG("%s.%s", fields[i].of, row->name);
	}
	for (unsigned int i = 0; i < nr_rows; i++)
		documented += !strncmp(rows[i].table, "struct ", 7);
	EXPECT_EQ((unsigned int)NR_FIELDS, documented);
}

/* In order, without a gap, up to the size that the marker states, which is the compiler's. */
TEST(structures_leave_no_gap)
{
	read_page();
	for (unsigned int i = 0; i < NR_STRUCTS; i++) {
		unsigned long long at = 0;

		for (unsigned int j = 0; j < nr_rows; j++) {
			if (strcmp(rows[j].table, structs[i].name))
				continue;
			EXPECT_EQ(at, rows[j].first) TH_LOG("%s.%s", structs[i].name, rows[j].name);
			EXPECT_EQ(structs[i].bytes, rows[j].marker) TH_LOG("%s", structs[i].name);
			at = rows[j].first + rows[j].second;
		}
		EXPECT_EQ(structs[i].bytes, at) TH_LOG("%s", structs[i].name);
	}
}

TEST(every_constant_has_the_value_that_the_page_says)
{
	unsigned int documented = 0;

	read_page();
	for (unsigned int i = 0; i < NR_CONSTANTS; i++) {
		const struct row *row = find_row("constants", constants[i].name);

		ASSERT_NE(NULL, row) TH_LOG("%s is not in " PAGE, constants[i].name);
		EXPECT_EQ(constants[i].value, row->first) TH_LOG("%s", constants[i].name);
	}
	for (unsigned int i = 0; i < nr_rows; i++)
		documented += !strcmp(rows[i].table, "constants");
	EXPECT_EQ((unsigned int)NR_CONSTANTS, documented);
}

/* Not for the page: names of sizes, of ends of lists, of what is no format. */
static bool is_no_format(const char *name)
{
	size_t length = strlen(name);

	return strstr(name, "_UNSPEC") || strstr(name, "_NR") || !strncmp(name, "__", 2) ||
	       !strcmp(name, "REPRISE_NAME_MAX") || !strcmp(name, "REPRISE_HIST_BUCKETS") ||
	       (!strncmp(name, "WIRE_", 5) &&
		((length > 6 && !strcmp(name + length - 6, "_BYTES")) ||
		 strstr(name, "_BODY") || strstr(name, "_MAGIC") ||
		 !strcmp(name, "WIRE_VERSION") || !strcmp(name, "WIRE_CONTROL") ||
		 !strcmp(name, "WIRE_DATA")));
}

/* Enumerators that were added to a header and not to the page. */
TEST(headers_hold_nothing_that_the_page_lacks)
{
	static const char *const headers[] = {
		"kmod/uapi/reprise_frame.h", "kmod/uapi/reprise_meta.h",
		"kmod/uapi/reprise_netlink.h", "agent/wire.h",
	};
	unsigned int seen = 0;

	read_page();
	for (unsigned int i = 0; i < 4; i++) {
		char *text = slurp(headers[i]), *save, *line;

		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			char name[64];

			if (line[0] != '\t' || sscanf(line, "\t%63[A-Z0-9_]", name) != 1 ||
			    (strncmp(name, "REPRISE_", 8) && strncmp(name, "WIRE_", 5)) ||
			    is_no_format(name))
				continue;
			seen++;
			EXPECT_NE(NULL, find_row("constants", name)) TH_LOG("%s", name);
		}
		free(text);
	}
	EXPECT_LT(100u, seen);
}

static void little(uint8_t *to, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		to[i] = value >> (8 * i);
}

/* Puts @bytes of @value where the page says that @field stands. */
static bool place(uint8_t *image, const char *table, const char *field, const void *value,
		  size_t bytes)
{
	const struct row *row = find_row(table, field);

	if (!row || row->second != bytes)
		return false;
	memcpy(image + row->first, value, bytes);
	return true;
}

static bool place_number(uint8_t *image, const char *table, const char *field, uint64_t value,
			 unsigned int bytes)
{
	uint8_t wire[8];

	little(wire, value, bytes);
	return place(image, table, field, wire, bytes);
}

/* The handshake's bodies have no structures: their encoders are compared. */
TEST(handshake_bodies_are_laid_out_as_the_page_says)
{
	uint8_t want[WIRE_HELLO_BYTES] = { 0 }, got[WIRE_HELLO_BYTES];
	struct wire_hello hello = { .from = 0x0102, .to = 0x0304, .kind = WIRE_DATA,
				    .session = 0x1112131415161718 };
	struct wire_challenge challenge;
	struct wire_refused refused = { .code = WIRE_REFUSE_KEY };

	read_page();
	memset(hello.resource_id, 0xa1, sizeof(hello.resource_id));
	memset(hello.nonce, 0xa2, sizeof(hello.nonce));
	memset(hello.keys[0], 0xa3, sizeof(hello.keys[0]));
	memset(hello.keys[1], 0xa4, sizeof(hello.keys[1]));
	EXPECT_TRUE(place(want, "wire hello", "resource_id", hello.resource_id, 16));
	EXPECT_TRUE(place_number(want, "wire hello", "from", hello.from, 2));
	EXPECT_TRUE(place_number(want, "wire hello", "to", hello.to, 2));
	EXPECT_TRUE(place_number(want, "wire hello", "kind", hello.kind, 2));
	EXPECT_TRUE(place_number(want, "wire hello", "session", hello.session, 8));
	EXPECT_TRUE(place(want, "wire hello", "nonce", hello.nonce, 32));
	EXPECT_TRUE(place(want, "wire hello", "keys", hello.keys, 16));
	wire_put_hello(got, &hello);
	EXPECT_EQ(0, memcmp(want, got, WIRE_HELLO_BYTES));

	memset(want, 0, sizeof(want));
	memset(challenge.nonce, 0xb1, sizeof(challenge.nonce));
	memset(challenge.key, 0xb2, sizeof(challenge.key));
	EXPECT_TRUE(place(want, "wire challenge", "nonce", challenge.nonce, 32));
	EXPECT_TRUE(place(want, "wire challenge", "key", challenge.key, 8));
	wire_put_challenge(got, &challenge);
	EXPECT_EQ(0, memcmp(want, got, WIRE_CHALLENGE_BYTES));

	memset(want, 0, sizeof(want));
	memset(refused.key, 0xc1, sizeof(refused.key));
	EXPECT_TRUE(place_number(want, "wire refused", "code", refused.code, 2));
	EXPECT_TRUE(place(want, "wire refused", "key", refused.key, 8));
	wire_put_refused(got, &refused);
	EXPECT_EQ(0, memcmp(want, got, WIRE_REFUSED_BYTES));

	memset(want, 0, sizeof(want));
	EXPECT_TRUE(place_number(want, "wire head", "magic", WIRE_MAGIC, 4));
	EXPECT_TRUE(place_number(want, "wire head", "version", WIRE_VERSION, 2));
	EXPECT_TRUE(place_number(want, "wire head", "type", WIRE_OFFER, 2));
	EXPECT_TRUE(place_number(want, "wire head", "length", 0x00012345, 4));
	wire_put_head(got, WIRE_OFFER, 0x00012345);
	EXPECT_EQ(0, memcmp(want, got, WIRE_HEAD_BYTES));
}

TEST_HARNESS_MAIN
