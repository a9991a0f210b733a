// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel module without an agent: starts and stops resources, and plays
 * the replica with a decoder of its own, so that module and agent are not
 * judged by the code they share.
 *
 *	ktool start NAME NODE DEVICE [key=value...]
 *	ktool stop NAME [force | wait_ms=N]
 *	ktool mirror NAME NODE IMAGE [key=value...]	play the replica until end of stream
 *	ktool get NAME
 *	ktool freeze|resume NAME
 *	ktool fail OPERATION NAME DEVICE [key=value...]	ktool_fail.c
 *	ktool cycle NAME DEVICE [key=value...]		ktool_cycle.c
 *
 * mirror applies every frame to IMAGE at once and acknowledges it; faults:
 * lie=ahead|back|crc|session (bad acknowledgements), silent=1 (none at all),
 * after=N (misbehave, or hang up, after N frames), delay_us=N.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ktool.h"

static const char **options;
static int nr_options;

const char *option(const char *key, const char *otherwise)
{
	size_t len = strlen(key);

	for (int i = 0; i < nr_options; i++)
		if (!strncmp(options[i], key, len) && options[i][len] == '=')
			return options[i] + len + 1;
	return otherwise;
}

long number(const char *key, long otherwise)
{
	const char *text = option(key, NULL);

	return text ? strtol(text, NULL, 0) : otherwise;
}

void die(const char *what, int err)
{
	fprintf(stderr, "ktool: %s: %s\n", what, strerror(err < 0 ? -err : err));
	exit(1);
}

struct nl *connect_kernel(void)
{
	struct nl *nl;
	int err = nl_open(&nl);

	if (err)
		die("netlink", err);
	return nl;
}

static void check(struct nl *nl, int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "ktool: %s: %s (%s)\n", what, nl_error(nl), strerror(-err));
	exit(1);
}

/* --- checksum: table driven, unlike everybody else's -------------------- */

static uint32_t crc_table[256];

static void crc_setup(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78 : c >> 1;
		crc_table[i] = c;
	}
}

static uint32_t crc32c(const void *data, size_t bytes)
{
	const uint8_t *p = data;
	uint32_t c = ~0u;

	while (bytes--)
		c = crc_table[(c ^ *p++) & 0xff] ^ c >> 8;
	return ~c;
}

/* --- start, stop, get --------------------------------------------------- */

static void set_ids(struct nl_resource *res)
{
	memset(res->id, 0xab, sizeof(res->id));
	memset(res->timeline_id, (int)number("timeline", 0x17), sizeof(res->timeline_id));
}

/* What a start needs, for the device behind @fd. */
void describe(struct nl_resource *res, const char *name, int node, int fd)
{
	uint64_t bytes;

	if (ioctl(fd, BLKGETSIZE64, &bytes))
		die("backing device", errno);
	snprintf(res->name, sizeof(res->name), "%s", name);
	set_ids(res);
	res->node = node;
	res->generation = 1;
	res->seq = number("seq", 0);
	res->durability = number("durability", REPRISE_DURABILITY_WRITE);
	res->on_peer_loss = number("on_peer_loss", REPRISE_ON_PEER_LOSS_ALONE);
	res->timeout_ms = number("timeout_ms", 5000);
	res->queue_kib = number("queue_kib", 65536);
	res->frozen = number("frozen", 0);
	res->nr_volumes = 1;
	res->volumes[0].minor = number("minor", -1);
	res->volumes[0].backing_fd = fd;
	res->volumes[0].sectors = number("sectors", (long)(bytes / 512));
	res->volumes[0].logical_block_bytes = number("block", 512);
	res->nr_peers = 1;
	res->peers[0].node = number("peer", node == 1 ? 2 : 1);
	snprintf(res->peers[0].name, sizeof(res->peers[0].name), "peer");
}

int open_backing(const char *device)
{
	int fd = open(device, O_RDWR | O_EXCL | O_CLOEXEC);

	if (fd < 0)
		die(device, errno);
	return fd;
}

static int cmd_start(const char *name, int node, const char *device)
{
	static struct nl_resource res;
	struct nl *nl = connect_kernel();

	describe(&res, name, node, open_backing(device));
	check(nl, nl_start(nl, &res), "start");
	check(nl, nl_get(nl, name, &res), "get");
	printf("/dev/reprise%d\n", res.volumes[0].minor);
	return 0;
}

static int cmd_stop(const char *name)
{
	static struct nl_resource res;
	struct nl *nl = connect_kernel();
	uint64_t seq;

	check(nl, nl_stop(nl, name, number("wait_ms", 1000),
			  nr_options && !strcmp(options[0], "force"), &res, &seq), "stop");
	if (res.nr_volumes != 1 || fcntl(res.volumes[0].backing_fd, F_GETFD) < 0) {
		fprintf(stderr, "ktool: no backing descriptor came back\n");
		return 1;
	}
	printf("%llu\n", (unsigned long long)seq);
	return 0;
}

