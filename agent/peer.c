// SPDX-License-Identifier: GPL-2.0
/*
 * Control connections.  A refusal is said to the peer before the connection
 * is closed, logged once, and shown in "status" until it is resolved; the
 * attempts go on, ever more slowly.
 */
#include "peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "version.h"

static struct env *peer_env(const struct peer *peer)
{
	return peer->node->home->env;
}

static uint64_t now_ns(const struct peer *peer)
{
	return env_monotonic_ns(peer_env(peer));
}

const struct conf_node *peer_conf(const struct peer *peer)
{
	return conf_node_by_id(&peer->node->conf, peer->id);
}

void peer_init(struct peer *peer, struct node *node, const struct conf_node *conf)
{
	memset(peer, 0, sizeof(*peer));
	peer->node = node;
	peer->id = conf->id;
	snprintf(peer->name, sizeof(peer->name), "%s", conf->name);
	peer->dialer = node->self->id < conf->id;
	peer->enabled = true;
	peer->backoff_ms = PEER_BACKOFF_MIN_MS;
}

void peer_keys(const struct peer *peer, struct handshake_keys *keys)
{
	const struct conf *conf = &peer->node->conf;

	memset(keys, 0, sizeof(*keys));
	keys->nr = conf->has_previous_key ? 2 : 1;
	memcpy(keys->key[0], conf->key, CONF_KEY_BYTES);
	memcpy(keys->key[1], conf->previous_key, CONF_KEY_BYTES);
	snprintf(keys->resource, sizeof(keys->resource), "%s", conf->name);
	snprintf(keys->peer, sizeof(keys->peer), "%s", peer->name);
}

void peer_hello(const struct peer *peer, unsigned int kind, uint64_t session,
		struct wire_hello *hello)
{
	memset(hello, 0, sizeof(*hello));
	memcpy(hello->resource_id, peer->node->conf.id, sizeof(hello->resource_id));
	hello->from = peer->node->self->id;
	hello->to = peer->id;
	hello->kind = kind;
	hello->session = session;
}

/* --- sending ---------------------------------------------------------- */

static void send_body(struct peer *peer, unsigned int type, const char *body, size_t bytes)
{
	uint8_t *message;

	if (bytes > WIRE_MAX_BODY)
		return;
	message = malloc(WIRE_HEAD_BYTES + bytes);
	if (!message)
		return;
	wire_put_head(message, type, bytes);
	memcpy(message + WIRE_HEAD_BYTES, body, bytes);
	if (link_send(peer->link, message, WIRE_HEAD_BYTES + bytes))
		peer->sent_ns = now_ns(peer);
	free(message);
}

/* Takes the reference. */
static void send_json(struct peer *peer, unsigned int type, json_t *json)
{
	char *text = json && peer->link ? json_dumps(json, JSON_COMPACT) : NULL;

	if (text)
		send_body(peer, type, text, strlen(text));
	free(text);
	json_decref(json);
}

void peer_send_state(struct peer *peer, const struct message_state *state)
{
	if (peer->introduced)
		send_json(peer, WIRE_STATE, message_put_state(state));
}

void peer_send_answer(struct peer *peer, unsigned int type, const struct message_answer *answer)
{
	if (peer->introduced)
		send_json(peer, type, message_put_answer(answer));
}

static void send_introduce(struct peer *peer)
{
	struct node *node = peer->node;
	struct message_introduce *in = calloc(1, sizeof(*in));

	if (!in)
		return;
	in->node = node->self->id;
	snprintf(in->name, sizeof(in->name), "%s", node->self->name);
	snprintf(in->release, sizeof(in->release), "%s", REPRISE_VERSION);
	conf_describe(&node->conf, in->config, sizeof(in->config));
	in->logical_block_bytes = node->conf.logical_block_bytes;
	in->nr_volumes = node->self->nr_volumes;
	for (unsigned int i = 0; i < in->nr_volumes; i++) {
		in->volumes[i].number = node->self->volumes[i].number;
		in->volumes[i].sectors = node->store.volumes[i].size_sectors;
	}
	send_json(peer, WIRE_INTRODUCE, message_put_introduce(in));
	free(in);
}

static void send_goodbye(struct peer *peer, const char *code, const char *text)
{
	struct message_answer answer = { .number = 1 };

	snprintf(answer.code, sizeof(answer.code), "%s", code);
	snprintf(answer.text, sizeof(answer.text), "%s", text);
	send_json(peer, WIRE_GOODBYE, message_put_answer(&answer));
}

