/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A resource on this node: its files, its replica or its kernel device, and
 * what it knows of its peers.
 *
 * The one idea: node_consider() looks at what is known now and starts
 * whatever follows from it.  It may be called at any time and as often as one
 * likes; after every change, and every tick, it is.  What takes several steps
 * on the store (up, down, promotion, demotion, leaving, following) is a
 * "work", of which there is one at a time.
 *
 * Who does what: node.c considers, up.c begins and ends, follow.c does what
 * peers ask for, promote.c, demote.c, session.c (offers and data
 * connections), status.c (what people see), peer.c the control connections.
 */
#ifndef REPRISE_NODE_H
#define REPRISE_NODE_H

#include "conf.h"
#include "ctl.h"
#include "env.h"
#include "greet.h"
#include "kernel.h"
#include "link.h"
#include "meet.h"
#include "message.h"
#include "replica.h"
#include "role.h"
#include "store.h"

struct node;

enum {
	NODE_TEXT_BYTES = 512,
	NODE_TICK_MS = 1000,
	NODE_DEFAULT_TIMEOUT_MS = 30000,
	NODE_MAX_PEERS = REPRISE_MAX_NODES - 1,
	NODE_MIN_RING_BYTES = 8 << 20,

	PEER_BACKOFF_MIN_MS = 500,
	PEER_BACKOFF_AWAY_MS = 3000,
	PEER_BACKOFF_MAX_MS = 15000,

	DEMOTE_POLL_MS = 200,
	DEMOTE_BUSY_MS = 2000,
};

#define NS_PER_MS 1000000ull

/* What all resources of an agent share. */
struct node_home {
	struct env *env;
	struct link_home *links;
	struct kernel kernel;
	struct ctl *ctl;
};

enum peer_connection {
	PEER_DISCONNECTED,
	PEER_CONNECTING,
	PEER_CONNECTED,		/* introduced, configurations agree */
	PEER_REFUSED,
};

/* A data session towards a peer, as the primary sees it. */
enum peer_session {
	PEER_SESSION_NONE,
	PEER_SESSION_OFFERED,	/* waits for the answer */
	PEER_SESSION_DIALING,	/* answered; waits for the data connection */
	PEER_SESSION_ATTACHED,	/* the kernel has it */
};

struct peer {
	struct node *node;
	unsigned int id;
	char name[REPRISE_NAME_MAX + 1];
	bool dialer;			/* this node dials: its id is smaller */
	bool enabled;			/* not disconnected by the administrator */

	enum peer_connection connection;
	char connection_text[NODE_TEXT_BYTES];
	struct greet *greet;		/* dialing */
	struct link *link;
	bool introduced;		/* its introduction was accepted here */
	uint64_t heard_ns, sent_ns, retry_ns;
	uint32_t backoff_ms;

	bool known;			/* state below was heard on this connection */
	struct message_state state;
	struct meet_decision decision;	/* this node is side A */
	char said[NODE_TEXT_BYTES];	/* what was last said of the decision */

	enum peer_session session;
	uint64_t session_number;
	uint64_t session_deadline_ns, session_retry_ns;
	uint32_t session_backoff_ms;
	uint64_t attached_ns;
	uint64_t session_position;	/* as the peer answered */
	struct greet *data_greet;
	bool blocked;			/* no offer until the peer's position changes */
	uint64_t blocked_position;
	uint8_t blocked_timeline[REPRISE_ID_BYTES];
	char session_text[NODE_TEXT_BYTES];	/* why there is none */
	enum reprise_peer_state kernel_state;	/* last seen, 0: none */

	uint64_t enter_number;		/* it waits for us to enter its timeline */
};

enum node_work {
	NODE_WORK_NONE,
	NODE_WORK_UP,
	NODE_WORK_DOWN,
	NODE_WORK_PROMOTE,
	NODE_WORK_DEMOTE,
	NODE_WORK_LEAVE,
	NODE_WORK_FOLLOW,
	NODE_WORK_UNLEAVE,
	NODE_WORK_POLICY,
};

enum promote_phase {
	PROMOTE_LEAVING,	/* own replica and peers */
	PROMOTE_SETTLING,
	PROMOTE_ENTERING,
	PROMOTE_ANNOUNCED,	/* peers enter */
	PROMOTE_ATTACHING,	/* the kernel runs, frozen; peers attach */
	PROMOTE_UNDOING,
};

