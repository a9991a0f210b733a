// SPDX-License-Identifier: GPL-2.0
/*
 * The command line: one seed with its record, or many seeds over workers.
 *
 *	sim --seed N [--trace]		one run
 *	sim --seed N --shrink		which faults does its failure need?
 *	sim --seeds COUNT [--first N]	many; --seconds S: as many as fit
 *
 * A worker runs seed after seed in one process; what fails ends it, and its
 * parent starts another one behind that seed.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cluster.h"
#include "heap.h"
#include "tests/load.h"

enum {
	MAX_WORKERS = 64,
	REPEAT_EVERY = 20,		/* 5 % of the runs are run twice */
	RUN_LIMIT_S = 60,		/* of real time: hundreds of times what one takes */
	LEAST_EVENTS = 2000,		/* of a run: a round more, where there are fewer */
	PROGRESS_S = 10,
	MAX_FAILURES = 5,
	MAX_ROUNDS = 8,
};

static struct {
	struct run_options run;
	uint64_t seed, first, seeds, seconds;
	unsigned int jobs;
	bool one, trace, brief, shrink;
} args = { .jobs = 2 };

/* What workers and their parent share. */
static struct {
	uint64_t next, done, events, repeated, simulated_s;
	struct {
		pid_t pid;
		uint64_t seed;
	} workers[MAX_WORKERS];
} *shared;

static uint64_t current_seed;
static struct world *current_world;

/* --- one run ------------------------------------------------------------- */

static void print_options(void)
{
	printf("--scenario %s", scenario_names[args.run.scenario]);
	if (args.run.rounds)
		printf(" --rounds %u", args.run.rounds);
	for (unsigned int i = 0; i < FAULT_NR; i++)
		if (args.run.without & 1u << i)
			printf(" --without %s", fault_names[i]);
}

static void report(struct world *world, const char *verdict)
{
	if (!args.brief) {
		printf("#\n# the last events:\n");
		world_print_tail(world);
	}
	printf("# seed %llu of %s: %s\n", (unsigned long long)current_seed,
	       scenario_names[args.run.scenario], verdict);
	printf("# replay: tests/sim/run --seed %llu ", (unsigned long long)current_seed);
	print_options();
	printf("\n");
	fflush(stdout);
}

static void died(int number)
{
	char text[64];

	snprintf(text, sizeof(text), "the code under test dies of signal %d", number);
	signal(number, SIG_DFL);
	report(current_world, text);
	raise(number);
}

static void runs_on(int number)
{
	(void)number;
	report(current_world, "one run takes more than a minute: something goes round and round");
	_exit(1);
}

/* The digest of the run. */
static uint64_t run_seed(uint64_t seed, uint64_t *events, uint64_t *simulated_s)
{
	struct world *world = world_create(seed, args.trace);
	struct cluster *cluster = cluster_create(world, &args.run);
	unsigned int rounds = scenario_rounds(world, &args.run);
	uint64_t digest;

	current_seed = seed;
	current_world = world;
	alarm(RUN_LIMIT_S);
	while (rounds || (!args.run.rounds && world_events(world) < LEAST_EVENTS)) {
		cluster_round(cluster);
		rounds -= rounds > 0;
	}
	alarm(0);
	digest = world_digest(world);
	*events = world_events(world);
	*simulated_s = world_now(world) / SIM_S;
	cluster_destroy(cluster);
	world_destroy(world);
	return digest;
}

static void run_twice(uint64_t seed, uint64_t digest)
{
	uint64_t events, simulated_s;

	if (run_seed(seed, &events, &simulated_s) == digest)
		return;
	printf("# seed %llu of %s: two runs of it differ\n", (unsigned long long)seed,
	       scenario_names[args.run.scenario]);
	fflush(stdout);
	exit(1);
}

