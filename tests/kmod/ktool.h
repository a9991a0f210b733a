/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of ktool share: ktool.c has the code. */
#ifndef REPRISE_KTOOL_H
#define REPRISE_KTOOL_H

#include "agent/nl.h"

/* A replica: applies frames to an image. */
struct replica {
	int fd;				/* serve() closes it */
	int image;
	uint64_t session;
	uint64_t seq;			/* the last it has */
	uint64_t commit;
	uint8_t timeline[REPRISE_ID_BYTES];
};

/* key=value of the command line */
const char *option(const char *key, const char *otherwise);
long number(const char *key, long otherwise);

void die(const char *what, int err) __attribute__((noreturn));
struct nl *connect_kernel(void);
void describe(struct nl_resource *res, const char *name, int node, int fd);
int open_backing(const char *device);
int tcp_pair(int fd[2]);
void serve(struct replica *r);

int cmd_fail(const char *operation, const char *name, const char *device);
int cmd_cycle(const char *name, const char *device);

#endif
