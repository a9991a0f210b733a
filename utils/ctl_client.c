// SPDX-License-Identifier: GPL-2.0
/*
 * A blocking client of the control socket.  Every wait has a bound where the
 * caller wants one, so that a stopped agent cannot hang the admin command.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ctl_client.h"

enum { MAX_LINE_BYTES = 8 << 20, READ_BYTES = 64 << 10 };

struct ctl_client {
	int fd;
	char *buf; /* bytes received, of which no object was made yet */
	size_t length, room;
};

int ctl_client_open(const char *run_dir, struct ctl_client **client)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct ctl_client *c;
	int err;

	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control.sock", run_dir) >=
	    sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr))) {
		err = -errno;
		ctl_client_close(c);
		return err;
	}
	*client = c;
	return 0;
}

void ctl_client_close(struct ctl_client *client)
{
	if (!client)
		return;
	if (client->fd >= 0)
		close(client->fd);
	free(client->buf);
	free(client);
}

int ctl_client_send(struct ctl_client *client, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t length = text ? strlen(text) : 0, sent = 0;
	int err = text ? 0 : -ENOMEM;

	json_decref(request);
	if (text)
		text[length++] = '\n';
	while (!err && sent < length) {
		ssize_t n = send(client->fd, text + sent, length - sent, MSG_NOSIGNAL);

		if (n >= 0)
			sent += n;
		else if (errno != EINTR)
			err = -errno;
	}
	free(text);
	return err;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int wait_readable(int fd, long deadline_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	long left;
	int n;

	do {
		left = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
		if (deadline_ms >= 0 && left < 0)
			left = 0;
		n = poll(&pfd, 1, left);
	} while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n ? -errno : -ETIMEDOUT;
}

static int grow(struct ctl_client *client)
{
	char *buf;

	if (client->room - client->length > READ_BYTES)
		return 0;
	if (client->room >= MAX_LINE_BYTES)
		return -EPROTO;
	buf = realloc(client->buf, client->room + 2 * READ_BYTES);
	if (!buf)
		return -ENOMEM;
	client->buf = buf;
	client->room += 2 * READ_BYTES;
	return 0;
}

/* 1: something came, 0: end of stream */
static int receive(struct ctl_client *client, long deadline_ms)
{
	int err = grow(client);
	ssize_t n;

	if (!err)
		err = wait_readable(client->fd, deadline_ms);
	if (err)
		return err;
	n = recv(client->fd, client->buf + client->length, READ_BYTES, 0);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	client->length += n;
	return n > 0;
}

static int take_line(struct ctl_client *client, size_t length, json_t **object)
{
	json_t *json = json_loadb(client->buf, length, 0, NULL);

	client->length -= length + 1;
	memmove(client->buf, client->buf + length + 1, client->length);
	if (!json_is_object(json)) {
		json_decref(json);
		return -EPROTO;
	}
	*object = json;
	return 1;
}

int ctl_client_next(struct ctl_client *client, int wait_ms, json_t **object)
{
	long deadline_ms = wait_ms < 0 ? -1 : now_ms() + wait_ms;
	int ret;

	for (;;) {
		char *end = client->length ? memchr(client->buf, '\n', client->length) : NULL;

		if (end)
			return take_line(client, end - client->buf, object);
		ret = receive(client, deadline_ms);
		if (ret <= 0)
			return ret;
	}
}

int ctl_client_call(struct ctl_client *client, json_t *request, int wait_ms,
		    ctl_client_progress progress, json_t **answer)
{
	int ret = ctl_client_send(client, request);
	json_t *object;

	if (ret)
		return ret;
	while ((ret = ctl_client_next(client, wait_ms, &object)) == 1) {
		const char *text = json_string_value(json_object_get(object, "progress"));
		json_t *percent = json_object_get(object, "percent");

		if (!text) {
			*answer = object;
			return 0;
		}
		if (progress)
			progress(text, json_is_number(percent) ? json_number_value(percent) : -1);
		json_decref(object);
	}
	return ret ? ret : -ECONNRESET;
}
