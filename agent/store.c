// SPDX-License-Identifier: GPL-2.0
/*
 * Opens what a resource needs on this node and checks that it is what the
 * configuration means.  Nothing is written here.
 */
#include "store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int __attribute__((format(printf, 4, 5)))
fail(struct store *store, int error, const char *code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(store->error, sizeof(store->error), fmt, args);
	va_end(args);
	store->code = code;
	return error;
}

void store_init(struct store *store, struct env *env, const struct conf *conf,
		const struct conf_node *self)
{
	memset(store, 0, sizeof(*store));
	store->env = env;
	store->conf = conf;
	store->self = self;
	store->code = "";
}

static const char *open_error_text(int error)
{
	switch (error) {
	case -EBUSY:
		return "it is in use (mounted, or held by another program or agent)";
	case -ELOOP:
		return "it lies on a Reprise device itself";
	case -ENOTBLK:
		return "it is neither a block device nor a regular file";
	default:
		return strerror(-error);
	}
}

int store_open_volumes(struct store *store)
{
	for (unsigned int i = 0; i < store->self->nr_volumes; i++) {
		const struct conf_node_volume *v = &store->self->volumes[i];
		struct replica_volume *volume = &store->volumes[i];
		int err = store->env->ops->file_open(store->env, v->device, &volume->file,
						     &volume->device_bytes);

		if (err)
			return fail(store, err, "io",
				    "resource %s: backing device %s of volume %u cannot be opened: %s",
				    store->conf->name, v->device, v->number, open_error_text(err));
		volume->number = v->number;
		store->nr_volumes = i + 1;
	}
	return 0;
}

static int log_error(struct store *store, int error, const char *path)
{
	return fail(store, error, "io", "resource %s: log %s cannot be opened: %s%s",
		    store->conf->name, path, open_error_text(error),
		    error == -ENOENT ? " (was it made with \"reprise create\"?)" : "");
}

static int open_log_files(struct store *store)
{
	char path[sizeof(store->self->log) + 24];

	for (unsigned int i = 0; i < store->nr_segments; i++) {
		struct replica_segment *segment = &store->segments[i];
		uint64_t bytes;
		int err;

		snprintf(path, sizeof(path), "%s/segment.%04u", store->self->log, i);
		err = store->env->ops->file_open(store->env, path, &segment->file, &bytes);
		if (err)
			return err == -ENOTDIR && i == 0 ? err : log_error(store, err, path);
		store->nr_segment_files = i + 1;
		if (bytes < store->conf->segment_bytes)
			return fail(store, -EINVAL, "invalid",
				    "resource %s: log segment %s is smaller than the configured segment size",
				    store->conf->name, path);
	}
	return 0;
}

static int open_log_device(struct store *store)
{
	const char *path = store->self->log;
	uint64_t bytes;
	int err = store->env->ops->file_open(store->env, path, &store->log_device, &bytes);

	if (err)
		return log_error(store, err, path);
	if (bytes / store->conf->segment_bytes < store->nr_segments)
		return fail(store, -EINVAL, "invalid",
			    "resource %s: log device %s is smaller than the configured log",
			    store->conf->name, path);
	for (unsigned int i = 0; i < store->nr_segments; i++) {
		store->segments[i].file = store->log_device;
		store->segments[i].offset = i * store->conf->segment_bytes;
	}
	return 0;
}

int store_open_log(struct store *store)
{
	uint64_t count = store->conf->log_bytes / store->conf->segment_bytes;
	int err;

	if (store->segments)
		return 0;
	if (count < 4 || count > STORE_MAX_SEGMENTS)
		return fail(store, -EINVAL, "invalid",
			    "resource %s: the log has %llu segments, it must have 4 to %u",
			    store->conf->name, (unsigned long long)count, STORE_MAX_SEGMENTS);
	store->segments = calloc(count, sizeof(*store->segments));
	if (!store->segments)
		return fail(store, -ENOMEM, "io", "resource %s: no memory", store->conf->name);
	store->nr_segments = count;
	err = open_log_files(store);
	return err == -ENOTDIR ? open_log_device(store) : err;
}