struct node_promote {
	struct ctl_request *req;
	bool force;
	enum promote_phase phase;
	uint64_t number;		/* of this attempt */
	uint64_t deadline_ns;
	bool self_left;
	uint32_t asked, waiting;	/* bit n: node n */
	uint32_t entered;		/* hold the new timeline */
	struct meta_timeline timeline;
	struct env_timer timer;
	char code[MESSAGE_CODE_BYTES];
	char error[NODE_TEXT_BYTES], hint[NODE_TEXT_BYTES];
};

struct node_demote {
	struct ctl_request *req;
	bool force;
	bool then_down;
	uint64_t began_ns, deadline_ns, seq;
	uint64_t write_errors;		/* while it was primary */
	struct env_timer timer;
};

struct node {
	struct node_home *home;
	struct conf conf;
	const struct conf_node *self;	/* in @conf */
	void (*changed)(struct node *node, void *ctx);	/* work ended */
	void *changed_ctx;

	bool up;			/* files open, or the kernel runs it */
	bool primary;
	bool held;			/* frozen by the administrator, or deposed */
	char failed[NODE_TEXT_BYTES];	/* lost for good until down and up */
	struct store store;
	struct replica *replica;	/* NULL: adopted, the store was never ours */
	struct meta meta;		/* lineage and state, as last known */
	struct nl_resource kernel;	/* primary: as last read */
	struct peer peers[NODE_MAX_PEERS];
	unsigned int nr_peers;
	struct env_timer tick;

	enum node_work work;
	struct ctl_request *work_req;	/* UP, DOWN, POLICY */
	struct ctl_request *down_req;	/* waits for a work that nobody asked for */
	void (*close_done)(struct node *node, int error);	/* to be closed when work ends */
	bool closing;
	struct node_promote promote;
	struct node_demote demote;

	/* asked for by peers */
	unsigned int leave_from;	/* node id of a promoter that waits, 0: none */
	uint64_t leave_number;
	/* left for a promotion elsewhere */
	unsigned int left_for;		/* node id, 0: nobody who is known to go on */
	uint64_t left_number;
	unsigned int follow_peer;	/* FOLLOW: index of the peer */
	unsigned int follow_index;	/* ... of the timeline being entered */
	struct meta_timeline follow_timeline;

	/* a session as replica */
	unsigned int offer_from;	/* node id; 0: none open */
	uint64_t offer_number;
	bool offer_answered;
	uint64_t offer_deadline_ns;
	uint8_t offer_timeline[REPRISE_ID_BYTES];
	struct greet *offer_greet;
	struct env_conn *session_conn;
	unsigned int session_from;
	uint64_t session_frames, session_heard_ns;	/* as of the last tick with new frames */
	char session_text[NODE_TEXT_BYTES];	/* how the last one ended */
	bool session_fatal;
	bool session_behind;		/* refused: this copy lacks writes */
};

/* --- up.c ------------------------------------------------------------- */
/* A resource that is down.  @conf is copied.  NULL: no memory. */
struct node *node_create(struct node_home *home, const struct conf *conf, const char *self_name);
/* Down, closed, or never up. */
void node_destroy(struct node *node);
void node_up(struct node *node, struct ctl_request *req);
/* A primary is demoted first. */
void node_down(struct node *node, struct ctl_request *req);
/* The kernel already runs it: be its primary's agent. */
void node_adopt(struct node *node, const struct nl_resource *res);
/*
 * Let go of everything: connections, replica, files; what the kernel runs
 * goes on.  A work under way is ended first.  @done is called once, later.
 */
void node_close(struct node *node, void (*done)(struct node *node, int error));
/* A new configuration while up.  0, or -errno with @error in words. */
int node_reload(struct node *node, const struct conf *conf, char *error, size_t bytes);
void node_freeze(struct node *node, struct ctl_request *req);
void node_resume(struct node *node, struct ctl_request *req);
int node_make_replica(struct node *node);

