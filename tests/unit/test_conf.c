// SPDX-License-Identifier: GPL-2.0
/*
 * The configuration: a good file is read completely, every complaint of
 * conf.c names the right line, and garbage is refused with words.  A case is
 * the good file with one line replaced.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "conf.h"

#define ID	"0123456789abcdef0123456789abcdef"
#define KEY	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY2	"ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char *const good[] = {
	"# a resource",					/* 1 */
	"id = \"" ID "\"",				/* 2 */
	"key = \"" KEY "\"",				/* 3 */
	"durability = write",				/* 4 */
	"on-peer-loss = alone",				/* 5 */
	"timeout = \"6s\"",				/* 6 */
	"queue = \"64MiB\"",				/* 7 */
	"logical-block-size = 512",			/* 8 */
	"log-size = \"512MiB\"",			/* 9 */
	"segment-size = \"64MiB\"",			/* 10 */
	"unapplied = \"32MiB\"",			/* 11 */
	"volume 0 { minor = 0 }",			/* 12 */
	"volume 1 { }",					/* 13 */
	"node beta {",					/* 14 */
	"  id = 2",					/* 15 */
	"  address = \"[fd77::2]:7800\"",		/* 16 */
	"  log = \"/dev/vdl\"",				/* 17 */
	"  volume 1 { device = \"/dev/vdc\" }",		/* 18 */
	"  volume 0 { device = \"/dev/vdb\" }",		/* 19 */
	"}",						/* 20 */
	"node alpha {",					/* 21 */
	"  id = 1",					/* 22 */
	"  address = \"10.77.0.1\"",			/* 23 */
	"  log = \"/var/lib/reprise/pg\"",		/* 24 */
	"  volume 0 { device = \"/dev/vdb\" }",		/* 25 */
	"  volume 1 { device = \"/dev/vdc\" }",		/* 26 */
	"}",						/* 27 */
};

enum { NR_LINES = sizeof(good) / sizeof(good[0]) };

FIXTURE(conf) {
	char dir[32];
	char path[64];
	char error[512];
	struct conf conf;
};

FIXTURE_SETUP(conf)
{
	strcpy(self->dir, "/tmp/test_conf.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	snprintf(self->path, sizeof(self->path), "%s/pg.conf", self->dir);
	memset(&self->conf, 0x5a, sizeof(self->conf));
	self->error[0] = 0;
}

FIXTURE_TEARDOWN(conf)
{
	unlink(self->path);
	rmdir(self->dir);
}

static void write_bytes(const char *path, const void *bytes, size_t length, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length || fchmod(fd, mode))
		abort();
	close(fd);
}

/* The good file; line @at (from 1) replaced, 0: none; NULL: left empty. */
static void write_conf(const char *path, int at, const char *replacement)
{
	char text[16384];
	size_t length = 0;

	for (int i = 1; i <= NR_LINES; i++)
		length += snprintf(text + length, sizeof(text) - length, "%s\n",
				   i != at ? good[i - 1] : replacement ? replacement : "");
	write_bytes(path, text, length, 0600);
}

static int load(struct _test_data_conf *self)
{
	return conf_load(self->path, &self->conf, self->error, sizeof(self->error));
}

