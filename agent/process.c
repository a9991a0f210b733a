// SPDX-License-Identifier: GPL-2.0
/*
 * The process's own safety under memory pressure.  Nothing here is needed to
 * work, only to survive: each failure is a warning that names the privilege.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

static void complain(void (*warn)(const char *text), const char *what, const char *needs)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: %s (needs %s); goes on, but may hang when memory runs out",
		 what, strerror(errno), needs);
	warn(text);
}

static int set_oom_score(void)
{
	static const char score[] = "-1000";
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -1;
	ret = write(fd, score, sizeof(score) - 1) < 0 ? -1 : 0;
	close(fd);
	return ret;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void process_prepare(void (*warn)(const char *text))
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	raise_descriptor_limit();
	/* May fail without privilege: then the limit that there is holds. */
	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		complain(warn, "memory cannot be locked", "CAP_IPC_LOCK");
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		complain(warn, "cannot become an I/O flusher", "CAP_SYS_RESOURCE");
	if (set_oom_score() < 0)
		complain(warn, "cannot be spared by the OOM killer", "CAP_SYS_RESOURCE");
}