static int adopt_volume(struct store *store, unsigned int index, const struct nl_volume *from)
{
	struct replica_volume *volume = &store->volumes[index];
	int err = store->env->ops->file_adopt(store->env, from->backing_fd, &volume->file,
					      &volume->device_bytes);

	if (err)
		return fail(store, err, "io",
			    "resource %s: the backing device of volume %u, given back by the kernel, cannot be used: %s",
			    store->conf->name, from->number, open_error_text(err));
	volume->number = from->number;
	if (!volume->size_sectors)
		volume->size_sectors = meta_volume_sectors(volume->device_bytes);
	store->nr_volumes = index + 1;
	return 0;
}

static int adopt_volumes(struct store *store, const struct nl_resource *res)
{
	store->nr_volumes = 0;
	for (unsigned int i = 0; i < store->self->nr_volumes; i++) {
		const struct nl_volume *from = NULL;
		int err;

		for (unsigned int j = 0; j < res->nr_volumes; j++) {
			if (res->volumes[j].number == store->self->volumes[i].number)
				from = &res->volumes[j];
		}
		if (!from || from->backing_fd < 0)
			return fail(store, -ENODEV, "io",
				    "resource %s: the kernel did not give volume %u back",
				    store->conf->name, store->self->volumes[i].number);
		err = adopt_volume(store, i, from);
		if (err)
			return err;
	}
	return 0;
}

static bool is_adopted(const struct store *store, int fd)
{
	for (unsigned int i = 0; i < store->nr_volumes; i++) {
		if (store->env->ops->file_fd(store->env, store->volumes[i].file) == fd)
			return true;
	}
	return false;
}

int store_adopt_volumes(struct store *store, const struct nl_resource *res)
{
	int err = adopt_volumes(store, res);

	for (unsigned int i = 0; i < res->nr_volumes; i++) {
		int fd = res->volumes[i].backing_fd;

		if (fd >= 0 && !is_adopted(store, fd))
			close(fd);
	}
	return err;
}

static int compare_identity(const struct conf *conf, const struct conf_node *self,
			    const struct meta *meta, char *text, size_t bytes)
{
	if (memcmp(meta->resource_id, conf->id, REPRISE_ID_BYTES)) {
		snprintf(text, bytes, "it belongs to another resource (\"%s\", other id)",
			 meta->resource_name);
		return -EINVAL;
	}
	if (strcmp(meta->resource_name, conf->name)) {
		snprintf(text, bytes, "it was created as resource \"%s\"", meta->resource_name);
		return -EINVAL;
	}
	if (meta->node != self->id || strcmp(meta->node_name, self->name)) {
		snprintf(text, bytes, "it belongs to node %s (id %u), this is %s (id %u)",
			 meta->node_name, meta->node, self->name, self->id);
		return -EINVAL;
	}
	if (meta->logical_block_bytes != conf->logical_block_bytes) {
		snprintf(text, bytes, "it was created with logical blocks of %u bytes, the configuration says %u",
			 meta->logical_block_bytes, conf->logical_block_bytes);
		return -EINVAL;
	}
	return 0;
}

int store_compare(const struct conf *conf, const struct conf_node *self, unsigned int number,
		  uint64_t device_bytes, const struct meta *meta,
		  const struct meta_volume *volume, char *text, size_t bytes)
{
	int err = compare_identity(conf, self, meta, text, bytes);

	if (err)
		return err;
	if (volume->number != number) {
		snprintf(text, bytes, "it is volume %u, not %u", volume->number, number);
		return -EINVAL;
	}
	if (meta->nr_volumes != conf->nr_volumes) {
		snprintf(text, bytes, "it was created with %u volumes, the configuration has %u",
			 meta->nr_volumes, conf->nr_volumes);
		return -EINVAL;
	}
	if (volume->size_sectors > meta_volume_sectors(device_bytes)) {
		snprintf(text, bytes, "it has shrunk: the volume no longer fits");
		return -EINVAL;
	}
	return 0;
}

static void check_next(struct store *store);

static void check_finish(struct store *store, int error)
{
	free(store->copies);
	store->copies = NULL;
	store->have_meta = !error;
	store->checked(store->ctx, error);
}