TEST_F(conf, good_file)
{
	const struct conf *c = &self->conf;
	const struct sockaddr_in *in;
	const struct sockaddr_in6 *in6;

	write_conf(self->path, 0, NULL);
	ASSERT_EQ(0, load(self)) TH_LOG("%s", self->error);
	EXPECT_STREQ("pg", c->name);
	EXPECT_STREQ(self->path, c->path);
	EXPECT_EQ(0x01, c->id[0]);
	EXPECT_EQ(0xef, c->id[15]);
	EXPECT_EQ(0x00, c->key[0]);
	EXPECT_EQ(0xff, c->key[31]);
	EXPECT_FALSE(c->has_previous_key);
	EXPECT_EQ(REPRISE_DURABILITY_WRITE, c->durability);
	EXPECT_EQ(REPRISE_ON_PEER_LOSS_ALONE, c->on_peer_loss);
	EXPECT_EQ(6000, c->timeout_ms);
	EXPECT_EQ(65536, c->queue_kib);
	EXPECT_EQ(512, c->logical_block_bytes);
	EXPECT_EQ(512ULL << 20, c->log_bytes);
	EXPECT_EQ(64ULL << 20, c->segment_bytes);
	EXPECT_EQ(32ULL << 20, c->unapplied_bytes);
	ASSERT_EQ(2, c->nr_volumes);
	EXPECT_EQ(0, c->volumes[0].minor);
	EXPECT_EQ(-1, c->volumes[1].minor);
	ASSERT_EQ(2, c->nr_nodes);
	EXPECT_STREQ("alpha", c->nodes[0].name);
	EXPECT_STREQ("/var/lib/reprise/pg", c->nodes[0].log);
	EXPECT_STREQ("10.77.0.1", c->nodes[0].address);
	in = (const struct sockaddr_in *)&c->nodes[0].addr;
	EXPECT_EQ(AF_INET, in->sin_family);
	EXPECT_EQ(htons(CONF_DEFAULT_PORT), in->sin_port);
	EXPECT_EQ(sizeof(*in), c->nodes[0].addr_len);
	EXPECT_STREQ("beta", c->nodes[1].name);
	in6 = (const struct sockaddr_in6 *)&c->nodes[1].addr;
	EXPECT_EQ(AF_INET6, in6->sin6_family);
	EXPECT_EQ(htons(7800), in6->sin6_port);
	ASSERT_EQ(2, c->nodes[1].nr_volumes);
	EXPECT_EQ(0, c->nodes[1].volumes[0].number);
	EXPECT_STREQ("/dev/vdb", c->nodes[1].volumes[0].device);
	EXPECT_STREQ("/dev/vdc", c->nodes[1].volumes[1].device);
	EXPECT_EQ(&c->nodes[1], conf_node_by_id(c, 2));
	EXPECT_EQ(&c->nodes[0], conf_node_by_name(c, "alpha"));
	EXPECT_EQ(NULL, conf_node_by_id(c, 3));
	EXPECT_EQ(NULL, conf_node_by_name(c, "gamma"));
}

TEST_F(conf, settings)
{
	const struct conf *c = &self->conf;

	write_conf(self->path, 4, "durability = \"flush\" previous-key = \"" KEY2 "\"");
	ASSERT_EQ(0, load(self)) TH_LOG("%s", self->error);
	EXPECT_EQ(REPRISE_DURABILITY_FLUSH, c->durability);
	EXPECT_TRUE(c->has_previous_key);
	EXPECT_EQ(0xff, c->previous_key[0]);
	write_conf(self->path, 5, "on-peer-loss = freeze");
	ASSERT_EQ(0, load(self)) TH_LOG("%s", self->error);
	EXPECT_EQ(REPRISE_ON_PEER_LOSS_FREEZE, c->on_peer_loss);
	write_conf(self->path, 6, "timeout = 1500ms");
	ASSERT_EQ(0, load(self)) TH_LOG("%s", self->error);
	EXPECT_EQ(1500, c->timeout_ms);
	write_conf(self->path, 9, "log-size = \"2 GiB\"");
	ASSERT_EQ(0, load(self)) TH_LOG("%s", self->error);
	EXPECT_EQ(2ULL << 30, c->log_bytes);
	write_conf(self->path, 7, "");
	ASSERT_EQ(0, load(self)) TH_LOG("%s", self->error);
	EXPECT_EQ(65536, c->queue_kib);
}

struct bad_line {
	int at;
	const char *text;
	int line;		/* where the complaint must point */
	const char *words;	/* NULL: not bad at all */
};

