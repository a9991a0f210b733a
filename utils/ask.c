// SPDX-License-Identifier: GPL-2.0
/*
 * Asking the agent.
 */
#include <errno.h>
#include <string.h>

#include "ask.h"
#include "ctl_client.h"
#include "say.h"

json_t *ask_request(const char *cmd, const char *resource)
{
	json_t *request = json_pack("{s:s}", "cmd", cmd);

	if (resource)
		json_object_set_new(request, "resource", json_string(resource));
	return request;
}

static void show_progress(const char *text, int percent)
{
	say_progress(percent, "%s", text);
}

int ask_agent(const struct options *options, json_t *request, int wait_ms, json_t **answer)
{
	struct ctl_client *client;
	int err = ctl_client_open(options->run_dir, &client);

	if (err) {
		json_decref(request);
		return err;
	}
	err = ctl_client_call(client, request, wait_ms, show_progress, answer);
	ctl_client_close(client);
	say_progress_end();
	return err;
}

bool ask_says_dead(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED;
}

const char *ask_words(int err)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "the agent is not running";
	case -ETIMEDOUT:
		return "the agent does not answer";
	case -ECONNRESET:
	case -EPIPE:
		return "the agent broke off the connection";
	case -EPROTO:
		return "the agent's answer cannot be understood";
	case -EACCES:
	case -EPERM:
		return "the agent may only be asked by root";
	default:
		return "the agent cannot be asked";
	}
}

int ask_say_unreachable(const struct options *options, const char *resource, int err)
{
	const char *hint = ask_says_dead(err) ? "start it: systemctl start reprised" :
						"its log says more: journalctl -u reprised";

	return say_error("no-agent", hint, "%s%s%s (%s/control.sock: %s)", resource ? resource : "",
			 resource ? ": " : "", ask_words(err), options->run_dir, strerror(-err));
}

bool ask_is_ok(const json_t *answer)
{
	return json_is_true(json_object_get(answer, "ok"));
}
