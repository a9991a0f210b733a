/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a process that must not wait for its own volumes needs, before any
 * thread or ring.
 */
#ifndef REPRISE_PROCESS_H
#define REPRISE_PROCESS_H

/*
 * Lock the memory, become an I/O flusher, be the last for the OOM killer.
 * @warn is called with one line for each that could not be had.
 */
void process_prepare(void (*warn)(const char *text));

#endif /* REPRISE_PROCESS_H */