static const struct bad_line bad_lines[] = {
	/* syntax */
	{ 4, "durabilty = write", 4, "no such option 'durabilty'" },
	{ 4, "durability write", 4, "missing equal sign" },
	{ 4, "durability = { }", 4, "unexpected token" },
	{ 8, "logical-block-size = \"big\"", 8, "invalid integer" },
	{ 8, "logical-block-size = 99999999999999999999", 8, "out of range" },
	{ 27, "", 21, "has no closing brace" },
	{ 3, "key = \"001", 3, "a string begins in this line and does not end" },
	{ 3, "key = '001", 3, "a string begins in this line and does not end" },
	{ 3, "key = \"001\\", 3, "a string begins in this line and does not end" },
	{ 5, "/* on-peer-loss\n", 5, "a comment begins in this line and does not end" },
	{ 5, "on-peer-loss = \"${HOME}\"", 5, "environment variables are not expanded" },
	{ 5, "on-peer-loss = alo\x01ne", 5, "a control character" },
	{ 5, "#\n# a comment\n// one\n/* three\n*\n*/ /**/x = 1 #", 10, "no such option 'x'" },
	{ 5, "#", 0, NULL },
	{ 14, "node {", 14, "missing title" },
	{ 15, "  ident = 2", 15, "no such option 'ident'" },
	{ 20, "}}", 20, "unexpected closing brace" },
	/* twice */
	{ 4, "durability = write\ndurability = write", 5, "'durability' was already set in line 4" },
	{ 15, "id = 2 id = 3", 15, "'id' was already set in line 15" },
	{ 13, "volume 0 { }", 13, "duplicate title '0'" },
	{ 21, "node beta {", 21, "duplicate title 'beta'" },
	{ 19, "volume 1 { device = \"/dev/vdd\" }", 19, "duplicate title '1'" },
	/* identity */
	{ 2, "", 27, "the resource lacks 'id'" },
	{ 3, "", 27, "the resource lacks 'key'" },
	{ 2, "id = \"0123\"", 2, "'id' must be 32 hexadecimal digits" },
	{ 2, "id = \"0123456789abcdef0123456789abcdeg\"", 2, "32 hexadecimal digits" },
	{ 2, "id = \"00000000000000000000000000000000\"", 2, "'id' is all zeros" },
	{ 3, "key = \"" ID "\"", 3, "'key' must be 64 hexadecimal digits" },
	{ 4, "previous-key = \"" KEY "\"", 4, "'previous-key' equals 'key'" },
	{ 4, "previous-key = \"xyz\"", 4, "'previous-key' must be 64" },
	/* settings */
	{ 4, "durability = sometimes", 4, "it can be write, memory, flush or async" },
	{ 5, "on-peer-loss = hook", 5, "comes with a later version" },
	{ 5, "on-peer-loss = panic", 5, "it can be freeze or alone" },
	{ 6, "timeout = \"6\"", 6, "write a number and ms or s" },
	{ 6, "timeout = \"6m\"", 6, "write a number and ms or s" },
	{ 6, "timeout = \"-6s\"", 6, "write a number and ms or s" },
	{ 6, "timeout = \"99ms\"", 6, "between 100ms and 600s" },
	{ 6, "timeout = \"601s\"", 6, "between 100ms and 600s" },
	{ 7, "queue = \"64MB\"", 7, "KiB, MiB or GiB" },
	{ 7, "queue = \"\"", 7, "KiB, MiB or GiB" },
	{ 7, "queue = \"1023KiB\"", 7, "'queue' must be between 1MiB and 1GiB" },
	{ 7, "queue = \"2GiB\"", 7, "'queue' must be between 1MiB and 1GiB" },
	{ 7, "queue = \"99999999999999999999GiB\"", 7, "KiB, MiB or GiB" },
	{ 8, "logical-block-size = 1024", 8, "it can be 512 or 4096" },
	{ 9, "log-size = \"16MiB\"", 9, "'log-size' must be between" },
	{ 9, "log-size = \"1001KiB\"", 9, "'log-size' must be between" },
	{ 9, "log-size = \"500MiB\"", 10, "multiple of 'segment-size'" },
	{ 10, "segment-size = \"4MiB\"", 10, "'segment-size' must be between" },
	{ 10, "segment-size = \"256MiB\"", 10, "at most a quarter of 'log-size'" },
	{ 9, "log-size = \"64GiB\"", 10, "more than 512 segments" },
	{ 11, "unapplied = \"1MiB\"", 11, "'unapplied' must be between" },
	{ 11, "unapplied = \"8193KiB\"", 11, "multiple of 64KiB" },
	{ 11, "unapplied = \"512MiB\"", 11, "at most half of 'log-size'" },
	/* volumes */
	{ 12, "volume 16 { }", 12, "a volume's number is 0 to 15" },
	{ 12, "volume 00 { }", 12, "a volume's number is 0 to 15" },
	{ 12, "volume data { }", 12, "a volume's number is 0 to 15" },
	{ 12, "volume 0 { minor = -1 }", 12, "'minor' is -1" },
	{ 12, "volume 0 { minor = 1048576 }", 12, "'minor' is 1048576" },
	{ 13, "volume 1 { minor = 0 }", 13, "minor 0 is already taken by volume 0" },
	{ 12, "", 20, "node beta has volume 0, which the resource does not have" },
	{ 13, "volume 1 { } volume 2 { }", 20, "node beta lacks volume 2" },
	/* nodes */
	{ 14, "node \"be ta\" {", 20, "a node's name has 1 to 63" },
	{ 14, "node \"\" {", 20, "a node's name has 1 to 63" },
	{ 14, "node \"-beta\" {", 20, "begins with a letter" },
	{ 15, "", 20, "node beta lacks 'id'" },
	{ 15, "id = 0", 15, "'id' is 0; it can be 1 to 16" },
	{ 15, "id = 17", 15, "'id' is 17" },
	{ 22, "id = 2", 22, "id 2 is already the id of node beta" },
	{ 16, "", 20, "node beta lacks 'address'" },
	{ 16, "address = \"beta.example.org:7799\"", 16, "numeric address" },
	{ 16, "address = \"10.0.0.300\"", 16, "numeric address" },
	{ 16, "address = \"10.0.0.3:0\"", 16, "numeric address" },
	{ 16, "address = \"10.0.0.3:65536\"", 16, "numeric address" },
	{ 16, "address = \"10.0.0.3:\"", 16, "numeric address" },
	{ 16, "address = \"[10.0.0.3]:77\"", 16, "numeric address" },
	{ 16, "address = \"[fd77::2\"", 16, "numeric address" },
	{ 16, "address = \"[fd77::2]7799\"", 16, "numeric address" },
	{ 16, "address = \"0.0.0.0\"", 16, "numeric address" },
	{ 16, "address = \"::\"", 16, "numeric address" },
	{ 16, "address = \"10.77.0.1:7799\"", 23, "is already the address of node beta" },
	{ 17, "", 20, "node beta lacks 'log'" },
	{ 17, "log = \"log\"", 17, "must be an absolute path" },
	{ 18, "volume 1 { }", 18, "volume 1 lacks 'device'" },
	{ 18, "volume 1 { device = \"vdc\" }", 18, "must be an absolute path" },
	{ 18, "volume 1 { device = \"/dev/vdl\" }", 18, "already the log of node beta" },
	{ 19, "volume 0 { device = \"/dev/vdc\" }", 19, "already the device of volume 1" },
	{ 18, "", 20, "node beta lacks volume 1" },
	{ 20, "}\nnode gamma { }\nnode delta { }", 21, "node gamma lacks 'id'" },
};