/* --- losing ----------------------------------------------------------- */

/* A peer that is away may come any moment; one that refuses has to be repaired first. */
static void schedule_retry(struct peer *peer)
{
	uint32_t max_ms = peer->connection == PEER_REFUSED ? PEER_BACKOFF_MAX_MS :
			  PEER_BACKOFF_AWAY_MS;
	uint16_t noise;
	uint64_t delay_ms = peer->backoff_ms;

	env_random(peer_env(peer), &noise, sizeof(noise));
	delay_ms = delay_ms / 2 + delay_ms * noise / 65536;
	peer->retry_ns = now_ns(peer) + delay_ms * NS_PER_MS;
	peer->backoff_ms *= 2;
	if (peer->backoff_ms > max_ms)
		peer->backoff_ms = max_ms;
}

static void set_connection(struct peer *peer, enum peer_connection connection, const char *text)
{
	bool was = peer->connection == PEER_CONNECTED;
	bool news = connection != peer->connection ||
		    (connection == PEER_REFUSED && strcmp(text, peer->connection_text));

	peer->connection = connection;
	snprintf(peer->connection_text, sizeof(peer->connection_text), "%s", text);
	if (connection == PEER_CONNECTED)
		node_say(peer->node, 6, "connected", peer->name, "connected to %s", peer->name);
	else if (connection == PEER_REFUSED && news)
		node_say(peer->node, 4, "refused", peer->name, "no connection with %s: %s",
			 peer->name, text);
	else if (was)
		node_say(peer->node, 5, "disconnected", peer->name,
			 "contact with %s ended: %s", peer->name, text);
}

static void forget_connection(struct peer *peer, enum peer_connection connection, const char *text)
{
	bool known = peer->known;

	peer->introduced = false;
	peer->known = false;
	set_connection(peer, connection, text);
	schedule_retry(peer);
	if (known)
		node_peer_lost(peer->node, peer);
}

/* The link is broken or useless: close it; @text is for the own side. */
static void drop(struct peer *peer, enum peer_connection connection, const char *text)
{
	struct link *link = peer->link;

	peer->link = NULL;
	if (link)
		link_close(link);
	forget_connection(peer, connection, text);
}

