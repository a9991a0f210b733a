// SPDX-License-Identifier: GPL-2.0
/*
 * A fuzz target without libFuzzer: takes the kept inputs that are named, once
 * each.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/input.h"

/* Nothing is mutated here, but the targets' mutators refer to it. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t max_bytes)
{
	(void)data;
	(void)max_bytes;
	return bytes;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static void take(const char *path)
{
	static uint8_t data[1 << 16];
	FILE *f = fopen(path, "r");
	size_t bytes;

	if (!f) {
		perror(path);
		exit(1);
	}
	bytes = fread(data, 1, sizeof(data), f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, bytes);
}

int main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		take(argv[i]);
	return 0;
}