TEST_F(conf, bad_lines)
{
	struct conf before = self->conf, accepted;
	char place[128];

	for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
		const struct bad_line *bad = &bad_lines[i];

		write_conf(self->path, bad->at, bad->text);
		if (!bad->words) {
			EXPECT_EQ(0, conf_load(self->path, &accepted, self->error,
					       sizeof(self->error)));
			continue;
		}
		EXPECT_EQ(-EINVAL, load(self)) TH_LOG("accepted: %s", bad->text);
		snprintf(place, sizeof(place), "%s:%d: ", self->path, bad->line);
		EXPECT_EQ(0, strncmp(place, self->error, strlen(place)))
			TH_LOG("%s: line %d wanted: %s", bad->text, bad->line, self->error);
		EXPECT_NE(NULL, strstr(self->error, bad->words))
			TH_LOG("%s: \"%s\" wanted: %s", bad->text, bad->words, self->error);
		EXPECT_EQ(0, memcmp(&before, &self->conf, sizeof(before)));
	}
}

TEST_F(conf, number_of_nodes)
{
	char text[8192];
	size_t length = 0;

	for (int i = 0; i < 20; i++)
		length += snprintf(text + length, sizeof(text) - length, "%s\n", good[i]);
	write_bytes(self->path, text, length, 0600);
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_NE(NULL, strstr(self->error, "the resource has one node; it needs two"));
	write_conf(self->path, 27, "}\nnode gamma {\n id = 3\n}");
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_NE(NULL, strstr(self->error, "node gamma is one too many")) TH_LOG("%s", self->error);
	EXPECT_NE(NULL, strstr(self->error, "pg.conf:30: "));
}