static int cmd_get(const char *name)
{
	static struct nl_resource res;
	struct nl *nl = connect_kernel();
	static const char *const states[] = { "", "connected", "absent", "behind" };

	check(nl, nl_get(nl, name, &res), "get");
	printf("seq %llu commit %llu flushed %llu queued %llu frozen %d parked %u\n",
	       (unsigned long long)res.seq, (unsigned long long)res.commit,
	       (unsigned long long)res.flushed, (unsigned long long)res.queued_bytes,
	       res.frozen, res.parked);
	for (unsigned int i = 0; i < res.nr_peers; i++)
		printf("peer %u %s durable %llu applied %llu dirty %llu%s reason '%s'\n",
		       res.peers[i].node, states[res.peers[i].state],
		       (unsigned long long)res.peers[i].durable,
		       (unsigned long long)res.peers[i].applied,
		       (unsigned long long)res.peers[i].dirty_blocks,
		       res.peers[i].dirty_all ? " (all)" : "", res.peers[i].reason);
	for (unsigned int i = 0; i < res.nr_volumes; i++)
		printf("volume %u openers %u writes %llu flushes %llu errors %llu\n",
		       res.volumes[i].number, res.volumes[i].openers,
		       (unsigned long long)res.volumes[i].writes,
		       (unsigned long long)res.volumes[i].flushes,
		       (unsigned long long)res.volumes[i].io_errors);
	return 0;
}

/* --- the replica -------------------------------------------------------- */

int tcp_pair(int fd[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&addr, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len))
		return -errno;
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd[0], (struct sockaddr *)&addr, len))
		return -errno;
	fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	return fd[1] < 0 ? -errno : 0;
}

static bool read_all(int fd, void *buf, size_t bytes)
{
	char *p = buf;

	while (bytes) {
		ssize_t n = read(fd, p, bytes);

		if (n <= 0)
			return false;
		p += n;
		bytes -= n;
	}
	return true;
}

static void bad(const char *what, uint64_t seq)
{
	fprintf(stderr, "ktool: bad frame at seq %llu: %s\n", (unsigned long long)seq, what);
	exit(2);
}

static void apply(int image, const struct reprise_op_desc *op, const uint8_t *payload,
		  uint64_t seq)
{
	size_t bytes = (size_t)le32toh(op->sectors) * 512;
	off_t at = (off_t)le64toh(op->sector) * 512;
	static uint8_t zeros[1 << 20];

	if (op->op == REPRISE_OP_WRITE) {
		if (crc32c(payload, bytes) != le32toh(op->crc))
			bad("payload checksum", seq);
		if (pwrite(image, payload, bytes, at) != (ssize_t)bytes)
			die("image", errno);
		return;
	}
	if (op->op != REPRISE_OP_WRITE_ZEROES)
		bad("unknown operation", seq);
	while (bytes) {
		size_t n = bytes < sizeof(zeros) ? bytes : sizeof(zeros);

		if (pwrite(image, zeros, n, at) != (ssize_t)n)
			die("image", errno);
		at += n;
		bytes -= n;
	}
}

static void send_ack(int fd, uint64_t session, const uint8_t *timeline, uint64_t seq, bool lie)
{
	struct reprise_ack ack = { 0 };
	const char *how = lie ? option("lie", "") : "";

	ack.magic = htole32(REPRISE_ACK_MAGIC);
	ack.version = htole16(REPRISE_ACK_VERSION);
	ack.session = htole64(session + !strcmp(how, "session"));
	memcpy(ack.timeline_id, timeline, 16);
	if (!strcmp(how, "ahead"))
		seq += 1000000;
	if (!strcmp(how, "back"))
		seq = seq > 5 ? seq - 5 : 0;
	ack.received = htole64(seq);
	ack.durable = ack.received;
	ack.applied = ack.received;
	ack.crc = htole32(crc32c(&ack, offsetof(struct reprise_ack, crc)) +
			  !strcmp(how, "crc"));
	if (write(fd, &ack, sizeof(ack)) != sizeof(ack))
		fprintf(stderr, "ktool: acknowledgement not sent: %s\n", strerror(errno));
}

