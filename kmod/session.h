/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REPRISE_SESSION_H
#define _REPRISE_SESSION_H

#include "resource.h"

int reprise_session_init(void);
void reprise_session_exit(void);

int reprise_session_attach(struct reprise_resource *res, u16 node, int socket_fd, u64 session,
			   const u8 *timeline_id, u64 position, u64 *s0, const char **why);
void reprise_session_detach(struct reprise_resource *res, u16 node, const char *reason,
			    bool orderly);
void reprise_session_detach_all(struct reprise_resource *res, const char *reason, bool orderly);
void reprise_session_wake_all(struct reprise_resource *res);

#endif /* _REPRISE_SESSION_H */