/* Say why to the peer, then close. */
static void __attribute__((format(printf, 3, 4)))
refuse(struct peer *peer, const char *code, const char *fmt, ...)
{
	struct link *link = peer->link;
	char text[MESSAGE_TEXT_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	send_goodbye(peer, code, text);
	peer->link = NULL;
	link_finish(link, 1000 * NS_PER_MS);
	forget_connection(peer, PEER_REFUSED, text);
}

/* --- receiving -------------------------------------------------------- */

static bool check_volumes(struct peer *peer, const struct message_introduce *in)
{
	const struct node *node = peer->node;
	const struct conf_node *self = node->self;

	if (in->nr_volumes != self->nr_volumes) {
		refuse(peer, "invalid", "resource %s has %u volumes on %s and %u on %s",
		       node->conf.name, self->nr_volumes, self->name, in->nr_volumes, peer->name);
		return false;
	}
	for (unsigned int i = 0; i < in->nr_volumes; i++) {
		uint64_t mine = node->store.volumes[i].size_sectors;
		uint64_t theirs = in->volumes[i].sectors;

		if (in->volumes[i].number != self->volumes[i].number) {
			refuse(peer, "invalid", "resource %s has volume %u on %s, which %s lacks",
			       node->conf.name, self->volumes[i].number, self->name, peer->name);
			return false;
		}
		if (mine != theirs && mine && theirs) {
			refuse(peer, "invalid",
			       "volume %u of resource %s has %llu bytes on %s and %llu bytes on %s: create both with the same size",
			       self->volumes[i].number, node->conf.name,
			       (unsigned long long)mine * 512, self->name,
			       (unsigned long long)theirs * 512, peer->name);
			return false;
		}
	}
	return true;
}

static bool check_config(struct peer *peer, const struct message_introduce *in)
{
	char *mine = malloc(MESSAGE_CONFIG_BYTES);
	char text[256];
	bool differs;

	if (!mine)
		return false;
	conf_describe(&peer->node->conf, mine, MESSAGE_CONFIG_BYTES);
	differs = conf_difference(mine, in->config, peer->node->self->name, peer->name, text,
				  sizeof(text));
	free(mine);
	if (differs)
		refuse(peer, "invalid",
		       "the configuration of resource %s differs: %s; make the files equal and reload",
		       peer->node->conf.name, text);
	return !differs;
}

static bool check_introduce(struct peer *peer, const struct message_introduce *in)
{
	const struct node *node = peer->node;

	if (in->node != peer->id || strcmp(in->name, peer->name)) {
		refuse(peer, "invalid",
		       "node %u of resource %s is %s in the configuration of %s, but calls itself %s (id %u)",
		       peer->id, node->conf.name, peer->name, node->self->name, in->name, in->node);
		return false;
	}
	if (in->logical_block_bytes != node->conf.logical_block_bytes) {
		refuse(peer, "invalid",
		       "resource %s has logical blocks of %u bytes on %s and of %u bytes on %s",
		       node->conf.name, node->conf.logical_block_bytes, node->self->name,
		       in->logical_block_bytes, peer->name);
		return false;
	}
	return check_volumes(peer, in) && check_config(peer, in);
}

static bool on_introduce(struct peer *peer, json_t *json)
{
	struct message_introduce *in = calloc(1, sizeof(*in));
	struct message_state *state = calloc(1, sizeof(*state));
	const char *why = "no memory";
	bool ok = false;

	if (!in || !state || message_get_introduce(json, in, &why)) {
		refuse(peer, "invalid", "%s: %s", peer->name, why);
	} else if (check_introduce(peer, in)) {
		ok = true;
		peer->introduced = true;
		peer->backoff_ms = PEER_BACKOFF_MIN_MS;
		set_connection(peer, PEER_CONNECTED, "");
		node_own_state(peer->node, state);
		peer_send_state(peer, state);
	}
	free(in);
	free(state);
	return ok;
}

static bool on_state(struct peer *peer, json_t *json)
{
	const char *why;

	if (message_get_state(json, &peer->state, &why)) {
		refuse(peer, "invalid", "%s: %s", peer->name, why);
		return false;
	}
	peer->known = true;
	node_peer_known(peer->node, peer);
	return true;
}

static bool on_answer(struct peer *peer, unsigned int type, json_t *json)
{
	struct message_answer answer;
	const char *why;

	if (message_get_answer(json, &answer, &why)) {
		refuse(peer, "invalid", "%s: %s", peer->name, why);
		return false;
	}
	if (type == WIRE_GOODBYE) {
		drop(peer, !strcmp(answer.code, "down") ? PEER_DISCONNECTED : PEER_REFUSED,
		     answer.text);
		return false;
	}
	if (peer->known)
		node_peer_message(peer->node, peer, type, &answer);
	return true;
}

static bool dispatch(struct peer *peer, unsigned int type, json_t *json)
{
	if (type == WIRE_INTRODUCE && !peer->introduced)
		return on_introduce(peer, json);
	if (type == WIRE_GOODBYE)
		return on_answer(peer, type, json);
	if (!peer->introduced || type == WIRE_INTRODUCE) {
		refuse(peer, "invalid", "%s sent a message out of order", peer->name);
		return false;
	}
	if (type == WIRE_STATE)
		return on_state(peer, json);
	return on_answer(peer, type, json);
}

static ssize_t link_head(void *ctx, const uint8_t head[WIRE_HEAD_BYTES])
{
	struct peer *peer = ctx;
	struct wire_head h;

	if (wire_get_head(head, WIRE_MAX_BODY, &h) || h.type < WIRE_INTRODUCE) {
		refuse(peer, "invalid", "%s sent something that is not a message", peer->name);
		return -1;
	}
	return h.length;
}

static bool link_message(void *ctx, const uint8_t *message, size_t bytes)
{
	struct peer *peer = ctx;
	struct link *link = peer->link;
	struct wire_head h;
	json_t *json;
	bool more;

	wire_get_head(message, WIRE_MAX_BODY, &h);
	peer->heard_ns = now_ns(peer);
	if (h.type == WIRE_HEARTBEAT)
		return true;
	json = json_loadb((const char *)message + WIRE_HEAD_BYTES, bytes - WIRE_HEAD_BYTES,
			  JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(json)) {
		json_decref(json);
		refuse(peer, "invalid", "%s sent a message that is not JSON", peer->name);
		return false;
	}
	more = dispatch(peer, h.type, json);
	json_decref(json);
	return more && peer->link == link;
}

static void link_broken(void *ctx, const char *why)
{
	drop(ctx, PEER_DISCONNECTED, why);
}

static const struct link_ops peer_link_ops = {
	.head = link_head,
	.message = link_message,
	.broken = link_broken,
};

/* --- connecting ------------------------------------------------------- */

static void connected(struct peer *peer, struct env_conn *conn)
{
	struct node *node = peer->node;

	if (peer->link)
		drop(peer, PEER_DISCONNECTED, "replaced by a new connection");
	peer->link = link_create(node->home->env, node->home->links, conn, &peer_link_ops, peer);
	if (!peer->link) {
		forget_connection(peer, PEER_DISCONNECTED, "no memory");
		return;
	}
	peer->heard_ns = now_ns(peer);
	if (peer->connection == PEER_DISCONNECTED)
		peer->connection = PEER_CONNECTING;
	send_introduce(peer);
	link_read(peer->link);
}

void peer_accepted(struct peer *peer, struct env_conn *conn)
{
	if (peer->enabled && peer->node->up)
		connected(peer, conn);
	else
		peer_env(peer)->ops->conn_close(peer_env(peer), conn);
}

void peer_accept_failed(struct peer *peer, const char *why)
{
	if (peer->enabled && !peer->link)
		set_connection(peer, PEER_REFUSED, why);
}

/* A resource that is not up is away, not wrong. */
static bool is_refusal(unsigned int refusal)
{
	return refusal && refusal != WIRE_REFUSE_RESOURCE && refusal != WIRE_REFUSE_BUSY &&
	       refusal != WIRE_REFUSE_DISCONNECTED;
}

static void greeted(void *ctx, const struct greet_result *result)
{
	struct peer *peer = ctx;

	peer->greet = NULL;
	if (result->conn) {
		connected(peer, result->conn);
		return;
	}
	forget_connection(peer, is_refusal(result->refusal) ? PEER_REFUSED : PEER_DISCONNECTED,
			  result->why);
}

static void dial(struct peer *peer)
{
	struct node *node = peer->node;
	const struct conf_node *to = peer_conf(peer);
	struct handshake_keys keys;
	struct wire_hello hello;

	peer_keys(peer, &keys);
	peer_hello(peer, WIRE_CONTROL, 0, &hello);
	if (peer->connection == PEER_DISCONNECTED)
		peer->connection = PEER_CONNECTING;
	peer->greet = greet_dial(node->home->env, node->home->links, &to->addr, to->addr_len,
				 &hello, &keys, greeted, peer);
	if (!peer->greet)
		schedule_retry(peer);
}

static void keep_alive(struct peer *peer, uint64_t now)
{
	uint64_t timeout_ns = peer->node->conf.timeout_ms * NS_PER_MS;
	char text[64];

	if (now > peer->heard_ns + timeout_ns) {
		snprintf(text, sizeof(text), "nothing heard for %u ms",
			 peer->node->conf.timeout_ms);
		drop(peer, PEER_DISCONNECTED, text);
	} else if (now > peer->sent_ns + timeout_ns / 3 && peer->introduced) {
		send_body(peer, WIRE_HEARTBEAT, "", 0);
	}
}

void peer_tick(struct peer *peer)
{
	uint64_t now = now_ns(peer);

	if (!peer->enabled)
		return;
	if (peer->link)
		keep_alive(peer, now);
	else if (peer->dialer && !peer->greet && now >= peer->retry_ns)
		dial(peer);
}

void peer_start(struct peer *peer)
{
	peer->enabled = true;
	peer->backoff_ms = PEER_BACKOFF_MIN_MS;
	peer->retry_ns = 0;
	/* Why it was not connected before. */
	if (peer->connection == PEER_DISCONNECTED)
		peer->connection_text[0] = '\0';
	peer_tick(peer);
}

/* @told: the same for the peer's eyes. */
static void disconnect(struct peer *peer, const char *why, const char *told)
{
	if (peer->greet)
		greet_cancel(peer->greet);
	peer->greet = NULL;
	if (peer->link) {
		struct link *link = peer->link;

		send_goodbye(peer, "down", told);
		peer->link = NULL;
		link_finish(link, 1000 * NS_PER_MS);
		forget_connection(peer, PEER_DISCONNECTED, why);
	} else {
		peer->connection = PEER_DISCONNECTED;
		snprintf(peer->connection_text, sizeof(peer->connection_text), "%s", why);
	}
}

void peer_stop(struct peer *peer, const char *why, const char *told)
{
	peer->enabled = false;
	disconnect(peer, why, told);
}

void peer_restart(struct peer *peer, const char *why, const char *told)
{
	if (!peer->enabled)
		return;
	disconnect(peer, why, told);
	peer_start(peer);
}
