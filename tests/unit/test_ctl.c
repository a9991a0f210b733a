// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket with good, bad and rude clients: each line gets its
 * answer, and nothing that a client does harms the agent or the others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/ctl.h"
#include "agent/loop.h"
#include "kselftest_harness.h"

static struct ctl_request *held;
static int cancelled;

static void on_echo(void *ctx, struct ctl_request *req)
{
	(void)ctx;
	ctl_reply(req, json_pack("{s:s, s:b, s:i}", "resource", req->resource, "force", req->force,
				 "timeout_ms", (int)req->timeout_ms));
}

static void on_fail(void *ctx, struct ctl_request *req)
{
	(void)ctx;
	ctl_progress(req, 12, "half of \xff it");
	ctl_fail(req, "unsafe", "do something else", "%s cannot: \xff\xfe", "pg");
}

static void note_cancelled(struct ctl_request *req)
{
	cancelled++;
	held = NULL;
	ctl_fail(req, "timeout", NULL, "nobody listens");
}

static void on_hold(void *ctx, struct ctl_request *req)
{
	(void)ctx;
	req->cancelled = note_cancelled;
	held = req;
}

static void on_big(void *ctx, struct ctl_request *req)
{
	static char text[1 << 20];

	(void)ctx;
	memset(text, 'b', sizeof(text) - 1);
	ctl_reply(req, json_pack("{s:s}", "text", text));
}

static const struct ctl_command table[] = {
	{ "echo", CTL_NEEDS_RESOURCE, on_echo },
	{ "fail", 0, on_fail },
	{ "hold", 0, on_hold },
	{ "big", 0, on_big },
	{ "peer", CTL_NEEDS_PEER, on_echo },
	{ 0 },
};

FIXTURE(ctl)
{
	struct loop *loop;
	struct ctl *ctl;
	char dir[64];
	char line[2 << 20];
};

static void note_gone(void *ctx)
{
	*(bool *)ctx = true;
}

static void note_fire(struct env_timer *timer)
{
	(void)timer;
}

/* Rounds, without ever waiting for long. */
static void turn(struct loop *loop)
{
	struct env_timer timer = { .fire = note_fire };

	for (int i = 0; i < 4; i++) {
		env_timer_set(loop_env(loop), &timer, env_monotonic_ns(loop_env(loop)) + 100000);
		loop_round(loop);
		env_timer_clear(loop_env(loop), &timer);
	}
}

FIXTURE_SETUP(ctl)
{
	char error[256];
	int err = loop_create(&self->loop, error, sizeof(error));

	if (err == -EPERM || err == -ENOSYS)
		SKIP(return, "%s", error);
	ASSERT_EQ(0, err) TH_LOG("%s", error);
	strcpy(self->dir, "/tmp/reprise-test-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	strcat(self->dir, "/run");
	/* Does not exist yet. */
	ASSERT_EQ(0, ctl_create(loop_env(self->loop), self->dir, &self->ctl, error, sizeof(error)));
	ctl_set_commands(self->ctl, table, NULL);
}

FIXTURE_TEARDOWN(ctl)
{
	char command[128];
	bool gone = false;

	if (!self->loop)
		return;
	if (self->ctl)
		ctl_destroy(self->ctl, note_gone, &gone);
	while (self->ctl && !gone)
		loop_round(self->loop);
	loop_destroy(self->loop);
	*strrchr(self->dir, '/') = '\0';
	snprintf(command, sizeof(command), "rm -rf %s", self->dir);
	EXPECT_EQ(0, system(command));
}

static int join_as_client(const char *dir)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control.sock", dir);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	return fd;
}

static void say(struct loop *loop, int fd, const char *text, size_t bytes)
{
	while (bytes) {
		ssize_t sent = send(fd, text, bytes, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent > 0) {
			text += sent;
			bytes -= sent;
		}
		turn(loop);
	}
}

/* The next line, without its newline; NULL: the connection has ended. */
static const char *hear(struct loop *loop, int fd, char *line)
{
	size_t used = 0;

	for (;;) {
		ssize_t got = recv(fd, line + used, 1, 0);

		if (got == 0 || (got < 0 && errno != EAGAIN))
			return NULL;
		if (got < 0) {
			turn(loop);
			continue;
		}
		if (line[used] == '\n')
			break;
		used++;
	}
	line[used] = '\0';
	return line;
}

