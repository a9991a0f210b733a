// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket.  A client is a buffer of input, at most one running
 * request, and a bounded queue of output.  Whatever changes, client_step()
 * looks at the client from the event loop, never from within a handler: so a
 * request or a client never vanishes under the feet of who is answering.
 */
#include "ctl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../kmod/uapi/reprise_netlink.h"
#include "version.h"

#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

enum { DRAIN_NS = 1000 * 1000 * 1000 };

struct client;

struct request {
	struct ctl_request pub;
	struct ctl *ctl;
	struct client *client;		/* NULL: it has gone */
};

struct output {
	STAILQ_ENTRY(output) link;
	struct iovec iov;
	char text[];
};

struct client {
	LIST_ENTRY(client) link;
	struct ctl *ctl;
	struct env_conn *conn;
	struct request *running;
	struct env_timer step;
	bool closing;
	bool last;			/* nothing more is read: close when all is said */
	bool wants_events;
	char events_of[REPRISE_NAME_MAX + 1];	/* of one resource; empty: all */

	struct env_io recv;
	struct iovec recv_iov;
	bool receiving;
	size_t in_bytes;

	struct env_io send;
	bool sending;
	STAILQ_HEAD(, output) outputs;
	size_t out_bytes;

	char in[CTL_MAX_REQUEST_BYTES];
};

struct ctl {
	struct env *env;
	struct env_listener listener;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int lock_fd;
	const struct ctl_command *table;
	void *table_ctx;
	LIST_HEAD(, client) clients;
	unsigned int nr_clients;
	unsigned int nr_requests;
	bool closing;
	struct env_timer drain;		/* while closing: the last words may be read till then */
	struct env_timer gone;
	void (*done)(void *ctx);
	void *done_ctx;
};

static void step_soon(struct client *client)
{
	env_timer_set(client->ctl->env, &client->step, 0);
}

static void client_drop(struct client *client)
{
	if (client->closing)
		return;
	client->closing = true;
	client->ctl->env->ops->conn_close(client->ctl->env, client->conn);
	step_soon(client);
}

/* Output. */

static void send_next(struct client *client);

static void send_done(struct env_io *io, ssize_t result)
{
	struct client *client = container_of(io, struct client, send);
	struct output *output = STAILQ_FIRST(&client->outputs);

	client->sending = false;
	STAILQ_REMOVE_HEAD(&client->outputs, link);
	client->out_bytes -= output->iov.iov_len;
	free(output);
	if (result < 0)
		client_drop(client);
	send_next(client);
	step_soon(client);
}

static void send_next(struct client *client)
{
	struct output *output = STAILQ_FIRST(&client->outputs);

	if (!output || client->sending || client->closing)
		return;
	client->sending = true;
	client->send = (struct env_io){ .done = send_done, .op = ENV_SEND, .conn = client->conn,
					.iov = &output->iov, .nr_iov = 1 };
	env_submit(client->ctl->env, &client->send);
}

static void client_write(struct client *client, const char *text, size_t bytes)
{
	struct output *output;

	if (client->closing)
		return;
	output = client->out_bytes + bytes < CTL_MAX_QUEUED_BYTES ?
		 malloc(sizeof(*output) + bytes + 1) : NULL;
	if (!output) {
		env_log(client->ctl->env, 4, NULL,
			"a client of the control socket does not read its answers and was dropped");
		client_drop(client);
		return;
	}
	memcpy(output->text, text, bytes);
	output->text[bytes] = '\n';
	output->iov = (struct iovec){ output->text, bytes + 1 };
	STAILQ_INSERT_TAIL(&client->outputs, output, link);
	client->out_bytes += bytes + 1;
	send_next(client);
}

/* Takes over the reference. */
static void client_say(struct client *client, json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	if (text)
		client_write(client, text, strlen(text));
	else
		client_drop(client);	/* no memory: silence would hang it */
	free(text);
	json_decref(object);
}

/* Text may quote a peer or a device: what is no UTF-8 must not spoil the object. */
static json_t *make_text(const char *text)
{
	json_t *string = json_string(text);
	char *ascii;

	if (string)
		return string;
	ascii = strdup(text);
	for (char *at = ascii; at && *at; at++)
		if (*at & 0x80)
			*at = '?';
	string = ascii ? json_string(ascii) : NULL;
	free(ascii);
	return string;
}