/* --- node.c ----------------------------------------------------------- */
void node_consider(struct node *node);
void node_work_begin(struct node *node, enum node_work work);
void node_work_end(struct node *node);
/* Being taken down, or closed by an agent that ends: there is, or will be, no store. */
bool node_is_ending(const struct node *node);
/* false: answered "busy". */
bool node_work_free(struct node *node, struct ctl_request *req);
/* What this node says of itself now. */
void node_own_state(struct node *node, struct message_state *state);
/* Copy lineage and state from the replica. */
void node_read_meta(struct node *node);
const struct meta_timeline *node_timeline(const struct node *node);	/* NULL: blank */
uint64_t node_position(const struct node *node);
/* What is wrong with store or log, in words; empty: nothing. */
const char *node_damage(const struct node *node);
struct peer *node_peer(struct node *node, unsigned int id);
/* Read the kernel's state of this resource again and draw conclusions. */
void node_kernel_refresh(struct node *node);
void node_kernel_event(struct node *node, const struct nl_event *event);
/* Tell every connected peer our state, and consider. */
void node_tell_peers(struct node *node);
/* A line for the log and for "events". */
void node_say(struct node *node, int level, const char *event, const char *peer,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* A peer was attached: I/O that waited only for that goes on. */
void node_resume_if_whole(struct node *node);
void node_role_view(struct node *node, struct role_self *self, struct role_peer *peers);
void node_tick_start(struct node *node);

/* --- node.c: called by peer.c ----------------------------------------- */
void node_peer_known(struct node *node, struct peer *peer);
void node_peer_lost(struct node *node, struct peer *peer);
void node_peer_message(struct node *node, struct peer *peer, unsigned int type,
		       const struct message_answer *answer);

/* --- follow.c --------------------------------------------------------- */
/* Tells a peer that asked: refused for @code if there is one, and where this node stands. */
void follow_answer(struct node *node, struct peer *peer, unsigned int type, uint64_t number,
		   const char *code, const char *text);
void follow_leave_asked(struct node *node, struct peer *peer, const struct message_answer *ask);
void follow_enter_asked(struct node *node, struct peer *peer, const struct message_answer *ask);
void follow_withdrawn(struct node *node, struct peer *peer, const struct message_answer *ask);
/* Begin whatever work is due; answer who waits. */
void follow_consider(struct node *node);

/* --- promote.c -------------------------------------------------------- */
void node_promote(struct node *node, struct ctl_request *req, bool force);
/* The node goes down: answer a promotion that has not begun. */
void promote_abandon(struct node *node);
/*
 * This node accepts @to's promotion: answer one here that has not begun.  With
 * force it could begin as soon as contact with @to is lost, whom nobody stops then.
 */
void promote_give_way(struct node *node, struct peer *to);
void promote_peer_lost(struct node *node, struct peer *peer);
void promote_left(struct node *node, struct peer *peer, const struct message_answer *answer);
void promote_entered(struct node *node, struct peer *peer, const struct message_answer *answer);
void promote_attached(struct node *node, struct peer *peer);
/* A peer with a smaller id is being promoted, too: withdraw.  false: too late. */
bool promote_yield(struct node *node, struct peer *to);

/* --- demote.c --------------------------------------------------------- */
void node_demote(struct node *node, struct ctl_request *req, bool force, bool then_down);

/* --- session.c -------------------------------------------------------- */
/* Primary: offer, where it makes sense. */
void session_consider(struct node *node, struct peer *peer);
void session_tick(struct node *node);
void session_answered(struct node *node, struct peer *peer, const struct message_answer *answer);
void session_lost(struct node *node, struct peer *peer, const char *reason);
/* Primary or replica: forget what is under way with @peer (the kernel's session stays). */
void session_peer_gone(struct node *node, struct peer *peer);
/* Replica. */
void session_offered(struct node *node, struct peer *peer, const struct message_answer *offer);
void session_refused(struct node *node, struct peer *peer, const struct message_answer *answer);
void session_replica_ended(void *ctx, const char *reason, bool fatal);
/* Is a data connection with this number expected from or by @peer? */
bool session_expected(const struct node *node, const struct peer *peer, uint64_t number);
/* An authenticated data connection; taken over. */
void session_connected(struct node *node, struct peer *peer, uint64_t number,
		       struct env_conn *conn);

/* --- status.c --------------------------------------------------------- */
json_t *status_json(struct node *node);
json_t *status_log_json(struct node *node);
/* 0 ok, 1 degraded, 2 failed. */
int status_health(struct node *node, char *text, size_t bytes);

#endif /* REPRISE_NODE_H */
