/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two or three agents in one process, on the real event loop and loopback
 * TCP, with files for disks and a stand-in kernel each.  Whatever goes wrong
 * in here aborts the test.
 */
#ifndef TESTS_CLUSTER_H
#define TESTS_CLUSTER_H

#include "agent/agent_impl.h"
#include "agent/ctl.h"
#include "agent/loop.h"
#include "env_kernel.h"

#define CLUSTER_KEY	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define CLUSTER_KEY2	"ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

enum { MAX_AGENTS = 3 };

extern const char *const cluster_names[MAX_AGENTS];

/* An answer, and the connection to a control socket that it comes over. */
struct answer {
	int fd;
	bool ok;
	char code[32], error[512], hint[512];
	json_t *object;		/* the final line, when it has come */
	char line[65536];
	size_t have;
};

struct member {
	struct agent *agent;
	struct ctl *ctl;
	struct env_kernel *kernel;
	char conf_dir[128], dir[128];
	struct agent_options options;
};

struct cluster {
	char dir[64];
	struct loop *loop;
	struct env *env;
	struct member members[MAX_AGENTS];
	unsigned int nr;
	unsigned int port;
};

/* @nr machines: created, configured, their agents running. */
void cluster_init(struct cluster *c, unsigned int nr);
void cluster_exit(struct cluster *c);
/* Its configuration anew, with this key and @extra line of the resource. */
void cluster_write_conf(struct cluster *c, unsigned int i, const char *key, const char *extra);
/* Its disk anew, in this state. */
void cluster_create_disk(struct cluster *c, unsigned int i, enum reprise_store_state state);
void cluster_agent_begin(struct cluster *c, unsigned int i);
/* As its service manager does it; the stand-in kernel goes on. */
void cluster_agent_end(struct cluster *c, unsigned int i);

/* A command to agent @i: begun; ended; both.  The answer's object is the caller's, but for _run(). */
void cluster_start(struct cluster *c, struct answer *answer, unsigned int i, const char *cmd,
		   bool force);
void cluster_finish(struct cluster *c, struct answer *answer);
struct answer cluster_run(struct cluster *c, unsigned int i, const char *cmd, bool force);
/* What the status of @i says of @key, of itself (@peer NULL) or of @peer, as text. */
void cluster_status(struct cluster *c, unsigned int i, const char *peer, const char *key,
		    char *text, size_t bytes);
/* ... until that contains @want.  false: it does not in time. */
bool cluster_wait(struct cluster *c, unsigned int i, const char *peer, const char *key,
		  const char *want);
/* Until every attached peer of @i holds everything. */
bool cluster_wait_synced(struct cluster *c, unsigned int i);
/* Take all up, until all say that they are in sync. */
bool cluster_all_up(struct cluster *c);
bool cluster_same_content(struct cluster *c, unsigned int a, unsigned int b);

#endif /* TESTS_CLUSTER_H */
