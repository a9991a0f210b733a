// SPDX-License-Identifier: GPL-2.0
/*
 * reprised: options, the process, the event loop, signals, the service
 * manager, and the kernel's events.  What the agent decides is node.c's.
 *
 * Starts in this order, ends in the reverse: process, loop, control socket,
 * agent.  What the kernel runs as primary goes on when the agent ends.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent.h"
#include "ctl.h"
#include "log_line.h"
#include "loop.h"
#include "nl.h"
#include "process.h"
#include "version.h"

#define NS_PER_S 1000000000ull

enum { STATUS_INTERVAL_S = 5 };

static struct {
	struct agent_options options;
	char host_name[REPRISE_NAME_MAX + 1];
	bool debug;

	struct loop *loop;
	struct ctl *ctl;
	struct agent *agent;
	bool stopping;

	struct loop_watch signals;
	struct nl *events;
	struct loop_watch events_watch;

	struct env_timer status;
	char status_text[256];
	struct env_timer watchdog;
	uint64_t watchdog_us;
} self;

static void __attribute__((format(printf, 2, 3))) say(int level, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_line(level, NULL, NULL, text);
}

static void warn(const char *text)
{
	say(4, "%s", text);
}

/* The kernel's events. */

static void close_events(void)
{
	if (!self.events)
		return;
	loop_watch_del(self.loop, &self.events_watch);
	nl_close(self.events);
	self.events = NULL;
}

static void events_ready(struct loop_watch *watch)
{
	struct nl *events = self.events;
	struct nl_event event;

	(void)watch;
	/* The agent may have the socket opened anew while it acts on an event. */
	while (self.events == events && self.agent) {
		int ret = nl_events_read(events, &event);

		if (ret == 0)
			return;
		if (ret == 1) {
			agent_kernel_event(self.agent, &event);
		} else if (ret == -ENOBUFS) {
			agent_kernel_changed(self.agent);
		} else {
			say(4, "events of the kernel module cannot be read: %s", strerror(-ret));
			close_events();
			return;
		}
	}
}

static void kernel_opened(void *ctx)
{
	struct nl *events;
	int err = nl_events_open(&events);

	(void)ctx;
	if (err) {
		say(4, "no events from the kernel module: %s", strerror(-err));
		return;
	}
	if (self.events && nl_family_id(self.events) == nl_family_id(events)) {
		nl_close(events);
		return;
	}
	close_events();
	self.events = events;
	self.events_watch = (struct loop_watch){ .ready = events_ready,
						 .fd = nl_events_fd(events) };
	loop_watch_add(self.loop, &self.events_watch);
}

/* The service manager. */

static uint64_t in_seconds(uint64_t seconds)
{
	return env_monotonic_ns(loop_env(self.loop)) + seconds * NS_PER_S;
}

static void status_fired(struct env_timer *timer)
{
	char text[sizeof(self.status_text)];

	env_timer_set(loop_env(self.loop), timer, in_seconds(STATUS_INTERVAL_S));
	agent_summary(self.agent, text, sizeof(text));
	if (!strcmp(text, self.status_text))
		return;
	strcpy(self.status_text, text);
	sd_notifyf(0, "STATUS=%s", text);
}

static void watchdog_fired(struct env_timer *timer)
{
	sd_notify(0, "WATCHDOG=1");
	env_timer_set(loop_env(self.loop), timer,
		      in_seconds(0) + self.watchdog_us * 1000 / 2);
}

static void begin_notifying(void)
{
	sd_notify(0, "READY=1");
	self.status.fire = status_fired;
	status_fired(&self.status);
	self.watchdog.fire = watchdog_fired;
	if (sd_watchdog_enabled(0, &self.watchdog_us) > 0)
		watchdog_fired(&self.watchdog);
}

/* Ending. */

static void ctl_gone(void *ctx)
{
	(void)ctx;
	loop_stop(self.loop);
}

static void agent_gone(void *ctx)
{
	(void)ctx;
	self.agent = NULL;
	close_events();
	ctl_destroy(self.ctl, ctl_gone, NULL);
}

