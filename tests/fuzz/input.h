/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzz targets share: a condition that must hold, memory that must
 * not be touched, the input as a source of small choices, and randomness for
 * mutators.  A target whose input is a program (a list of steps) reads it
 * with the fuzz_ functions: past its end everything is zero.
 */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max_bytes, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t max_bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define must(condition) \
	((condition) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #condition))
void fuzz_failed(const char *file, int line, const char *what) __attribute__((noreturn));

/* Fill with a pattern; is it still all there? */
void fuzz_poison(void *buf, size_t bytes);
bool fuzz_untouched(const void *buf, size_t bytes);

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

void fuzz_take(struct fuzz_input *in, void *to, size_t bytes);
uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in);
uint64_t fuzz_u64(struct fuzz_input *in);
/* 0..@below - 1, at most 65535 */
unsigned int fuzz_below(struct fuzz_input *in, unsigned int below);

struct fuzz_random {
	uint64_t state;
};

uint64_t fuzz_random(struct fuzz_random *random);
unsigned int fuzz_random_below(struct fuzz_random *random, unsigned int below);
/* Change @buf in place, of fixed size: as libFuzzer would, zero padded. */
void fuzz_mutate_block(uint8_t *buf, size_t bytes);

#endif /* TESTS_FUZZ_INPUT_H */
