// SPDX-License-Identifier: GPL-2.0
/*
 * Reprise, kernel side: block devices whose writes are also sent, in order,
 * to the logs of remote replicas.
 *
 * main.c		this table of contents
 * netlink.c		commands, state, events
 * resource.c		a resource: start, stop, freeze
 * volume.c		/dev/repriseN over a backing device
 * request.c		the life of one bio
 * stream.c		order, completion, watermarks (pure)
 * frame.c		frame headers and acknowledgements (pure)
 * dirty.c		what an absent peer lacks (pure)
 * session.c		a connected peer: sender and receiver
 * checksum.c		CRC-32C
 * trace.c		tracepoints
 */
#include <linux/module.h>
#include <net/genetlink.h>

#include "checksum.h"
#include "netlink.h"
#include "request.h"
#include "resource.h"
#include "session.h"
#include "volume.h"

static int __init reprise_init(void)
{
	int err;

	err = reprise_checksum_init();
	if (err)
		return err;
	err = reprise_request_init();
	if (err)
		goto err_checksum;
	err = reprise_session_init();
	if (err)
		goto err_request;
	err = reprise_volume_init();
	if (err)
		goto err_session;
	err = reprise_resource_init();
	if (err)
		goto err_volume;
	err = reprise_netlink_init();
	if (err)
		goto err_resource;
	return 0;

err_resource:
	reprise_resource_exit();
err_volume:
	reprise_volume_exit();
err_session:
	reprise_session_exit();
err_request:
	reprise_request_exit();
err_checksum:
	reprise_checksum_exit();
	return err;
}

static void __exit reprise_exit(void)
{
	reprise_netlink_exit();
	reprise_resource_exit();
	reprise_volume_exit();
	reprise_session_exit();
	reprise_request_exit();
	reprise_checksum_exit();
}

module_init(reprise_init);
module_exit(reprise_exit);

MODULE_AUTHOR("The Reprise authors");
MODULE_DESCRIPTION("Replicated block devices with history");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
MODULE_ALIAS_GENL_FAMILY("reprise");
MODULE_SOFTDEP("pre: crc32c-intel");
