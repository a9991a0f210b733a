// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's process 1, after init has set the machine up.
 *
 * It does three things: it reaps orphans, it runs commands that the host asks
 * for (one TCP connection on the management link is one command), and it turns
 * the machine off in order. It is static and locked in memory, so that a guest
 * short of memory or with a broken root can still be asked what is wrong.
 *
 * A connection carries one request, then frames in both directions:
 *
 *	request  "RVM1", u32 flags, u32 nenv, u32 argc, u32 length, then
 *		 `length` bytes: 1 + nenv + argc strings, each ended by a NUL
 *		 (working directory, NAME=VALUE ..., the command's words)
 *	frame	 u32 type, u32 length, then `length` bytes
 *
 * All integers are little-endian. No words at all is a ping, which is answered
 * as a command that succeeded. When the host closes the connection, the
 * command's process group is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	AGENT_PORT = 7777,
	REQUEST_MAX = 1 << 20,
	WORDS_MAX = 4096,
	CHUNK = 32768,
	TERM_GRACE_MS = 3000,
};

enum request_flag {
	FLAG_STDIN = 1, /* the host sends FRAME_STDIN */
	FLAG_POWEROFF = 2, /* no command: turn the machine off */
};

enum frame_type {
	FRAME_STDIN = 'i', /* host: bytes, none is end of file */
	FRAME_SIGNAL = 's', /* host: u32 signal for the process group */
	FRAME_STDOUT = 'o',
	FRAME_STDERR = 'e',
	FRAME_EXIT = 'x', /* u32: exit status, or 128 + signal */
};

struct request {
	char magic[4];
	uint32_t flags;
	uint32_t nenv;
	uint32_t argc;
	uint32_t length;
};

struct frame {
	uint32_t type;
	uint32_t length;
};

/* One running command, in the process that serves its connection. */
struct command {
	int sock;
	int in; /* write end, -1 once closed */
	int out;
	int err;
	int pidfd;
	pid_t pid;
	char *pending; /* standard input that the pipe has not taken */
	size_t pending_len;
	size_t pending_done;
};

static bool read_all(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

static bool write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

static bool send_frame(int sock, uint32_t type, const void *data, uint32_t len)
{
	char buf[sizeof(struct frame) + CHUNK];
	struct frame f = { .type = type, .length = len };

	memcpy(buf, &f, sizeof(f));
	memcpy(buf + sizeof(f), data, len);
	return write_all(sock, buf, sizeof(f) + len);
}

static void kill_command(struct command *cmd)
{
	kill(-cmd->pid, SIGKILL);
	_exit(0);
}

static void send_or_die(struct command *cmd, uint32_t type, const void *data,
			uint32_t len)
{
	if (!send_frame(cmd->sock, type, data, len))
		kill_command(cmd);
}

/* Passes on what the pipe holds; false at its end. */
static bool forward(struct command *cmd, int *fd, uint32_t type)
{
	char buf[CHUNK];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return errno == EINTR;
	if (n <= 0) {
		close(*fd);
		*fd = -1;
		return false;
	}
	send_or_die(cmd, type, buf, n);
	return true;
}

static void push_stdin(struct command *cmd)
{
	ssize_t n = write(cmd->in, cmd->pending + cmd->pending_done,
			  cmd->pending_len - cmd->pending_done);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0)
		cmd->pending_done += n;
	if (n >= 0 && cmd->pending_done < cmd->pending_len)
		return;
	free(cmd->pending);
	cmd->pending = NULL;
	if (n < 0) {
		close(cmd->in);
		cmd->in = -1;
	}
}

static void take_stdin(struct command *cmd, char *data, uint32_t len)
{
	if (cmd->in < 0 || !len) {
		free(data);
		if (cmd->in >= 0)
			close(cmd->in);
		cmd->in = -1;
		return;
	}
	cmd->pending = data;
	cmd->pending_len = len;
	cmd->pending_done = 0;
}

static void take_frame(struct command *cmd)
{
	struct frame f;
	uint32_t sig;
	char *data;

	if (!read_all(cmd->sock, &f, sizeof(f)) || f.length > REQUEST_MAX)
		kill_command(cmd);
	data = malloc(f.length + 1);
	if (!data || !read_all(cmd->sock, data, f.length))
		kill_command(cmd);
	if (f.type == FRAME_STDIN) {
		take_stdin(cmd, data, f.length);
		return;
	}
	if (f.type == FRAME_SIGNAL && f.length == sizeof(sig)) {
		memcpy(&sig, data, sizeof(sig));
		kill(-cmd->pid, sig);
	}
	free(data);
}

/*
 * The command has ended: what is in the pipes still belongs to it, what its
 * children in the background will write does not.
 */
static void finish(struct command *cmd)
{
	int status = 0;
	uint32_t code;

	waitpid(cmd->pid, &status, 0);
	if (cmd->out >= 0) {
		fcntl(cmd->out, F_SETFL, O_NONBLOCK);
		while (forward(cmd, &cmd->out, FRAME_STDOUT))
			;
	}
	if (cmd->err >= 0) {
		fcntl(cmd->err, F_SETFL, O_NONBLOCK);
		while (forward(cmd, &cmd->err, FRAME_STDERR))
			;
	}
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	send_frame(cmd->sock, FRAME_EXIT, &code, sizeof(code));
	shutdown(cmd->sock, SHUT_WR);
	_exit(0);
}

