// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty map against a plain array of bits; without memory everything is
 * dirty.
 */
#include "kpure.h"
#include "dirty.h"

enum { BLOCKS = 40000, VOLUMES = 3 };

static bool model[VOLUMES][BLOCKS];

static void against_model(uint64_t seed)
{
	struct reprise_dirty dirty;
	uint64_t count = 0;

	kpure_start(seed);
	reprise_dirty_init(&dirty);
	for (int v = 0; v < VOLUMES; v++)
		for (int b = 0; b < BLOCKS; b++)
			model[v][b] = false;
	for (int i = 0; i < 300; i++) {
		unsigned int v = kpure_below(VOLUMES);
		unsigned int sector = kpure_below((BLOCKS - 300) * 8);
		unsigned int sectors = 1 + kpure_below(kpure_below(10) ? 64 : 2048);

		reprise_dirty_mark(&dirty, v, sector, sectors);
		for (unsigned int b = sector / 8; b <= (sector + sectors - 1) / 8; b++) {
			count += !model[v][b];
			model[v][b] = true;
		}
	}
	must(dirty.blocks == count);
	for (int v = 0; v < VOLUMES; v++)
		for (int b = 0; b < BLOCKS; b++)
			must(reprise_dirty_test(&dirty, v, b * 8ULL + 7) == model[v][b]);
	reprise_dirty_clear(&dirty);
	must(!reprise_dirty_any(&dirty));
}

static void without_memory(void)
{
	struct reprise_dirty dirty;

	reprise_dirty_init(&dirty);
	must(!reprise_dirty_any(&dirty) && !reprise_dirty_test(&dirty, 1, 100));
	reprise_dirty_mark(&dirty, 1, 0, 1);
	must(reprise_dirty_any(&dirty) && !reprise_dirty_test(&dirty, 1, 100));
	kpure_no_memory = true;
	reprise_dirty_mark(&dirty, 1, 100, 1);
	kpure_no_memory = false;
	must(!dirty.all);
	kpure_no_memory = true;
	reprise_dirty_mark(&dirty, 0, 100, 1);
	kpure_no_memory = false;
	must(dirty.all && reprise_dirty_any(&dirty) && reprise_dirty_test(&dirty, 0, 0));
	reprise_dirty_mark(&dirty, 0, 100, 1);
	must(dirty.all);
	reprise_dirty_clear(&dirty);
	must(!reprise_dirty_any(&dirty));
}

int main(void)
{
	printf("TAP version 13\n1..2\n");
	for (uint64_t seed = 1; seed <= 50; seed++)
		against_model(seed);
	printf("ok 1 equals an array of bits, 50 seeds\n");
	without_memory();
	printf("ok 2 without memory everything is dirty\n");
	return 0;
}