static void stop(const char *signal_name)
{
	if (self.stopping) {
		say(4, "%s again: ends at once", signal_name);
		_exit(EXIT_FAILURE);
	}
	say(5, "%s: sessions and connections end; what this node runs as primary goes on",
	    signal_name);
	self.stopping = true;
	sd_notify(0, "STOPPING=1");
	env_timer_clear(loop_env(self.loop), &self.status);
	agent_stop(self.agent, agent_gone, NULL);
}

static void reload(void)
{
	if (self.stopping)
		return;
	say(5, "SIGHUP: reads the configurations again");
	agent_reload(self.agent);
}

static void signals_ready(struct loop_watch *watch)
{
	struct signalfd_siginfo info;

	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		reload();
	else
		stop(info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
}

static int watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	self.signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	self.signals.ready = signals_ready;
	if (self.signals.fd < 0)
		return -errno;
	loop_watch_add(self.loop, &self.signals);
	return 0;
}

/* Beginning. */

static int begin(void)
{
	struct env *env;
	char error[512];
	int err;

	process_prepare(warn);
	err = loop_create(&self.loop, error, sizeof(error));
	if (err) {
		say(3, "%s", error);
		return err;
	}
	env = loop_env(self.loop);
	err = watch_signals();
	if (err) {
		say(3, "signals cannot be watched: %s", strerror(-err));
		return err;
	}
	err = ctl_create(env, self.options.run_dir, &self.ctl, error, sizeof(error));
	if (err) {
		say(3, "%s", error);
		return err;
	}
	err = agent_start(env, &self.options, self.ctl, &self.agent, error, sizeof(error));
	if (err) {
		say(3, "%s", error);
		/* the socket must not stay, as if somebody served it */
		ctl_destroy(self.ctl, ctl_gone, NULL);
		loop_run(self.loop);
	}
	return err;
}

static void usage(FILE *to)
{
	fprintf(to,
		"Usage: reprised [OPTION]...\n"
		"The agent of Reprise: connects nodes, keeps replicas, serves the command reprise.\n"
		"\n"
		"  --config-dir DIR  configurations, one RESOURCE.conf each (/etc/reprise)\n"
		"  --run-dir DIR     control socket; one agent per directory (/run/reprise)\n"
		"  --node NAME       this node's name in the configurations (host name)\n"
		"  --debug           log more\n"
		"  --version         print the version\n"
		"  --help            print this\n");
}

static void set_host_name(void)
{
	char name[256] = "";

	gethostname(name, sizeof(name) - 1);
	name[strcspn(name, ".")] = '\0';
	snprintf(self.host_name, sizeof(self.host_name), "%.*s", REPRISE_NAME_MAX, name);
	self.options.node_name = self.host_name;
}

static void __attribute__((noreturn)) misused(const char *what, const char *argument)
{
	if (what)
		fprintf(stderr, "reprised: %s \"%s\"\n", what, argument);
	usage(stderr);
	exit(2);
}

static void set_node(const char *name)
{
	if (!*name || strlen(name) > REPRISE_NAME_MAX)
		misused("not a node's name:", name);
	self.options.node_name = name;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config-dir", required_argument, NULL, 'c' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "node", required_argument, NULL, 'n' },
		{ "debug", no_argument, NULL, 'd' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			self.options.config_dir = optarg;
			break;
		case 'r':
			self.options.run_dir = optarg;
			break;
		case 'n':
			set_node(optarg);
			break;
		case 'd':
			self.debug = true;
			break;
		case 'V':
			printf("reprised %s\n", REPRISE_VERSION);
			exit(EXIT_SUCCESS);
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			misused(NULL, NULL);
		}
	}
	if (optind < argc)
		misused("unexpected argument", argv[optind]);
}

int main(int argc, char **argv)
{
	self.options = (struct agent_options){
		.config_dir = "/etc/reprise",
		.run_dir = "/run/reprise",
		.kernel_opened = kernel_opened,
	};
	set_host_name();
	parse(argc, argv);
	log_line_init(self.debug);
	say(5, "reprised %s, node %s, begins", REPRISE_VERSION, self.options.node_name);
	if (begin())
		return EXIT_FAILURE;
	begin_notifying();
	loop_run(self.loop);
	loop_destroy(self.loop);
	say(5, "ended");
	return EXIT_SUCCESS;
}
