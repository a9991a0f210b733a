/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A whole agent in memory for a fuzz target: env_mem.h's disks, connections
 * and clock, and on top of it what only whole agents need: listening, dialing
 * (refused always), and opening files by their path.
 */
#ifndef TESTS_FUZZ_AGENT_ENV_H
#define TESTS_FUZZ_AGENT_ENV_H

#include "agent/conf.h"
#include "env_mem.h"

enum {
	AGENT_ENV_VOLUME_SECTORS = 2048,
	AGENT_ENV_DEVICE_BYTES = AGENT_ENV_VOLUME_SECTORS * 512 + (1 << 20),
	AGENT_ENV_SEGMENTS = 4,
	AGENT_ENV_SEGMENT_BYTES = 64 << 10,
};

/* One node of the resource "pg", its copy created and empty. */
struct env *agent_env_create(void);
void agent_env_destroy(struct env *env);
struct env_mem *agent_env_mem(struct env *env);

/* In the place of conf_load(): there is "pg", nothing else. */
int agent_env_load(const char *path, struct conf *conf, char *error, size_t bytes);

/* Connect to the agent's control socket; NULL: it does not listen. */
struct env_conn *agent_env_connect(struct env *env);
bool agent_env_closed(struct env *env, const struct env_conn *conn);

#endif /* TESTS_FUZZ_AGENT_ENV_H */