static int run_one(void)
{
	uint64_t events, simulated_s, digest = run_seed(args.seed, &events, &simulated_s);

	run_twice(args.seed, digest);
	printf("# seed %llu of %s: passed, %llu events in %llu simulated seconds, digest %016llx\n",
	       (unsigned long long)args.seed, scenario_names[args.run.scenario],
	       (unsigned long long)events, (unsigned long long)simulated_s,
	       (unsigned long long)digest);
	return 0;
}

/* --- shrinking ----------------------------------------------------------- */

/* Does the seed still fail with these options?  In a child, silently. */
static bool fails_with(const struct run_options *run)
{
	uint64_t events, simulated_s;
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		args.run = *run;
		args.brief = true;
		if (!freopen("/dev/null", "w", stdout))
			_exit(0);
		run_seed(args.seed, &events, &simulated_s);
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status;
}

/* Leave out whatever the failure does not need: rounds, then classes of faults. */
static int shrink(void)
{
	struct run_options best = args.run, tried;

	if (!fails_with(&best)) {
		printf("# seed %llu passes\n", (unsigned long long)args.seed);
		return 0;
	}
	for (unsigned int rounds = 1; rounds <= MAX_ROUNDS && !best.rounds; rounds++) {
		tried = best;
		tried.rounds = rounds;
		if (fails_with(&tried))
			best = tried;
	}
	for (unsigned int i = 0; i < FAULT_NR; i++) {
		tried = best;
		tried.without |= 1u << i;
		if (fails_with(&tried))
			best = tried;
	}
	args.run = best;
	return run_one();
}

/* --- many ---------------------------------------------------------------- */

static bool time_is_over(uint64_t began_ns)
{
	return args.seconds && load_now_ns() - began_ns > args.seconds * SIM_S;
}

static void work(unsigned int worker, uint64_t began_ns)
{
	uint64_t n, events, simulated_s, digest;

	while (!time_is_over(began_ns)) {
		n = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);
		if (!args.seconds && n >= args.seeds)
			break;
		shared->workers[worker].seed = args.first + n;
		digest = run_seed(args.first + n, &events, &simulated_s);
		if (n % REPEAT_EVERY == 0) {
			run_twice(args.first + n, digest);
			__atomic_fetch_add(&shared->repeated, 1, __ATOMIC_RELAXED);
		}
		__atomic_fetch_add(&shared->done, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&shared->events, events, __ATOMIC_RELAXED);
		__atomic_fetch_add(&shared->simulated_s, simulated_s, __ATOMIC_RELAXED);
	}
	exit(0);
}

static void start_worker(unsigned int worker, uint64_t began_ns)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("sim: fork");
		exit(2);
	}
	if (!pid)
		work(worker, began_ns);
	shared->workers[worker].pid = pid;
}

/* A worker has ended.  True: of a failure. */
static bool ended(pid_t pid, int status, unsigned int *worker)
{
	for (*worker = 0; shared->workers[*worker].pid != pid; ++*worker)
		;
	if (WIFSIGNALED(status))
		printf("# seed %llu of %s: the worker dies of signal %d\n",
		       (unsigned long long)shared->workers[*worker].seed,
		       scenario_names[args.run.scenario], WTERMSIG(status));
	return status;
}

static void progress(uint64_t began_ns, unsigned int failures)
{
	double seconds = (load_now_ns() - began_ns) / 1e9;

	printf("# %s: %llu seeds from %llu, %u failed, %.0f s, %.0f seeds/s\n",
	       scenario_names[args.run.scenario], (unsigned long long)shared->done,
	       (unsigned long long)args.first, failures, seconds, shared->done / seconds);
	fflush(stdout);
}

static void pause_ms(long ms)
{
	struct timespec ts = { 0, ms * 1000000 };

	nanosleep(&ts, NULL);
}

