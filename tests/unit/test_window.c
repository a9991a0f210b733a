// SPDX-License-Identifier: GPL-2.0
/* Coalescing against the obvious way: paint sector by sector, newest last. */
#include <stdlib.h>
#include <string.h>

#include "agent/window.h"
#include "kselftest_harness.h"

enum { SECTORS = 200, VOLUMES = 3, MAX_OPS = 64 };

static void random_window(struct window *window, uint16_t owner[VOLUMES][SECTORS])
{
	unsigned int nr = rand() % (MAX_OPS + 1), i, s;

	window_reset(window);
	memset(owner, 0, VOLUMES * sizeof(owner[0]));
	for (i = 0; i < nr; i++) {
		struct window_op op = { .volume = rand() % VOLUMES };

		op.sector = rand() % SECTORS;
		op.sectors = 1 + rand() % (rand() % 4 ? 10 : SECTORS);
		if (op.sectors > SECTORS - op.sector)
			op.sectors = SECTORS - op.sector;
		op.payload = (const uint8_t *)(uintptr_t)((i + 1) << 20);
		window_add(window, &op);
		for (s = op.sector; s < op.sector + op.sectors; s++)
			owner[op.volume][s] = i + 1;
	}
}

TEST(newest_wins_everywhere_once)
{
	uint16_t owner[VOLUMES][SECTORS];
	struct window window;
	unsigned int run, i, s;

	ASSERT_EQ(0, window_init(&window, MAX_OPS));
	for (run = 0; run < 20000; run++) {
		const struct window_piece *last = NULL;

		random_window(&window, owner);
		window_coalesce(&window);
		for (i = 0; i < window.nr_pieces; i++) {
			const struct window_piece *piece = &window.pieces[i];
			const struct window_op *op = window_owner(&window, piece);

			ASSERT_NE(0, piece->sectors);
			ASSERT_EQ(window_payload(&window, piece),
				  op->payload + (piece->sector - op->sector) * 512);
			for (s = piece->sector; s < piece->sector + piece->sectors; s++) {
				ASSERT_EQ(owner[op->volume][s], piece->op + 1);
				owner[op->volume][s] = 0;
			}
			/* Sorted by place. */
			if (last && window_owner(&window, last)->volume == op->volume) {
				ASSERT_LE(last->sector + last->sectors, piece->sector);
			} else if (last) {
				ASSERT_LT(window_owner(&window, last)->volume, op->volume);
			}
			last = piece;
		}
		for (i = 0; i < VOLUMES; i++)
			for (s = 0; s < SECTORS; s++)
				ASSERT_EQ(0, owner[i][s]);
	}
	window_exit(&window);
}

TEST(adjacent_means_touching_on_one_volume)
{
	struct window window;
	struct window_op ops[] = {
		{ .sector = 0, .sectors = 8 }, { .sector = 8, .sectors = 8 },
		{ .sector = 17, .sectors = 1 }, { .sector = 18, .sectors = 1, .volume = 1 },
	};
	unsigned int i;

	ASSERT_EQ(0, window_init(&window, 4));
	for (i = 0; i < 4; i++)
		window_add(&window, &ops[i]);
	EXPECT_TRUE(window_full(&window));
	window_coalesce(&window);
	ASSERT_EQ(4, window.nr_pieces);
	EXPECT_TRUE(window_adjacent(&window, &window.pieces[0], &window.pieces[1]));
	EXPECT_FALSE(window_adjacent(&window, &window.pieces[1], &window.pieces[2]));
	EXPECT_FALSE(window_adjacent(&window, &window.pieces[2], &window.pieces[3]));
	window_exit(&window);
}

TEST_HARNESS_MAIN
