// SPDX-License-Identifier: GPL-2.0
/*
 * The netlink client and the kernel module together, on a loop device: every
 * command, its errors in words, its events.  Skips without the module.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/backing.h"
#include "agent/nl.h"
#include "kselftest_harness.h"

enum { DISK_BYTES = 16 << 20, PEER = 2 };

FIXTURE(kernel)
{
	struct nl *nl;
	struct nl *events;
	int loop_fd;
	int backing_fd;
	char name[32];		/* of the loop device */
	struct nl_resource res;
};

static int make_disk(char *name, size_t bytes)
{
	static const char path[] = "/dev/shm/reprise-test-disk";
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = ioctl(control, LOOP_CTL_GET_FREE);
	int file = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	int fd;

	close(control);
	unlink(path);
	snprintf(name, bytes, "/dev/loop%d", number);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (number < 0 || ftruncate(file, DISK_BYTES) || ioctl(fd, LOOP_SET_FD, file) < 0)
		return -1;
	close(file);
	return fd;
}

FIXTURE_SETUP(kernel)
{
	int err = nl_open(&self->nl);

	if (err == -ENOENT)
		SKIP(return, "the module is not loaded");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, nl_events_open(&self->events));
	self->loop_fd = make_disk(self->name, sizeof(self->name));
	ASSERT_LE(0, self->loop_fd);
	self->backing_fd = open(self->name, O_RDWR | O_EXCL | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, self->backing_fd);
	self->res = (struct nl_resource){
		.name = "unit", .id = { 1 }, .node = 1, .timeline_id = { 2 }, .generation = 5,
		.seq = 1000, .durability = REPRISE_DURABILITY_WRITE, .timeout_ms = 3000,
		.frozen = true, .nr_volumes = 1, .nr_peers = 1,
		.volumes = { { .number = 3, .minor = -1, .backing_fd = self->backing_fd,
			       .sectors = (DISK_BYTES - (1 << 20)) / 512,
			       .logical_block_bytes = 512 } },
		.peers = { { .node = PEER, .name = "beta" } },
	};
}

FIXTURE_TEARDOWN(kernel)
{
	if (!self->events)
		return;
	close(self->backing_fd);
	ioctl(self->loop_fd, LOOP_CLR_FD);
	close(self->loop_fd);
	nl_close(self->nl);
	nl_close(self->events);
}

/* Waits a second for the event; others before it are passed over. */
static bool comes(struct nl *events, enum reprise_event wanted, struct nl_event *event)
{
	struct pollfd pollfd = { .fd = nl_events_fd(events), .events = POLLIN };

	for (;;) {
		int ret = nl_events_read(events, event);

		if (ret == 1 && event->event == wanted)
			return true;
		if (ret < 0 || (ret == 0 && poll(&pollfd, 1, 1000) <= 0))
			return false;
	}
}

static int stop(struct nl *nl, uint64_t *seq)
{
	struct nl_resource stopped;
	int err = nl_stop(nl, "unit", 1000, false, &stopped, seq);

	if (err)
		return err;
	return stopped.nr_volumes == 1 ? stopped.volumes[0].backing_fd : -EBADMSG;
}

TEST_F(kernel, life)
{
	struct nl_resource got, *list;
	struct nl_event event;
	struct backing backing;
	uint64_t seq;
	size_t count;
	int fd;

	ASSERT_EQ(0, nl_list(self->nl, &list, &count));
	EXPECT_EQ(0u, count);
	free(list);
	EXPECT_EQ(-ENOENT, nl_get(self->nl, "unit", &got));
	EXPECT_NE(0u, strlen(nl_error(self->nl)));
	ASSERT_EQ(0, nl_start(self->nl, &self->res)) TH_LOG("%s", nl_error(self->nl));
	EXPECT_TRUE(comes(self->events, REPRISE_EVENT_STARTED, &event));
	EXPECT_STREQ("unit", event.resource);
	EXPECT_EQ(-EEXIST, nl_start(self->nl, &self->res));
	EXPECT_NE(0u, strlen(nl_error(self->nl)));

	ASSERT_EQ(0, nl_get(self->nl, "unit", &got));
	EXPECT_EQ(5u, got.generation);
	EXPECT_EQ(1000u, got.seq);
	EXPECT_TRUE(got.frozen);
	EXPECT_EQ(3000u, got.timeout_ms);
	ASSERT_EQ(1u, got.nr_volumes);
	EXPECT_EQ(3u, got.volumes[0].number);
	EXPECT_LE(0, got.volumes[0].minor);
	EXPECT_EQ(self->res.volumes[0].sectors, got.volumes[0].sectors);
	ASSERT_EQ(1u, got.nr_peers);
	EXPECT_STREQ("beta", got.peers[0].name);
	EXPECT_TRUE(got.peers[0].state == REPRISE_PEER_ABSENT);

	EXPECT_EQ(0, nl_resume(self->nl, "unit"));
	EXPECT_TRUE(comes(self->events, REPRISE_EVENT_RESUMED, &event));
	EXPECT_EQ(0, nl_freeze(self->nl, "unit"));
	EXPECT_TRUE(comes(self->events, REPRISE_EVENT_FROZEN, &event));
	EXPECT_EQ(0, nl_set(self->nl, &(struct nl_resource){ .name = "unit", .timeout_ms = 4000 }));
	ASSERT_EQ(0, nl_list(self->nl, &list, &count));
	ASSERT_EQ(1u, count);
	EXPECT_EQ(4000u, list[0].timeout_ms);
	EXPECT_TRUE(list[0].durability == REPRISE_DURABILITY_WRITE);
	free(list);

	fd = stop(self->nl, &seq);
	ASSERT_LE(0, fd) TH_LOG("%s", nl_error(self->nl));
	EXPECT_LE(1000u, seq);
	EXPECT_TRUE(comes(self->events, REPRISE_EVENT_STOPPED, &event));
	/* The claim has not lapsed. */
	close(self->backing_fd);
	EXPECT_EQ(-1, open(self->name, O_RDWR | O_EXCL));
	EXPECT_EQ(0, backing_adopt(fd, &backing));
	EXPECT_EQ((uint64_t)DISK_BYTES, backing.bytes);
	close(fd);
}