TEST_F(conf, no_volume)
{
	char text[256];

	snprintf(text, sizeof(text), "id = \"%s\"\nkey = \"%s\"\n", ID, KEY);
	write_bytes(self->path, text, strlen(text), 0600);
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_NE(NULL, strstr(self->error, "the resource has no volume"));
}

TEST_F(conf, long_texts)
{
	char line[1024], long_text[600];

	memset(long_text, 'x', sizeof(long_text));
	long_text[0] = '/';
	long_text[sizeof(long_text) - 1] = 0;
	snprintf(line, sizeof(line), "log = \"%s\"", long_text);
	write_conf(self->path, 17, line);
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_NE(NULL, strstr(self->error, "longer than 255"));
	snprintf(line, sizeof(line), "address = \"%s\"", long_text);
	write_conf(self->path, 16, line);
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_NE(NULL, strstr(self->error, "numeric address"));
	snprintf(line, sizeof(line), "node \"%s\" {", long_text + 1);
	write_conf(self->path, 14, line);
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_NE(NULL, strstr(self->error, "a node's name"));
	/* A short buffer is filled and terminated, no more. */
	memset(long_text, 'y', sizeof(long_text));
	EXPECT_EQ(-EINVAL, conf_load(self->path, &self->conf, long_text, 20));
	EXPECT_EQ(19, strlen(long_text));
	EXPECT_EQ('y', long_text[20]);
}

/* A wrong key must not end up in a log. */
TEST_F(conf, key_is_not_quoted)
{
	write_conf(self->path, 3, "key = \"5ec4e75ec4e7\"");
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_EQ(NULL, strstr(self->error, "5ec4e7"));
	/* The quotation mark is misplaced: the key is taken for the next setting's name. */
	write_conf(self->path, 3, "key = 00\"" KEY "\"");
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_NE(NULL, strstr(self->error, "pg.conf:3: no such option '***"));
	EXPECT_EQ(NULL, strstr(self->error, "112233"));
}