static int run_many(void)
{
	uint64_t began_ns = load_now_ns(), told_ns = began_ns;
	unsigned int failures = 0, workers = args.jobs, worker;
	int status;

	printf("# first seed %llu\n", (unsigned long long)args.first);
	for (unsigned int i = 0; i < args.jobs; i++)
		start_worker(i, began_ns);
	while (workers) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid > 0 && ended(pid, status, &worker) && ++failures < MAX_FAILURES)
			start_worker(worker, began_ns);
		else if (pid > 0)
			workers--;
		else
			pause_ms(20);
		if (load_now_ns() - told_ns > PROGRESS_S * SIM_S) {
			told_ns = load_now_ns();
			progress(began_ns, failures);
		}
	}
	printf("%llu seeds of %s from %llu: %u failed; %llu run twice, %llu events, %llu simulated seconds, %.1f s\n",
	       (unsigned long long)(shared->done + failures), scenario_names[args.run.scenario],
	       (unsigned long long)args.first, failures, (unsigned long long)shared->repeated,
	       (unsigned long long)shared->events, (unsigned long long)shared->simulated_s,
	       (load_now_ns() - began_ns) / 1e9);
	return failures ? 1 : 0;
}

/* --- the command line ---------------------------------------------------- */

static void __attribute__((noreturn)) usage(int code)
{
	fprintf(code ? stderr : stdout,
		"Usage: sim --seed N [OPTION]... | --seeds COUNT [OPTION]... | --seconds S [OPTION]...\n"
		"  --first N          begin with this seed (1)\n"
		"  --scenario NAME    default, crash, partition, disk, admin\n"
		"  --without FAULT    leave a class of faults out; may be repeated\n"
		"  --rounds N         as many rounds in every run\n"
		"  --jobs N           workers (2)\n"
		"  --shrink           with --seed: leave out what the failure does not need\n"
		"  --trace            print everything that happens\n"
		"  --brief            print no events of a failure\n");
	exit(code);
}

static unsigned int find_name(const char *const *names, unsigned int nr, const char *name)
{
	for (unsigned int i = 0; i < nr; i++)
		if (!strcmp(names[i], name))
			return i;
	fprintf(stderr, "sim: unknown name \"%s\"\n", name);
	usage(2);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (*end || end == text)
		usage(2);
	return value;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seeds", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 'S' },
		{ "first", required_argument, NULL, 'f' },
		{ "scenario", required_argument, NULL, 'c' },
		{ "without", required_argument, NULL, 'w' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "trace", no_argument, NULL, 't' },
		{ "shrink", no_argument, NULL, 'm' },
		{ "brief", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	args.first = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			args.seed = number(optarg);
			args.one = true;
			break;
		case 'n':
			args.seeds = number(optarg);
			break;
		case 'S':
			args.seconds = number(optarg);
			break;
		case 'f':
			args.first = number(optarg);
			break;
		case 'c':
			args.run.scenario = find_name(scenario_names, SCENARIO_NR, optarg);
			break;
		case 'w':
			args.run.without |= 1u << find_name(fault_names, FAULT_NR, optarg);
			break;
		case 'r':
			args.run.rounds = number(optarg);
			break;
		case 'j':
			args.jobs = number(optarg);
			break;
		case 't':
			args.trace = true;
			break;
		case 'm':
			args.shrink = true;
			break;
		case 'b':
			args.brief = true;
			break;
		default:
			usage(option == 'h' ? 0 : 2);
		}
	}
	if (optind < argc || (args.shrink && !args.one) || (!args.one && !args.seeds && !args.seconds) || !args.jobs ||
	    args.jobs > MAX_WORKERS)
		usage(2);
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	world_report = report;
	signal(SIGABRT, died);
	signal(SIGSEGV, died);
	signal(SIGALRM, runs_on);
	/* The agent's JSON is the agent's memory; the order of keys must not vary. */
	json_set_alloc_funcs(malloc, free);
	json_object_seed(1);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED) {
		perror("sim: mmap");
		return 2;
	}
	if (args.one)
		return args.shrink ? shrink() : run_one();
	return run_many();
}