/* A connection over loopback: @mine for the kernel, @theirs plays the peer. */
static bool connect_pair(int *mine, int *theirs)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t length = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&addr, length) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &length))
		return false;
	*mine = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(*mine, (struct sockaddr *)&addr, length))
		return false;
	*theirs = accept(listener, NULL, NULL);
	close(listener);
	return *theirs >= 0;
}

TEST_F(kernel, sessions)
{
	uint8_t other[REPRISE_ID_BYTES] = { 9 };
	struct nl_event event;
	uint64_t s0, seq;
	int mine, theirs, fd;

	ASSERT_EQ(0, nl_start(self->nl, &self->res)) TH_LOG("%s", nl_error(self->nl));
	ASSERT_TRUE(connect_pair(&mine, &theirs));
	EXPECT_EQ(-ESTALE, nl_attach(self->nl, "unit", PEER, mine, 7, other, 1000, &s0));
	EXPECT_NE(0, nl_attach(self->nl, "unit", PEER + 1, mine, 7, self->res.timeline_id, 1000,
			       &s0));
	EXPECT_NE(0, nl_attach(self->nl, "unit", PEER, self->loop_fd, 7, self->res.timeline_id,
			       1000, &s0));
	EXPECT_NE(0u, strlen(nl_error(self->nl)));
	ASSERT_EQ(0, nl_attach(self->nl, "unit", PEER, mine, 7, self->res.timeline_id, 1000, &s0))
		TH_LOG("%s", nl_error(self->nl));
	close(mine);
	EXPECT_EQ(1001u, s0);
	ASSERT_TRUE(comes(self->events, REPRISE_EVENT_PEER_ATTACHED, &event));
	EXPECT_EQ((unsigned int)PEER, event.peer);
	close(theirs);
	ASSERT_TRUE(comes(self->events, REPRISE_EVENT_PEER_LOST, &event));
	EXPECT_EQ((unsigned int)PEER, event.peer);
	EXPECT_NE(0u, strlen(event.reason));

	ASSERT_TRUE(connect_pair(&mine, &theirs));
	ASSERT_EQ(0, nl_attach(self->nl, "unit", PEER, mine, 8, self->res.timeline_id, 1000, &s0));
	close(mine);
	EXPECT_EQ(0, nl_detach(self->nl, "unit", PEER));
	EXPECT_TRUE(comes(self->events, REPRISE_EVENT_PEER_LOST, &event));
	close(theirs);
	fd = stop(self->nl, &seq);
	EXPECT_LE(0, fd) TH_LOG("%s", nl_error(self->nl));
	close(fd);
}

/* Open: refused, nothing changed.  And no store may lie on such a device. */
TEST_F(kernel, busy_and_stacked)
{
	struct nl_resource got;
	struct backing backing;
	char path[64];
	uint64_t seq;
	int fd, held;

	self->res.frozen = false;
	ASSERT_EQ(0, nl_start(self->nl, &self->res)) TH_LOG("%s", nl_error(self->nl));
	ASSERT_EQ(0, nl_get(self->nl, "unit", &got));
	snprintf(path, sizeof(path), "/dev/reprise%d", got.volumes[0].minor);
	EXPECT_EQ(-ELOOP, backing_open(path, &backing));
	held = open(path, O_RDONLY);
	ASSERT_LE(0, held);
	EXPECT_EQ(-EBUSY, stop(self->nl, &seq));
	EXPECT_NE(NULL, strstr(nl_error(self->nl), "open"));
	close(held);
	fd = stop(self->nl, &seq);
	EXPECT_LE(0, fd) TH_LOG("%s", nl_error(self->nl));
	close(fd);
}

TEST_HARNESS_MAIN
