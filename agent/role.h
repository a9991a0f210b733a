/* SPDX-License-Identifier: GPL-2.0 */
/*
 * May this node become primary, or stop being it?  Pure: looks at what is
 * known of this node and its peers and answers in words: refused because of
 * what, what to do next, and what forcing may cost.
 */
#ifndef REPRISE_ROLE_H
#define REPRISE_ROLE_H

#include "meet.h"

/**
 * struct role_self - this node
 * @resource, @node: names, for messages
 * @damage: what is wrong with store or log, in words; empty: nothing
 */
struct role_self {
	const char *resource;
	const char *node;
	bool primary;
	enum reprise_store_state state;
	const char *damage;
};

/**
 * struct role_peer - a configured peer, as far as it is known
 * @connected: control connection up and state heard; the rest is valid then
 * @decision: meet() with this node as side A
 */
struct role_peer {
	const char *name;
	bool connected;
	bool primary;
	bool promoting;
	struct meet_decision decision;
};

/**
 * struct role_verdict - the answer
 * @code: for programs, as in the control protocol
 * @crash_fork: allowed, and the timeline to open is a crash fork
 */
struct role_verdict {
	bool allowed;
	bool crash_fork;
	const char *code;
	char error[512];
	char hint[512];
};

void role_check_promote(const struct role_self *self, const struct role_peer *peers,
			unsigned int nr_peers, bool force, struct role_verdict *verdict);
void role_check_demote(const struct role_self *self, const struct role_peer *peers,
		       unsigned int nr_peers, bool force, struct role_verdict *verdict);

#endif /* REPRISE_ROLE_H */
