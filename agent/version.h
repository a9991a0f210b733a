/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The version that agent and admin command report.
 */
#ifndef REPRISE_VERSION_H
#define REPRISE_VERSION_H

#ifndef REPRISE_VERSION
#define REPRISE_VERSION "0.1.0"
#endif

#endif /* REPRISE_VERSION_H */
