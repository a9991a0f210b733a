/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mutation of a text as JSON: one value somewhere in it becomes another one,
 * so that what is mutated still parses.
 */
#ifndef TESTS_FUZZ_JSON_H
#define TESTS_FUZZ_JSON_H

#include "input.h"

/*
 * Change @text of @bytes, at most @max long.  Return the new length, 0 if it
 * is no JSON or became too long; @text is then as it was.
 */
size_t fuzz_mutate_json(uint8_t *text, size_t bytes, size_t max, struct fuzz_random *random);

#endif /* TESTS_FUZZ_JSON_H */
