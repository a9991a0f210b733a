// SPDX-License-Identifier: GPL-2.0
/*
 * The rules for promotion and demotion (DESIGN.md, section 7), one check per
 * function, the ones that no force overrides first.
 */
#include "role.h"

#include <stdarg.h>
#include <stdio.h>

static bool __attribute__((format(printf, 3, 4)))
refuse(struct role_verdict *v, const char *code, const char *fmt, ...)
{
	va_list args;

	v->allowed = false;
	v->code = code;
	va_start(args, fmt);
	vsnprintf(v->error, sizeof(v->error), fmt, args);
	va_end(args);
	return false;
}

static void __attribute__((format(printf, 2, 3))) hint(struct role_verdict *v, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(v->hint, sizeof(v->hint), fmt, args);
	va_end(args);
}

static bool store_usable(const struct role_self *self, struct role_verdict *v)
{
	if (self->state == REPRISE_STORE_BLANK) {
		hint(v, "promote the node that holds the data");
		return refuse(v, "invalid", "resource %s cannot be promoted on %s: it has no content here yet",
			      self->resource, self->node);
	}
	if (self->damage[0]) {
		hint(v, "promote another node; this one has to be repaired from it");
		return refuse(v, "resync-needed", "resource %s cannot be promoted on %s: %s",
			      self->resource, self->node, self->damage);
	}
	if (self->state == REPRISE_STORE_CLEAN || meta_is_uncertain(self->state))
		return true;
	hint(v, "promote another node; this one has to be brought back from it");
	return refuse(v, "resync-needed", "resource %s cannot be promoted on %s: its copy is %s",
		      self->resource, self->node, meta_state_name(self->state));
}

/* Its disk failed writes while it was primary, and it was demoted in order. */
static bool nothing_lost(const struct role_self *self, struct role_verdict *v)
{
	if (self->state != REPRISE_STORE_LOST)
		return true;
	hint(v, "promote another node; with --force this copy goes on as it is: where writes failed it may hold older content, and every other copy will need a resync");
	return refuse(v, "resync-needed", "resource %s cannot be promoted on %s: writes failed on its backing device while it was primary",
		      self->resource, self->node);
}

static bool nobody_primary(const struct role_self *self, const struct role_peer *peers,
			   unsigned int nr, struct role_verdict *v)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (!peers[i].connected)
			continue;
		if (peers[i].primary) {
			hint(v, "demote it on %s first: reprise demote %s", peers[i].name,
			     self->resource);
			return refuse(v, "unsafe", "resource %s is primary on %s",
				      self->resource, peers[i].name);
		}
		if (peers[i].promoting) {
			hint(v, "wait for it to finish");
			return refuse(v, "busy", "resource %s is being promoted on %s",
				      self->resource, peers[i].name);
		}
	}
	return true;
}

/* Side A, this node, crashed as primary; the peer has everything that was promised, if ... */
static bool crashed_here(const struct role_self *self, const struct role_peer *peer,
			 struct role_verdict *v)
{
	hint(v, "if %s was mirrored to until %s crashed, promote it there, with --force: every write that was promised is there; if %s had lost %s before (its log says \"%s is lost\"), promote here, with --force",
	     peer->name, self->node, self->node, peer->name, peer->name);
	return refuse(v, "unsafe", "resource %s crashed as primary on %s, and %s may hold completed writes that are missing here",
		      self->resource, self->node, peer->name);
}

/* Side B has to be brought back, but what only it holds would be left out for good. */
static bool peer_holds_more(const struct role_self *self, const struct role_peer *peer,
			    struct role_verdict *v)
{
	if (peer->decision.reason == MEET_UNCLEAN) {
		hint(v, "if %s was mirrored to until %s crashed, use --force: every write that was promised is here; if %s had lost %s before (its log says \"%s is lost\"), promote it there instead, with --force: what it wrote since is only there, and left out for good if %s goes on",
		     self->node, peer->name, peer->name, self->node, self->node, self->node);
		return refuse(v, "unsafe", "resource %s crashed as primary on %s, which may have written more after it lost %s",
			      self->resource, peer->name, self->node);
	}
	hint(v, "repair %s first; with --force what only %s holds is left out for good",
	     peer->name, peer->name);
	return refuse(v, "unsafe", "resource %s on %s may hold writes that %s lacks, but its store or log is damaged or incomplete",
		      self->resource, peer->name, self->node);
}