static json_t *make_formatted(const char *fmt, va_list args)
{
	json_t *string;
	char *text;

	if (vasprintf(&text, fmt, args) < 0)
		return NULL;
	string = make_text(text);
	free(text);
	return string;
}

static json_t *make_failure(const char *code, const char *hint, json_t *error)
{
	json_t *object = json_pack("{s:b, s:s, s:o}", "ok", 0, "code", code, "error", error);

	if (object && hint)
		json_object_set_new(object, "hint", make_text(hint));
	return object;
}

static void client_refuse(struct client *client, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void client_refuse(struct client *client, const char *hint, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	client_say(client, make_failure("invalid", hint, make_formatted(fmt, args)));
	va_end(args);
}

/* Requests. */

static struct request *to_request(struct ctl_request *pub)
{
	return container_of(pub, struct request, pub);
}

static void request_free(struct request *request)
{
	request->ctl->nr_requests--;
	if (request->client) {
		request->client->running = NULL;
		step_soon(request->client);
	}
	json_decref(request->pub.body);
	free(request);
}

void ctl_progress(struct ctl_request *req, int percent, const char *fmt, ...)
{
	struct client *client = to_request(req)->client;
	json_t *object;
	va_list args;

	if (!client)
		return;
	va_start(args, fmt);
	object = json_pack("{s:o}", "progress", make_formatted(fmt, args));
	va_end(args);
	if (object && percent >= 0)
		json_object_set_new(object, "percent", json_integer(percent));
	client_say(client, object);
}

void ctl_reply(struct ctl_request *req, json_t *object)
{
	struct request *request = to_request(req);

	if (!object)
		object = json_object();
	json_object_set_new(object, "ok", json_true());
	if (request->client)
		client_say(request->client, object);
	else
		json_decref(object);
	request_free(request);
}

void ctl_fail(struct ctl_request *req, const char *code, const char *hint, const char *fmt, ...)
{
	struct request *request = to_request(req);
	va_list args;

	va_start(args, fmt);
	if (request->client)
		client_say(request->client, make_failure(code, hint, make_formatted(fmt, args)));
	va_end(args);
	request_free(request);
}

static bool is_name(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length <= REPRISE_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
	       length;
}

/* A member that is a name, or absent. */
static bool read_name(struct client *client, const json_t *body, const char *key,
		      const char **name)
{
	const json_t *value = json_object_get(body, key);

	*name = json_string_value(value);
	if (!value || (*name && is_name(*name)))
		return true;
	client_refuse(client, NULL,
		      "\"%s\" must be a name of 1 to %d letters, digits, '_', '.' or '-'", key,
		      REPRISE_NAME_MAX);
	return false;
}

static bool read_options(struct client *client, const json_t *body, struct ctl_request *pub)
{
	const json_t *force = json_object_get(body, "force");
	const json_t *timeout = json_object_get(body, "timeout_ms");
	json_int_t timeout_ms = json_integer_value(timeout);

	if (force && !json_is_boolean(force)) {
		client_refuse(client, NULL, "\"force\" must be true or false");
		return false;
	}
	if (timeout && (!json_is_integer(timeout) || timeout_ms < 0 ||
			timeout_ms > CTL_MAX_TIMEOUT_MS)) {
		client_refuse(client, NULL,
			      "\"timeout_ms\" must be a number of milliseconds, at most %d",
			      CTL_MAX_TIMEOUT_MS);
		return false;
	}
	pub->force = json_is_true(force);
	pub->timeout_ms = timeout_ms;
	return read_name(client, body, "resource", &pub->resource) &&
	       read_name(client, body, "peer", &pub->peer);
}

static const struct ctl_command *find_command(const struct ctl *ctl, const char *name)
{
	const struct ctl_command *command;

	for (command = ctl->table; command && command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

static void run_events(struct client *client, const struct ctl_request *pub)
{
	client->wants_events = true;
	snprintf(client->events_of, sizeof(client->events_of), "%s",
		 pub->resource ? pub->resource : "");
}

static bool run_builtin(struct client *client, const struct ctl_request *pub)
{
	if (!strcmp(pub->cmd, "events")) {
		run_events(client, pub);
		return true;
	}
	if (!strcmp(pub->cmd, "version")) {
		client_say(client, json_pack("{s:b, s:s}", "ok", 1, "version", REPRISE_VERSION));
		return true;
	}
	return false;
}

static bool is_complete(struct client *client, const struct ctl_command *command,
			const struct ctl_request *pub)
{
	if ((command->flags & CTL_NEEDS_RESOURCE) && !pub->resource) {
		client_refuse(client, NULL, "\"%s\" needs a \"resource\"", pub->cmd);
		return false;
	}
	if ((command->flags & CTL_NEEDS_PEER) && !pub->peer) {
		client_refuse(client, NULL, "\"%s\" needs a \"peer\"", pub->cmd);
		return false;
	}
	return true;
}

static void run_command(struct client *client, const struct ctl_command *command,
			const struct ctl_request *pub)
{
	struct request *request = malloc(sizeof(*request));

	if (!request) {
		client_drop(client);
		return;
	}
	*request = (struct request){ .pub = *pub, .ctl = client->ctl, .client = client };
	json_incref(request->pub.body);
	client->running = request;
	client->ctl->nr_requests++;
	command->handler(client->ctl->table_ctx, &request->pub);
}

static void run_object(struct client *client, json_t *body)
{
	struct ctl_request pub = { .body = body };
	const struct ctl_command *command;

	pub.cmd = json_string_value(json_object_get(body, "cmd"));
	if (!pub.cmd) {
		client_refuse(client, "send {\"cmd\":\"status\"}, for example",
			      "a request must be an object with a \"cmd\" that is a string");
		return;
	}
	if (!read_options(client, body, &pub) || run_builtin(client, &pub))
		return;
	command = find_command(client->ctl, pub.cmd);
	if (!command)
		client_refuse(client, "command and agent may be of different versions",
			      "there is no command \"%.64s\"", pub.cmd);
	else if (is_complete(client, command, &pub))
		run_command(client, command, &pub);
}

static void run_line(struct client *client, const char *line, size_t bytes)
{
	json_error_t error;
	json_t *body;

	if (strspn(line, " \t\r") >= bytes)
		return;
	body = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &error);
	if (body)
		run_object(client, body);
	else
		client_refuse(client, NULL, "the request is not JSON: %s (column %d)", error.text,
			      error.column);
	json_decref(body);
}

/* Input. */

static void consume(struct client *client, size_t bytes)
{
	client->in_bytes -= bytes;
	memmove(client->in, client->in + bytes, client->in_bytes);
}

static void run_lines(struct client *client)
{
	char *end;

	while (!client->running && !client->closing && !client->wants_events &&
	       (end = memchr(client->in, '\n', client->in_bytes))) {
		*end = '\0';
		run_line(client, client->in, end - client->in);
		consume(client, end - client->in + 1);
	}
	if (client->wants_events)
		client->in_bytes = 0;
	if (client->in_bytes == sizeof(client->in) && !client->running && !client->last) {
		client_refuse(client, NULL, "the request is longer than %d bytes",
			      CTL_MAX_REQUEST_BYTES);
		client->last = true;
	}
}

/* Closed by the other end, or only no more requests, as "nc" does it? */
static bool has_hung_up(struct client *client)
{
	struct env *env = client->ctl->env;
	struct pollfd pollfd = { .fd = env->ops->conn_fd(env, client->conn) };

	return poll(&pollfd, 1, 0) > 0 && (pollfd.revents & (POLLHUP | POLLERR));
}

/* The last line may come without its newline. */
static void end_of_input(struct client *client)
{
	client->last = true;
	if (client->in_bytes && client->in_bytes < sizeof(client->in))
		client->in[client->in_bytes++] = '\n';
}

static void client_step(struct client *client);

static void recv_done(struct env_io *io, ssize_t result)
{
	struct client *client = container_of(io, struct client, recv);

	client->receiving = false;
	if (result > 0)
		client->in_bytes += result;
	else if (result == 0 && !client->closing && !has_hung_up(client))
		end_of_input(client);
	else
		client_drop(client);
	client_step(client);
}

static void receive(struct client *client)
{
	if (client->receiving || client->closing || client->last ||
	    client->in_bytes == sizeof(client->in))
		return;
	client->receiving = true;
	client->recv_iov = (struct iovec){ client->in + client->in_bytes,
					   sizeof(client->in) - client->in_bytes };
	client->recv = (struct env_io){ .done = recv_done, .op = ENV_RECV, .conn = client->conn,
					.iov = &client->recv_iov, .nr_iov = 1 };
	env_submit(client->ctl->env, &client->recv);
}

/* Clients. */

static void ctl_maybe_gone(struct ctl *ctl)
{
	if (ctl->closing && !ctl->nr_clients)
		env_timer_set(ctl->env, &ctl->gone, 0);
}

static void client_free(struct client *client)
{
	struct ctl *ctl = client->ctl;
	struct output *output;

	env_timer_clear(ctl->env, &client->step);
	while ((output = STAILQ_FIRST(&client->outputs))) {
		STAILQ_REMOVE_HEAD(&client->outputs, link);
		free(output);
	}
	LIST_REMOVE(client, link);
	ctl->nr_clients--;
	free(client);
	ctl_maybe_gone(ctl);
}

static void tell_cancelled(struct client *client)
{
	struct request *request = client->running;

	client->running = NULL;
	if (!request)
		return;
	request->client = NULL;
	if (request->pub.cancelled)
		request->pub.cancelled(&request->pub);
}

static void client_step(struct client *client)
{
	if (!client->closing) {
		run_lines(client);
		receive(client);
	}
	if (client->last && !client->running && !client->wants_events &&
	    STAILQ_EMPTY(&client->outputs))
		client_drop(client);
	if (!client->closing)
		return;
	tell_cancelled(client);
	if (!client->receiving && !client->sending)
		client_free(client);
}

static void step_fired(struct env_timer *timer)
{
	client_step(container_of(timer, struct client, step));
}

static bool may_command(struct ctl *ctl, struct env_conn *conn)
{
	struct ucred cred;
	socklen_t length = sizeof(cred);

	if (getsockopt(ctl->env->ops->conn_fd(ctl->env, conn), SOL_SOCKET, SO_PEERCRED, &cred,
		       &length) < 0)
		return false;
	return cred.uid == 0 || cred.uid == geteuid();
}

static struct client *client_create(struct ctl *ctl, struct env_conn *conn)
{
	struct client *client = malloc(sizeof(*client));

	if (!client)
		return NULL;
	memset(client, 0, offsetof(struct client, in));
	client->ctl = ctl;
	client->conn = conn;
	client->step.fire = step_fired;
	STAILQ_INIT(&client->outputs);
	LIST_INSERT_HEAD(&ctl->clients, client, link);
	ctl->nr_clients++;
	return client;
}

static void accept_client(struct env_listener *listener, struct env_conn *conn,
			  const struct sockaddr_storage *from)
{
	struct ctl *ctl = container_of(listener, struct ctl, listener);
	struct client *client = NULL;

	(void)from;
	if (ctl->nr_clients < CTL_MAX_CLIENTS)
		client = client_create(ctl, conn);
	if (!client) {
		env_log(ctl->env, 4, NULL, "too many clients on the control socket");
		ctl->env->ops->conn_close(ctl->env, conn);
		return;
	}
	if (!may_command(ctl, conn)) {
		client_refuse(client, "run the command as root",
			      "only root may talk to the agent");
		client->last = true;
	}
	step_soon(client);
}

/* Events. */

void ctl_event(struct ctl *ctl, const char *resource, const char *event, const char *peer,
	       const char *fmt, ...)
{
	struct client *client;
	json_t *object;
	va_list args;

	va_start(args, fmt);
	object = json_pack("{s:I, s:s, s:o}", "time_ns", (json_int_t)env_realtime_ns(ctl->env),
			   "event", event, "text", make_formatted(fmt, args));
	va_end(args);
	if (object && resource)
		json_object_set_new(object, "resource", make_text(resource));
	if (object && peer)
		json_object_set_new(object, "peer", make_text(peer));
	LIST_FOREACH(client, &ctl->clients, link) {
		bool wanted = !client->events_of[0] ||
			      (resource && !strcmp(client->events_of, resource));

		if (object && client->wants_events && wanted)
			client_say(client, json_incref(object));
	}
	json_decref(object);
}

/* Making and ending it. */

void ctl_set_commands(struct ctl *ctl, const struct ctl_command *table, void *ctx)
{
	ctl->table = table;
	ctl->table_ctx = ctx;
}

/* Held as long as the agent lives: the socket's file may then be replaced safely. */
static int take_lock(struct ctl *ctl, const char *run_dir, char *error, size_t error_bytes)
{
	char path[512];
	int err;

	if (mkdir(run_dir, 0755) < 0 && errno != EEXIST) {
		err = -errno;
		snprintf(error, error_bytes, "%s cannot be created: %s", run_dir, strerror(-err));
		return err;
	}
	snprintf(path, sizeof(path), "%s/control.lock", run_dir);
	ctl->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (ctl->lock_fd >= 0 && flock(ctl->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	err = errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (err == -EBUSY)
		snprintf(
			error, error_bytes,
			"another agent is running in %s: stop it first, or choose another --run-dir",
			run_dir);
	else
		snprintf(error, error_bytes, "%s: %s", path, strerror(-err));
	return err;
}

static int start_listening(struct ctl *ctl, char *error, size_t error_bytes)
{
	struct sockaddr_un *addr = (struct sockaddr_un *)&ctl->listener.addr;
	mode_t mask;
	int err;

	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, ctl->path, sizeof(addr->sun_path));
	ctl->listener.addr_len = sizeof(*addr);
	ctl->listener.accept = accept_client;
	(void)unlink(ctl->path);
	mask = umask(0177);
	err = ctl->env->ops->listen(ctl->env, &ctl->listener);
	umask(mask);
	if (err)
		snprintf(error, error_bytes, "%s: %s", ctl->path, strerror(-err));
	return err;
}

static void ctl_free(struct ctl *ctl)
{
	if (ctl->lock_fd >= 0)
		close(ctl->lock_fd);
	free(ctl);
}

static void gone_fired(struct env_timer *timer)
{
	struct ctl *ctl = container_of(timer, struct ctl, gone);
	void (*done)(void *ctx) = ctl->done;
	void *ctx = ctl->done_ctx;

	assert(!ctl->nr_requests);
	env_timer_clear(ctl->env, &ctl->drain);
	ctl_free(ctl);
	done(ctx);
}

static void drain_fired(struct env_timer *timer)
{
	struct ctl *ctl = container_of(timer, struct ctl, drain);
	struct client *client;

	LIST_FOREACH(client, &ctl->clients, link)
		client_drop(client);
}

int ctl_create(struct env *env, const char *run_dir, struct ctl **ctl, char *error,
	       size_t error_bytes)
{
	struct ctl *made = calloc(1, sizeof(*made));
	int err;

	snprintf(error, error_bytes, "no memory");
	if (!made)
		return -ENOMEM;
	made->env = env;
	made->lock_fd = -1;
	made->gone.fire = gone_fired;
	LIST_INIT(&made->clients);
	if (snprintf(made->path, sizeof(made->path), "%s/control.sock", run_dir) >=
	    (int)sizeof(made->path)) {
		snprintf(error, error_bytes, "%s is too long for a socket's path", run_dir);
		err = -ENAMETOOLONG;
	} else {
		err = take_lock(made, run_dir, error, error_bytes);
	}
	if (!err)
		err = start_listening(made, error, error_bytes);
	if (err)
		ctl_free(made);
	else
		*ctl = made;
	return err;
}

void ctl_destroy(struct ctl *ctl, void (*done)(void *ctx), void *ctx)
{
	struct client *client;

	ctl->closing = true;
	ctl->done = done;
	ctl->done_ctx = ctx;
	ctl->env->ops->unlisten(ctl->env, &ctl->listener);
	(void)unlink(ctl->path);
	LIST_FOREACH(client, &ctl->clients, link) {
		client->last = true;
		client->wants_events = false;
		step_soon(client);
	}
	ctl->drain.fire = drain_fired;
	env_timer_set(ctl->env, &ctl->drain, env_monotonic_ns(ctl->env) + DRAIN_NS);
	ctl_maybe_gone(ctl);
}