TEST_F(conf, access)
{
	static const mode_t bad[] = { 0640, 0604, 0644, 0620, 0601 };
	char other[96];

	EXPECT_EQ(-ENOENT, load(self));
	EXPECT_NE(NULL, strstr(self->error, "cannot be opened: No such file"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_conf(self->path, 0, NULL);
		ASSERT_EQ(0, chmod(self->path, bad[i]));
		EXPECT_EQ(-EACCES, load(self));
		EXPECT_NE(NULL, strstr(self->error, "run: chmod 600"));
	}
	snprintf(other, sizeof(other), "%s/.conf", self->dir);
	EXPECT_EQ(-EINVAL, conf_load(other, &self->conf, self->error, sizeof(self->error)));
	EXPECT_NE(NULL, strstr(self->error, "a resource's name"));
	snprintf(other, sizeof(other), "%s/pg", self->dir);
	EXPECT_EQ(-EINVAL, conf_load(other, &self->conf, self->error, sizeof(self->error)));
	EXPECT_NE(NULL, strstr(self->error, "must end in .conf"));
	unlink(self->path);
	ASSERT_EQ(0, mkdir(self->path, 0700));
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_NE(NULL, strstr(self->error, "not a regular file"));
	rmdir(self->path);
	write_conf(self->path, 0, NULL);
	ASSERT_EQ(0, truncate(self->path, 2 << 20));
	EXPECT_EQ(-EINVAL, load(self));
	EXPECT_NE(NULL, strstr(self->error, "larger than 1 MiB"));
}

/* Bytes changed, cut and invented: never accepted blindly, never a crash. */
TEST_F(conf, garbage)
{
	char text[4096], bytes[4096];
	size_t length = 0;
	unsigned int seed = 1;

	for (int i = 0; i < NR_LINES; i++)
		length += snprintf(text + length, sizeof(text) - length, "%s\n", good[i]);
	for (int round = 0; round < 2000; round++) {
		size_t n = length;

		memcpy(bytes, text, length);
		if (round % 4 == 0)
			n = rand_r(&seed) % length;
		for (unsigned int k = rand_r(&seed) % 6 + (round % 4 != 0); k; k--)
			bytes[rand_r(&seed) % length] = rand_r(&seed);
		if (round % 100 == 99)
			for (n = 0; n < sizeof(bytes); n++)
				bytes[n] = rand_r(&seed);
		write_bytes(self->path, bytes, n, 0600);
		self->error[0] = 0;
		if (load(self)) {
			ASSERT_EQ(0, strncmp(self->error, self->path, strlen(self->path)))
				TH_LOG("round %d: %s", round, self->error);
			ASSERT_GT(strlen(self->error), strlen(self->path) + 4);
		}
	}
}

static void describe(struct _test_data_conf *self, int at, const char *line, char *buf,
		     size_t bytes)
{
	write_conf(self->path, at, line);
	if (load(self) || conf_describe(&self->conf, buf, bytes) >= (int)bytes)
		abort();
}

TEST_F(conf, description)
{
	char mine[4096], theirs[4096], text[256];
	uint8_t a[32], b[32];

	describe(self, 0, NULL, mine, sizeof(mine));
	conf_digest(&self->conf, a);
	EXPECT_NE(NULL, strstr(mine, "durability = write\n"));
	EXPECT_NE(NULL, strstr(mine, "volumes = 0 1\n"));
	EXPECT_NE(NULL, strstr(mine, "address of node 1 = 10.77.0.1:7799\n"));
	EXPECT_NE(NULL, strstr(mine, "address of node 2 = [fd77::2]:7800\n"));
	EXPECT_EQ(NULL, strstr(mine, "00112233"));
	EXPECT_FALSE(conf_difference(mine, mine, "alpha", "beta", text, sizeof(text)));

	/* Spelling, comments, keys and what is local do not count. */
	describe(self, 1, "previous-key = \"" KEY2 "\"", theirs, sizeof(theirs));
	conf_digest(&self->conf, b);
	EXPECT_STREQ(mine, theirs);
	EXPECT_EQ(0, memcmp(a, b, sizeof(a)));
	describe(self, 23, "address = \"10.77.0.1:7799\"", theirs, sizeof(theirs));
	EXPECT_STREQ(mine, theirs);
	describe(self, 17, "log = \"/elsewhere\"", theirs, sizeof(theirs));
	EXPECT_STREQ(mine, theirs);

	describe(self, 4, "durability = flush", theirs, sizeof(theirs));
	conf_digest(&self->conf, b);
	EXPECT_NE(0, memcmp(a, b, sizeof(a)));
	EXPECT_TRUE(conf_difference(mine, theirs, "alpha", "beta", text, sizeof(text)));
	EXPECT_STREQ("durability is \"write\" on alpha and \"flush\" on beta", text);
	describe(self, 6, "timeout = 7s", theirs, sizeof(theirs));
	EXPECT_TRUE(conf_difference(mine, theirs, "alpha", "beta", text, sizeof(text)));
	EXPECT_STREQ("timeout is \"6000ms\" on alpha and \"7000ms\" on beta", text);

	/* It may be cut like snprintf(). */
	EXPECT_EQ((int)strlen(theirs), conf_describe(&self->conf, text, sizeof(text)));
	EXPECT_EQ(sizeof(text) - 1, strlen(text));
	EXPECT_EQ((int)strlen(theirs), conf_describe(&self->conf, NULL, 0));
}

TEST(difference_of_strangers)
{
	char longer[300] = "";
	char text[512];

	EXPECT_FALSE(conf_difference("a = 1\n", "a = 1", "alpha", "beta", text, sizeof(text)));
	EXPECT_FALSE(conf_difference("a = 1\n\n\n", "a = 1\n", "alpha", "beta", text,
				     sizeof(text)));
	EXPECT_TRUE(conf_difference("a = 1\n", "\na = 1\n", "alpha", "beta", text, sizeof(text)));
	EXPECT_TRUE(conf_difference("a = 1\nb = 2\n", "b = 2\n", "alpha", "beta", text, sizeof(text)));
	EXPECT_STREQ("\"a = 1\" stands only on alpha", text);
	EXPECT_TRUE(conf_difference("b = 2\n", "a = 1\nb = 2\n", "alpha", "beta", text, sizeof(text)));
	EXPECT_STREQ("\"a = 1\" stands only on beta", text);
	EXPECT_TRUE(conf_difference("", "a = 1", "alpha", "beta", text, sizeof(text)));
	EXPECT_STREQ("\"a = 1\" stands only on beta", text);
	EXPECT_TRUE(conf_difference("a = 1\n", "", "alpha", "beta", text, sizeof(text)));
	EXPECT_STREQ("\"a = 1\" stands only on alpha", text);
	EXPECT_TRUE(conf_difference("a = 1\n", "a = \x1b[2J\xff\n", "alpha", "beta", text,
				    sizeof(text)));
	EXPECT_STREQ("a is \"1\" on alpha and \"?[2J?\" on beta", text);
	EXPECT_TRUE(conf_difference("a = 1\n", "a = ", "alpha", "beta", text, sizeof(text)));
	EXPECT_STREQ("a is \"1\" on alpha and \"\" on beta", text);
	/* The sign stands in the next line; a line without one; one longer than is shown. */
	EXPECT_TRUE(conf_difference("a\nb = 1\n", "a\nb = 2\n", "alpha", "beta", text,
				    sizeof(text)));
	EXPECT_STREQ("b is \"1\" on alpha and \"2\" on beta", text);
	EXPECT_TRUE(conf_difference("a = 1\n", "a\n", "alpha", "beta", text, sizeof(text)));
	memset(longer, 'x', sizeof(longer) - 1);
	memcpy(longer, "a = ", 4);
	EXPECT_TRUE(conf_difference(longer, "a = 1", "alpha", "beta", text, sizeof(text)));
	EXPECT_GT(150, strlen(text));
	EXPECT_TRUE(conf_difference("a\n", "\n\n\n", "alpha", "beta", text, sizeof(text)));
	EXPECT_TRUE(conf_difference("a = 1\nb = 2\n", "a = 1\nb = 2\nc = 3", "alpha", "beta",
				    text, sizeof(text)));
}

TEST(names)
{
	EXPECT_STREQ("memory", durability_name(REPRISE_DURABILITY_MEMORY));
	EXPECT_STREQ("async", durability_name(REPRISE_DURABILITY_ASYNC));
	EXPECT_STREQ("unknown", durability_name(0));
	EXPECT_STREQ("hook", on_peer_loss_name(REPRISE_ON_PEER_LOSS_HOOK));
	EXPECT_STREQ("unknown", on_peer_loss_name(9));
}

TEST_HARNESS_MAIN
