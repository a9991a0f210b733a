// SPDX-License-Identifier: GPL-2.0
/*
 * version: of this command, the agent and the kernel module.
 */
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "cmd.h"
#include "say.h"
#include "status.h"
#include "version.h"

static void module_version(char *buf, size_t bytes)
{
	FILE *file = fopen("/sys/module/reprise/version", "re");

	if (!file || !fgets(buf, bytes, file))
		snprintf(buf, bytes, "not loaded");
	buf[strcspn(buf, "\n")] = 0;
	if (file)
		fclose(file);
}

int cmd_version(const struct options *options, const struct command *command)
{
	json_t *answer = NULL;
	char module[64], agent[64];
	int err = ask_agent(options, ask_request(command->name, NULL), ASK_STATUS_WAIT_MS, &answer);

	snprintf(agent, sizeof(agent), "%s",
		 err ? ask_words(err) + strlen("the agent ") :
		       status_text(answer, "version", "unknown"));
	json_decref(answer);
	module_version(module, sizeof(module));
	return say_done(json_pack("{s:s, s:s, s:s}", "reprise", REPRISE_VERSION, "agent", agent,
				  "module", module),
			"reprise %s\nagent   %s\nmodule  %s", REPRISE_VERSION, agent, module);
}