static uint64_t take_frame(struct replica *r, const struct reprise_frame_head *head,
			   const uint8_t *payload)
{
	struct reprise_frame_head copy = *head;
	unsigned int n = le16toh(head->nr_ops);
	uint64_t commit = le64toh(head->commit), expect = r->seq + 1;

	copy.head_crc = 0;
	if (crc32c(&copy, sizeof(copy)) != le32toh(head->head_crc))
		bad("header checksum", expect);
	if (le64toh(head->first_seq) != expect)
		bad("first seq", expect);
	if (memcmp(head->timeline_id, r->timeline, 16))
		bad("timeline", expect);
	if (commit >= expect + n || commit < r->commit)
		bad("commit", expect);
	r->commit = commit;
	for (unsigned int i = 0; i < n; i++) {
		apply(r->image, &head->ops[i], payload, expect + i);
		if (head->ops[i].op == REPRISE_OP_WRITE)
			payload += (size_t)le32toh(head->ops[i].sectors) * 512;
	}
	return expect + n - 1;
}

/* Applies and acknowledges what comes, until the stream ends. */
void serve(struct replica *r)
{
	uint8_t *payload = malloc(REPRISE_FRAME_MAX_BYTES);
	struct reprise_frame_head head;
	long after = number("after", -1), frames = 0, delay = number("delay_us", 0);

	while (payload && read_all(r->fd, &head, sizeof(head))) {
		size_t bytes = le32toh(head.frame_bytes) - sizeof(head);
		bool misbehave = after >= 0 && frames++ >= after;

		if (le32toh(head.magic) != REPRISE_FRAME_MAGIC || bytes > REPRISE_FRAME_MAX_BYTES)
			bad("magic or length", r->seq);
		if (!read_all(r->fd, payload, bytes))
			break;
		r->seq = take_frame(r, &head, payload);
		if (misbehave && !option("lie", NULL) && !number("silent", 0))
			break;
		if (delay)
			usleep(delay);
		if (!(misbehave && number("silent", 0)))
			send_ack(r->fd, r->session, r->timeline, r->seq, misbehave);
	}
	free(payload);
	close(r->fd);
}

static int cmd_mirror(const char *name, int node, const char *path)
{
	static struct nl_resource res;
	struct replica r = { .session = number("session", 42), .seq = number("position", 0) };
	struct nl *nl = connect_kernel();
	int fd[2] = { -1, -1 }, err = tcp_pair(fd);
	uint64_t s0;

	r.image = open(path, O_RDWR | O_CREAT, 0600);
	if (err || r.image < 0)
		die("set-up", err ? err : errno);
	set_ids(&res);
	memcpy(r.timeline, res.timeline_id, sizeof(r.timeline));
	check(nl, nl_attach(nl, name, node, fd[0], r.session, r.timeline, r.seq, &s0), "attach");
	close(fd[0]);
	r.fd = fd[1];
	if (s0 != r.seq + 1)
		bad("S0", s0);
	printf("attached\n");
	fflush(stdout);
	serve(&r);
	printf("end at seq %llu\n", (unsigned long long)r.seq);
	return 0;
}

int main(int argc, char **argv)
{
	crc_setup();
	/* The kernel may close a session while an acknowledgement is on its way. */
	signal(SIGPIPE, SIG_IGN);
	if (argc < 3)
		goto usage;
	if (!strcmp(argv[1], "start") && argc >= 5) {
		options = (const char **)argv + 5;
		nr_options = argc - 5;
		return cmd_start(argv[2], atoi(argv[3]), argv[4]);
	}
	if (!strcmp(argv[1], "mirror") && argc >= 5) {
		options = (const char **)argv + 5;
		nr_options = argc - 5;
		return cmd_mirror(argv[2], atoi(argv[3]), argv[4]);
	}
	if (!strcmp(argv[1], "fail") && argc >= 5) {
		options = (const char **)argv + 5;
		nr_options = argc - 5;
		return cmd_fail(argv[2], argv[3], argv[4]);
	}
	if (!strcmp(argv[1], "cycle") && argc >= 4) {
		options = (const char **)argv + 4;
		nr_options = argc - 4;
		return cmd_cycle(argv[2], argv[3]);
	}
	options = (const char **)argv + 3;
	nr_options = argc - 3;
	if (!strcmp(argv[1], "stop"))
		return cmd_stop(argv[2]);
	if (!strcmp(argv[1], "get"))
		return cmd_get(argv[2]);
	if (!strcmp(argv[1], "freeze") || !strcmp(argv[1], "resume")) {
		struct nl *nl = connect_kernel();

		check(nl, argv[1][0] == 'f' ? nl_freeze(nl, argv[2]) : nl_resume(nl, argv[2]),
		      argv[1]);
		return 0;
	}
usage:
	fprintf(stderr, "usage: ktool start|stop|mirror|get|freeze|resume|fail|cycle NAME ...\n");
	return 2;
}
