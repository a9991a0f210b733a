// SPDX-License-Identifier: GPL-2.0
/*
 * A guess, from mountinfo and sysfs, at who made O_EXCL fail.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "holder.h"

static bool mounted_on(dev_t dev, char *place, size_t bytes)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	unsigned int dev_major, dev_minor;
	bool found = false;
	char line[4096], root[1024];

	while (file && !found && fgets(line, sizeof(line), file)) {
		char where[1024];

		if (sscanf(line, "%*d %*d %u:%u %1023s %1023s", &dev_major, &dev_minor, root,
			   where) == 4 &&
		    makedev(dev_major, dev_minor) == dev) {
			snprintf(place, bytes, "%s", where);
			found = true;
		}
	}
	if (file)
		fclose(file);
	return found;
}

static bool held_by(dev_t dev, char *name, size_t bytes)
{
	struct dirent *entry;
	bool found = false;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(dev), minor(dev));
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, bytes, "%s", entry->d_name);
		found = true;
	}
	if (dir)
		closedir(dir);
	return found;
}

const char *holder_describe(const char *path, char *buf, size_t bytes)
{
	char what[1024];
	struct stat st;

	if (stat(path, &st))
		snprintf(buf, bytes, "by another program");
	else if (S_ISBLK(st.st_mode) && mounted_on(st.st_rdev, what, sizeof(what)))
		snprintf(buf, bytes, "it is mounted on %s", what);
	else if (S_ISBLK(st.st_mode) && held_by(st.st_rdev, what, sizeof(what)))
		snprintf(buf, bytes, "device %s is made of it", what);
	else
		snprintf(buf, bytes,
			 "another program has it exclusively (the agent, if the resource is up)");
	return buf;
}