static json_t *ask(struct loop *loop, int fd, char *line, const char *text)
{
	say(loop, fd, text, strlen(text));
	return hear(loop, fd, line) ? json_loads(line, 0, NULL) : NULL;
}

static bool answer_is(json_t *answer, bool ok, const char *key, const char *value)
{
	const char *text = json_string_value(json_object_get(answer, key));
	bool is = json_is_boolean(json_object_get(answer, "ok")) &&
		  json_is_true(json_object_get(answer, "ok")) == ok && text && strstr(text, value);

	json_decref(answer);
	return is;
}

TEST_F(ctl, answers)
{
	int fd = join_as_client(self->dir);
	json_t *answer;

	ASSERT_LE(0, fd);
	answer = ask(self->loop, fd, self->line, "{\"cmd\":\"echo\",\"resource\":\"pg\","
		     "\"force\":true,\"timeout_ms\":1500}\n");
	EXPECT_TRUE(json_is_true(json_object_get(answer, "force")));
	EXPECT_EQ(1500, json_integer_value(json_object_get(answer, "timeout_ms")));
	EXPECT_TRUE(answer_is(answer, true, "resource", "pg"));
	answer = ask(self->loop, fd, self->line, "{\"cmd\":\"version\"}\n");
	EXPECT_TRUE(answer_is(answer, true, "version", "."));
	close(fd);
}

TEST_F(ctl, progress_and_failure_with_bad_utf8)
{
	int fd = join_as_client(self->dir);
	json_t *answer = ask(self->loop, fd, self->line, "\n  \r\n{\"cmd\":\"fail\"}\n");

	EXPECT_EQ(12, json_integer_value(json_object_get(answer, "percent")));
	EXPECT_STREQ("half of ? it", json_string_value(json_object_get(answer, "progress")));
	json_decref(answer);
	answer = json_loads(hear(self->loop, fd, self->line), 0, NULL);
	EXPECT_STREQ("do something else", json_string_value(json_object_get(answer, "hint")));
	EXPECT_STREQ("unsafe", json_string_value(json_object_get(answer, "code")));
	EXPECT_TRUE(answer_is(answer, false, "error", "pg cannot: ??"));
	close(fd);
}

TEST_F(ctl, malformed_requests_are_named)
{
	static const struct { const char *text, *error; } cases[] = {
		{ "hello\n", "not JSON" },
		{ "{\n", "not JSON" },
		{ "{\"cmd\":\"a\",\"cmd\":\"b\"}\n", "not JSON" },
		{ "[1,2]\n", "\"cmd\"" },
		{ "17\n", "not JSON" },
		{ "{}\n", "\"cmd\"" },
		{ "{\"cmd\":7}\n", "\"cmd\"" },
		{ "{\"cmd\":\"nonsense\"}\n", "no command" },
		{ "{\"cmd\":\"echo\"}\n", "needs a \"resource\"" },
		{ "{\"cmd\":\"peer\"}\n", "needs a \"peer\"" },
		{ "{\"cmd\":\"echo\",\"resource\":\"a/b\"}\n", "\"resource\" must be" },
		{ "{\"cmd\":\"echo\",\"resource\":\"\"}\n", "\"resource\" must be" },
		{ "{\"cmd\":\"echo\",\"resource\":[]}\n", "\"resource\" must be" },
		{ "{\"cmd\":\"echo\",\"resource\":\"a\",\"force\":1}\n", "\"force\"" },
		{ "{\"cmd\":\"echo\",\"resource\":\"a\",\"timeout_ms\":-1}\n", "\"timeout_ms\"" },
		{ "{\"cmd\":\"echo\",\"resource\":\"a\",\"timeout_ms\":1e3}\n", "\"timeout_ms\"" },
		{ "{\"cmd\":\"echo\",\"resource\":\"a\",\"timeout_ms\":9999999999}\n",
		  "\"timeout_ms\"" },
		{ "{\"cmd\":\"\\u0000\"}\n", "not JSON" },
		{ "{\"cmd\":\"\xff\"}\n", "not JSON" },
	};
	int fd = join_as_client(self->dir);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *answer = ask(self->loop, fd, self->line, cases[i].text);

		EXPECT_TRUE(answer_is(answer, false, "error", cases[i].error)) {
			TH_LOG("%s -> %s", cases[i].text, self->line);
		}
	}
	close(fd);
}

