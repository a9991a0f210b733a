/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REPRISE_NETLINK_H
#define _REPRISE_NETLINK_H

#include "resource.h"
#include "uapi/reprise_netlink.h"

int reprise_netlink_init(void);
void reprise_netlink_exit(void);

void reprise_netlink_event(struct reprise_resource *res, enum reprise_event event, u16 peer,
			   const char *reason, int volume);

#endif /* _REPRISE_NETLINK_H */