static void serve_command(struct command *cmd)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = cmd->pending ? -1 : cmd->sock,
			  .events = POLLIN },
			{ .fd = cmd->pending ? cmd->in : -1,
			  .events = POLLOUT },
			{ .fd = cmd->out, .events = POLLIN },
			{ .fd = cmd->err, .events = POLLIN },
			{ .fd = cmd->pidfd, .events = POLLIN },
		};

		if (poll(p, 5, -1) < 0)
			continue;
		if (p[0].revents)
			take_frame(cmd);
		if (p[1].revents)
			push_stdin(cmd);
		if (p[2].revents)
			forward(cmd, &cmd->out, FRAME_STDOUT);
		if (p[3].revents)
			forward(cmd, &cmd->err, FRAME_STDERR);
		if (p[4].revents)
			finish(cmd);
	}
}

static void child_exec(char *cwd, char **env, char **argv, int in, int out,
		       int err)
{
	sigset_t none;

	setsid();
	write_file("/proc/self/oom_score_adj", "0");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(126);
	for (; *env; env++)
		putenv(*env);
	if (chdir(cwd) && chdir("/"))
		_exit(126);
	execvp(argv[0], argv);
	dprintf(2, "vm: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void run_command(int sock, uint32_t flags, char *cwd, char **env,
			char **argv)
{
	struct command cmd = { .sock = sock, .in = -1 };
	int in[2] = { -1, -1 };
	int out[2];
	int err[2];

	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		_exit(1);
	if (flags & FLAG_STDIN) {
		if (pipe2(in, O_CLOEXEC))
			_exit(1);
		fcntl(in[1], F_SETFL, O_NONBLOCK);
		cmd.in = in[1];
	} else {
		in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	cmd.out = out[0];
	cmd.err = err[0];
	cmd.pid = fork();
	if (cmd.pid < 0)
		_exit(1);
	if (!cmd.pid)
		child_exec(cwd, env, argv, in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	cmd.pidfd = syscall(SYS_pidfd_open, cmd.pid, 0);
	if (cmd.pidfd < 0)
		kill_command(&cmd);
	serve_command(&cmd);
}

/* True while there is a process besides init and this one. */
static bool others_exist(void)
{
	return kill(-1, 0) == 0;
}

static void unmount_disks(void)
{
	struct mntent *m;
	FILE *f = setmntent("/proc/mounts", "r");

	if (!f)
		return;
	while ((m = getmntent(f)))
		if (!strncmp(m->mnt_fsname, "/dev/", 5))
			umount2(m->mnt_dir, 0);
	endmntent(f);
}

static void power_off(void)
{
	int waited_ms = 0;

	kill(-1, SIGTERM);
	for (; waited_ms < TERM_GRACE_MS && others_exist(); waited_ms += 50)
		usleep(50 * 1000);
	kill(-1, SIGKILL);
	usleep(50 * 1000);
	/* A mount below another one needs a second round. */
	unmount_disks();
	unmount_disks();
	sync();
	reboot(RB_POWER_OFF);
}

/* Cuts `text` into `count` strings; false if it does not hold that many. */
static bool split(char *text, uint32_t len, char **words, uint32_t count)
{
	char *end = text + len;
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (text >= end)
			return false;
		words[i] = text;
		text += strlen(text) + 1;
	}
	return text == end;
}

static void serve(int sock)
{
	static char *words[WORDS_MAX], *env[WORDS_MAX], *argv[WORDS_MAX];
	struct request rq;
	uint32_t ok = 0;
	char *text;

	write_file("/proc/self/oom_score_adj", "-1000");
	if (!read_all(sock, &rq, sizeof(rq)) || memcmp(rq.magic, "RVM1", 4) ||
	    rq.length > REQUEST_MAX || rq.nenv > WORDS_MAX / 2 ||
	    rq.argc >= WORDS_MAX / 2)
		_exit(1);
	text = calloc(1, rq.length + 1);
	if (!text || !read_all(sock, text, rq.length) ||
	    !split(text, rq.length, words, 1 + rq.nenv + rq.argc))
		_exit(1);
	if (rq.flags & FLAG_POWEROFF) {
		send_frame(sock, FRAME_EXIT, &ok, sizeof(ok));
		power_off();
		_exit(1);
	}
	if (!rq.argc) {
		send_frame(sock, FRAME_EXIT, &ok, sizeof(ok));
		_exit(0);
	}
	memcpy(env, words + 1, rq.nenv * sizeof(*env));
	memcpy(argv, words + 1 + rq.nenv, rq.argc * sizeof(*argv));
	run_command(sock, rq.flags, words[0], env, argv);
}

static void reap(int sig)
{
	int saved = errno;

	(void)sig;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = saved;
}

static int listen_on(const char *device)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(AGENT_PORT),
		.sin_addr.s_addr = htonl(INADDR_ANY),
	};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device,
		       strlen(device) + 1) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(fd, 64)) {
		perror("vm: agent: cannot listen");
		return -1;
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = reap, .sa_flags = SA_RESTART };
	int fd = listen_on(argc > 1 ? argv[1] : "mgmt0");

	if (fd < 0)
		return 1;
	mlockall(MCL_CURRENT | MCL_FUTURE);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGCHLD, &sa, NULL);
	for (;;) {
		int sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		pid_t pid;

		if (sock < 0)
			continue;
		pid = fork();
		if (!pid) {
			signal(SIGCHLD, SIG_DFL);
			close(fd);
			serve(sock);
			_exit(1);
		}
		close(sock);
	}
}
