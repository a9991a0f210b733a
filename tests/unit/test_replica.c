// SPDX-License-Identifier: GPL-2.0
/*
 * The replica under a random primary, crashes, power cuts and bad input.
 * Every run follows from its seed: test_replica --seed N [--group NAME].
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/frame.h"
#include "agent/log.h"
#include "kselftest.h"
#include "replica_model.h"

/* Send some, let some happen. */
static void traffic(struct model *model, unsigned int rounds)
{
	while (rounds--) {
		unsigned int frames = env_mem_below(model->mem, 6);

		while (frames-- && env_mem_conn_unread(model->conn) < 200000)
			if (!model_send(model))
				break;
		model_run(model, env_mem_below(model->mem, 30));
	}
}

/* End the session in one of the ways there are. */
static void end_session(struct model *model)
{
	if (!model->ended) {
		if (env_mem_one_in(model->mem, 2))
			env_mem_conn_shut(model->conn);
		else
			CHECK(replica_session_stop(model->replica, "test"));
	}
	while (!model->ended)
		CHECK(env_mem_step(model->mem));
	/* What came on the way out still counts, what comes now would not. */
	model_read_acks(model);
	model_run(model, 10);
	model->conn = NULL;
	CHECK(!replica_state(model->replica)->in_session);
	CHECK(replica_state(model->replica)->received == replica_state(model->replica)->durable);
}

static void one_round(struct model *model)
{
	unsigned int sessions = 1 + env_mem_below(model->mem, 3);

	model->lazy_commit = env_mem_one_in(model->mem, 5);
	while (sessions--) {
		CHECK(!model_connect(model));
		traffic(model, 1 + env_mem_below(model->mem, 40));
		if (sessions || env_mem_one_in(model->mem, 3))
			end_session(model);
	}
	switch (env_mem_below(model->mem, 6)) {
	case 0:
		model_close(model);
		break;
	case 1:
		if (model->conn)
			end_session(model);
		model_check_prefix(model);
		model_crash(model, true);
		break;
	case 2:
	case 3:
		model_crash(model, false);
		break;
	default:
		model_crash(model, true);
	}
	/* An open that is interrupted as well. */
	while (env_mem_one_in(model->mem, 3)) {
		int interrupted = 0;

		(void)interrupted;
		model_up(model);
		model_crash(model, env_mem_one_in(model->mem, 2));
	}
	model_up(model);
}

static void test_crashes(uint64_t seed)
{
	struct model *model = model_create(seed);
	unsigned int rounds = 2 + env_mem_below(model->mem, 6);

	while (rounds--)
		one_round(model);
	model_check_prefix(model);
	model_destroy(model);
}

struct group {
	const char *name;
	void (*run)(uint64_t seed);
	unsigned int seeds;
};

static const struct group groups[] = {
	{ "crashes", test_crashes, 300 },
};

int main(int argc, char **argv)
{
	unsigned int nr = sizeof(groups) / sizeof(groups[0]), i;
	const char *only = NULL;
	uint64_t seed = 0, one = 0;
	int arg;

	for (arg = 1; arg + 1 < argc; arg += 2) {
		if (!strcmp(argv[arg], "--seed"))
			one = strtoull(argv[arg + 1], NULL, 0);
		else if (!strcmp(argv[arg], "--group"))
			only = argv[arg + 1];
	}
	ksft_print_header();
	ksft_set_plan(nr);
	for (i = 0; i < nr; i++) {
		if (only && strcmp(only, groups[i].name)) {
			ksft_test_result_skip("%s\n", groups[i].name);
			continue;
		}
		for (seed = 1; seed <= groups[i].seeds; seed++)
			if (!one || seed == one || one > groups[i].seeds)
				groups[i].run(one ? one : seed);
		ksft_test_result_pass("%s: %u seeds\n", groups[i].name, one ? 1 : groups[i].seeds);
	}
	ksft_finished();
}