static bool resync_agrees(const struct role_self *self, const struct role_peer *peer,
			  const char *text, struct role_verdict *v)
{
	const struct meet_decision *d = &peer->decision;

	if (d->side != MEET_A && d->may_hold_more)
		return peer_holds_more(self, peer, v);
	if (d->side != MEET_A)
		return true;
	if (d->reason == MEET_UNCLEAN && d->may_hold_more)
		return crashed_here(self, peer, v);
	hint(v, "promote %s instead; with --force the writes that only %s holds are left out for good",
	     peer->name, peer->name);
	return refuse(v, "resync-needed", "resource %s on %s is not up to date with %s: %s",
		      self->resource, self->node, peer->name, text);
}

static bool peer_agrees(const struct role_self *self, const struct role_peer *peer,
			struct role_verdict *v)
{
	const struct meet_decision *d = &peer->decision;
	char text[320];

	meet_describe(d, self->node, peer->name, text, sizeof(text));
	switch (d->outcome) {
	case MEET_SPLIT_BRAIN:
	case MEET_REFUSED:
		hint(v, "with --force %s becomes the primary as it is; what only %s holds stays there and is not mirrored",
		     self->node, peer->name);
		return refuse(v, "unsafe", "resource %s on %s does not fit %s: %s",
			      self->resource, self->node, peer->name, text);
	case MEET_FOLLOW:
		if (d->side != MEET_A)
			return true;
		hint(v, "try again in a moment");
		return refuse(v, "busy", "resource %s on %s is still entering the timeline of %s",
			      self->resource, self->node, peer->name);
	case MEET_RESYNC:
		return resync_agrees(self, peer, text, v);
	default:
		return true;
	}
}

static bool in_contact(const struct role_self *self, const struct role_peer *peer,
		       struct role_verdict *v)
{
	if (peer->connected)
		return true;
	hint(v, "make sure that %s is not primary and cannot become it, then use --force; whatever was written on %s and did not reach %s is lost or becomes a split brain",
	     peer->name, peer->name, self->node);
	return refuse(v, "no-contact", "resource %s cannot be promoted on %s: no contact with %s, which may be primary or hold newer writes",
		      self->resource, self->node, peer->name);
}

static bool peers_agree(const struct role_self *self, const struct role_peer *peers,
			unsigned int nr, struct role_verdict *v)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (!in_contact(self, &peers[i], v))
			return false;
		if (!peer_agrees(self, &peers[i], v))
			return false;
	}
	return true;
}

void role_check_promote(const struct role_self *self, const struct role_peer *peers,
			unsigned int nr_peers, bool force, struct role_verdict *verdict)
{
	*verdict = (struct role_verdict){ .code = "" };
	if (!store_usable(self, verdict) || !nobody_primary(self, peers, nr_peers, verdict))
		return;
	if (!force && (!nothing_lost(self, verdict) ||
		       !peers_agree(self, peers, nr_peers, verdict)))
		return;
	verdict->crash_fork = meta_is_uncertain(self->state);
	verdict->allowed = true;
}

void role_check_demote(const struct role_self *self, const struct role_peer *peers,
		       unsigned int nr_peers, bool force, struct role_verdict *verdict)
{
	*verdict = (struct role_verdict){ .code = "", .allowed = true };
	if (force)
		return;
	for (unsigned int i = 0; i < nr_peers; i++) {
		if (!peers[i].connected || peers[i].decision.outcome != MEET_DEPOSED)
			continue;
		if (peers[i].decision.side != MEET_A)
			continue;
		hint(verdict, "use --force: what is still waiting to be written fails with an I/O error");
		refuse(verdict, "unsafe",
		       "resource %s is frozen on %s because %s was promoted: what is waiting here cannot be finished",
		       self->resource, self->node, peers[i].name);
		return;
	}
}