static int check_record(struct store *store, struct replica_volume *volume, const char *device)
{
	struct meta *meta = malloc(sizeof(*meta));
	struct meta_volume mv;
	char text[256];
	const char *why = "";
	int err;

	if (!meta)
		return fail(store, -ENOMEM, "io", "resource %s: no memory", store->conf->name);
	err = meta_choose(store->copies, (char *)store->copies + REPRISE_META_RECORD_BYTES, meta,
			  &mv, &why);
	if (err == -ENOENT)
		err = fail(store, err, "invalid",
			   "resource %s: %s has no Reprise metadata: run \"reprise create %s\" first",
			   store->conf->name, device, store->conf->name);
	else if (err)
		err = fail(store, err, "invalid", "resource %s: the metadata of %s is not valid: %s",
			   store->conf->name, device, why);
	else if (store_compare(store->conf, store->self, volume->number, volume->device_bytes,
			       meta, &mv, text, sizeof(text)))
		err = fail(store, -EINVAL, "invalid", "resource %s: %s does not fit: %s",
			   store->conf->name, device, text);
	else {
		volume->size_sectors = mv.size_sectors;
		if (store->checking == 0 || meta->number > store->meta.number)
			store->meta = *meta;
	}
	free(meta);
	return err;
}

static void check_read(struct env_io *io, ssize_t result)
{
	struct store *store = ((struct store_read *)io)->store;
	unsigned int index = store->checking;
	const char *device = store->self->volumes[index].device;
	int err;

	if (result < 0)
		store->io_error = result;
	if (--store->reading)
		return;
	if (store->io_error)
		err = fail(store, store->io_error, "io",
			   "resource %s: the metadata of %s cannot be read: %s",
			   store->conf->name, device, strerror(-store->io_error));
	else
		err = check_record(store, &store->volumes[index], device);
	if (err) {
		check_finish(store, err);
		return;
	}
	store->checking++;
	check_next(store);
}

static void submit_copies(struct store *store, const struct replica_volume *volume)
{
	store->reading = 2;
	for (unsigned int i = 0; i < 2; i++) {
		struct store_read *read = &store->reads[i];

		read->store = store;
		read->iov.iov_base = (char *)store->copies + i * REPRISE_META_RECORD_BYTES;
		read->iov.iov_len = REPRISE_META_RECORD_BYTES;
		read->io = (struct env_io){
			.done = check_read, .op = ENV_READ, .file = volume->file,
			.offset = meta_copy_offset(volume->device_bytes, i),
			.iov = &read->iov, .nr_iov = 1,
		};
		env_submit(store->env, &read->io);
	}
}

static void check_next(struct store *store)
{
	const struct replica_volume *volume = &store->volumes[store->checking];

	if (store->checking == store->nr_volumes) {
		check_finish(store, 0);
		return;
	}
	if (!meta_area_offset(volume->device_bytes)) {
		check_finish(store, fail(store, -EINVAL, "invalid",
					 "resource %s: %s is too small", store->conf->name,
					 store->self->volumes[store->checking].device));
		return;
	}
	submit_copies(store, volume);
}

void store_check(struct store *store, void (*checked)(void *ctx, int error), void *ctx)
{
	_Static_assert(offsetof(struct store_read, io) == 0, "a request leads to its read");

	store->checked = checked;
	store->ctx = ctx;
	store->checking = 0;
	store->io_error = 0;
	store->copies = aligned_alloc(4096, 2 * REPRISE_META_RECORD_BYTES);
	if (!store->copies)
		check_finish(store, fail(store, -ENOMEM, "io", "resource %s: no memory",
					 store->conf->name));
	else
		check_next(store);
}

void store_close_volumes(struct store *store)
{
	for (unsigned int i = 0; i < store->nr_volumes; i++)
		store->env->ops->file_close(store->env, store->volumes[i].file);
	store->nr_volumes = 0;
}

void store_close(struct store *store)
{
	store_close_volumes(store);
	for (unsigned int i = 0; i < store->nr_segment_files; i++)
		store->env->ops->file_close(store->env, store->segments[i].file);
	store->nr_segment_files = 0;
	if (store->log_device)
		store->env->ops->file_close(store->env, store->log_device);
	store->log_device = NULL;
	free(store->segments);
	store->segments = NULL;
	store->nr_segments = 0;
}