TEST_F(ctl, deep_nesting)
{
	int fd = join_as_client(self->dir);
	static char text[CTL_MAX_REQUEST_BYTES];

	memset(text, '[', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\n';
	say(self->loop, fd, text, sizeof(text));
	EXPECT_TRUE(answer_is(json_loads(hear(self->loop, fd, self->line), 0, NULL), false,
			      "error", "not JSON"));
	close(fd);
}

TEST_F(ctl, too_long_is_refused)
{
	int fd = join_as_client(self->dir);
	static char text[CTL_MAX_REQUEST_BYTES + 1];

	memset(text, ' ', sizeof(text));
	say(self->loop, fd, text, sizeof(text));
	EXPECT_TRUE(answer_is(json_loads(hear(self->loop, fd, self->line), 0, NULL), false,
			      "error", "longer than"));
	EXPECT_EQ(NULL, hear(self->loop, fd, self->line));
	close(fd);
}

TEST_F(ctl, last_line_without_newline)
{
	static const char text[] = "{\"cmd\":\"fail\"}\n{\"cmd\":\"echo\",\"resource\":\"pg\"}";
	int fd = join_as_client(self->dir);

	say(self->loop, fd, text, sizeof(text) - 1);
	shutdown(fd, SHUT_WR);
	EXPECT_NE(NULL, hear(self->loop, fd, self->line));
	EXPECT_NE(NULL, hear(self->loop, fd, self->line));
	EXPECT_TRUE(answer_is(json_loads(hear(self->loop, fd, self->line), 0, NULL), true,
			      "resource", "pg"));
	EXPECT_EQ(NULL, hear(self->loop, fd, self->line));
	close(fd);
}

TEST_F(ctl, later_answers_in_order)
{
	static const char text[] = "{\"cmd\":\"hold\"}\n{\"cmd\":\"version\"}\n";
	int fd = join_as_client(self->dir), other = join_as_client(self->dir);
	json_t *answer;

	held = NULL;
	say(self->loop, fd, text, sizeof(text) - 1);
	while (!held)
		turn(self->loop);
	/* Others are served meanwhile. */
	answer = ask(self->loop, other, self->line, "{\"cmd\":\"version\"}\n");
	EXPECT_TRUE(answer_is(answer, true, "version", "."));
	turn(self->loop);
	EXPECT_EQ(-1, recv(fd, self->line, 1, 0));
	ctl_reply(held, json_pack("{s:s}", "first", "yes"));
	EXPECT_TRUE(answer_is(json_loads(hear(self->loop, fd, self->line), 0, NULL), true,
			      "first", "yes"));
	EXPECT_TRUE(answer_is(json_loads(hear(self->loop, fd, self->line), 0, NULL), true,
			      "version", "."));
	close(fd);
	close(other);
}

TEST_F(ctl, client_leaves_early)
{
	int fd = join_as_client(self->dir);

	held = NULL;
	cancelled = 0;
	say(self->loop, fd, "{\"cmd\":\"hold\"}\n", 15);
	while (!held)
		turn(self->loop);
	close(fd);
	while (!cancelled)
		turn(self->loop);
	EXPECT_EQ(1, cancelled);

	/* The handler that does not care answers to nobody. */
	fd = join_as_client(self->dir);
	say(self->loop, fd, "{\"cmd\":\"hold\"}\n", 15);
	while (!held)
		turn(self->loop);
	held->cancelled = NULL;
	close(fd);
	turn(self->loop);
	turn(self->loop);
	ctl_progress(held, -1, "still");
	ctl_reply(held, NULL);
	held = NULL;
}

TEST_F(ctl, events_reach_who_asked)
{
	int all = join_as_client(self->dir), one = join_as_client(self->dir);
	json_t *event;

	say(self->loop, all, "{\"cmd\":\"events\"}\n", 17);
	say(self->loop, one, "{\"cmd\":\"events\",\"resource\":\"pg\"}\n", 33);
	turn(self->loop);
	ctl_event(self->ctl, "other", "peer-lost", "beta", "gone");
	ctl_event(self->ctl, "pg", "peer-lost", "beta", "gone after %d s", 6);
	EXPECT_NE(NULL, strstr(hear(self->loop, all, self->line), "\"other\""));
	EXPECT_NE(NULL, strstr(hear(self->loop, all, self->line), "\"pg\""));
	event = json_loads(hear(self->loop, one, self->line), 0, NULL);
	EXPECT_STREQ("pg", json_string_value(json_object_get(event, "resource")));
	EXPECT_STREQ("beta", json_string_value(json_object_get(event, "peer")));
	EXPECT_STREQ("gone after 6 s", json_string_value(json_object_get(event, "text")));
	EXPECT_LT(0, json_integer_value(json_object_get(event, "time_ns")));
	json_decref(event);
	close(one);
	close(all);
}

TEST_F(ctl, who_does_not_read_is_dropped)
{
	int slow = join_as_client(self->dir), fd = join_as_client(self->dir);
	static char text[1 << 16];
	json_t *answer;

	say(self->loop, slow, "{\"cmd\":\"events\"}\n", 17);
	turn(self->loop);
	memset(text, 'e', sizeof(text) - 1);
	for (int i = 0; i < 100; i++)
		ctl_event(self->ctl, "pg", "test", NULL, "%s", text);
	answer = ask(self->loop, fd, self->line, "{\"cmd\":\"version\"}\n");
	EXPECT_TRUE(answer_is(answer, true, "version", "."));
	while (hear(self->loop, slow, self->line))
		;
	close(slow);
	/* Big answers, read, are fine. */
	for (int i = 0; i < 3; i++) {
		answer = ask(self->loop, fd, self->line, "{\"cmd\":\"big\"}\n");
		EXPECT_TRUE(answer_is(answer, true, "text", "bbb"));
	}
	close(fd);
}

TEST_F(ctl, random_bytes)
{
	static char text[4096];

	srandom(3);
	for (int round = 0; round < 60; round++) {
		int fd = join_as_client(self->dir);
		json_t *answer;

		ASSERT_LE(0, fd);
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = random() % 4 ? random() : "{}[]\":,\n"[random() % 8];
		text[sizeof(text) - 1] = '\n';
		say(self->loop, fd, text, sizeof(text));
		close(fd);
		fd = join_as_client(self->dir);
		answer = ask(self->loop, fd, self->line, "{\"cmd\":\"version\"}\n");
		EXPECT_TRUE(answer_is(answer, true, "version", "."));
		close(fd);
	}
}

TEST_F(ctl, one_agent_per_directory)
{
	struct ctl *second;
	struct stat st;
	char error[256], path[128];

	EXPECT_EQ(-EBUSY, ctl_create(loop_env(self->loop), self->dir, &second, error,
				     sizeof(error)));
	EXPECT_NE(NULL, strstr(error, "another agent"));
	snprintf(path, sizeof(path), "%s/control.sock", self->dir);
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(0600u, st.st_mode & 0777);
	EXPECT_LE(0, join_as_client(self->dir));
}

TEST_F(ctl, too_many_clients)
{
	int fds[CTL_MAX_CLIENTS + 1];
	json_t *answer;

	for (int i = 0; i <= CTL_MAX_CLIENTS; i++) {
		fds[i] = join_as_client(self->dir);
		ASSERT_LE(0, fds[i]);
		turn(self->loop);
	}
	EXPECT_EQ(NULL, hear(self->loop, fds[CTL_MAX_CLIENTS], self->line));
	answer = ask(self->loop, fds[0], self->line, "{\"cmd\":\"version\"}\n");
	EXPECT_TRUE(answer_is(answer, true, "version", "."));
	for (int i = 0; i <= CTL_MAX_CLIENTS; i++)
		close(fds[i]);
}

/* The agent ends: the last answer is still delivered. */
TEST_F(ctl, last_words)
{
	int fd = join_as_client(self->dir);
	bool gone = false;

	held = NULL;
	say(self->loop, fd, "{\"cmd\":\"hold\"}\n", 15);
	while (!held)
		turn(self->loop);
	ctl_fail(held, "busy", NULL, "the agent stops");
	ctl_destroy(self->ctl, note_gone, &gone);
	self->ctl = NULL;
	while (!gone)
		loop_round(self->loop);
	EXPECT_NE(NULL, strstr(hear(self->loop, fd, self->line), "the agent stops"));
	EXPECT_EQ(NULL, hear(self->loop, fd, self->line));
	EXPECT_EQ(-1, join_as_client(self->dir));
	close(fd);
}

TEST_HARNESS_MAIN
