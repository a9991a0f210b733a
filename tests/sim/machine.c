// SPDX-License-Identifier: GPL-2.0
/*
 * One machine: wires disks, module and agent together, and keeps what each of
 * them may know of it.
 */
#include "machine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "agent/agent_impl.h"
#include "agent/meta.h"
#include "heap.h"

enum { MAX_EVENT_DELAY_US = 3000 };

/* An event of the module on its way to the agent. */
struct kernel_event {
	struct event event;
	LIST_ENTRY(kernel_event) link;
	struct machine *machine;
	struct nl_event nl;
};

struct machine {
	struct world *world;
	struct net *net;
	struct model *model;
	unsigned int number;
	const char *name;
	struct machine_layout layout;
	struct disk *volumes[MODEL_MAX_VOLUMES];
	struct disk *segments[MODEL_MAX_SEGMENTS];
	bool up;
	uint64_t clock_base, clock_start;
	int64_t clock_ppm, realtime_offset;
	uint32_t no_memory_ppm;

	struct module *module;
	struct heap *heap;
	struct process *process;
	struct ctl *ctl;
	struct agent *agent;
	struct agent_options options;
	char config_dir[32];
	struct event stopped;
	LIST_HEAD(, kernel_event) events;
};

static struct machine *machines[NET_MAX_HOSTS];
static struct heap *heaps[NET_MAX_HOSTS];

unsigned int machine_number(const struct machine *machine)
{
	return machine->number;
}

struct module *machine_module(struct machine *machine)
{
	return machine->module;
}

bool machine_is_up(const struct machine *machine)
{
	return machine->up;
}

bool machine_has_agent(const struct machine *machine)
{
	return machine->agent;
}

struct process *machine_process_at(struct net *net, unsigned int host)
{
	(void)net;
	return machines[host]->process;
}

/* --- clocks -------------------------------------------------------------- */

static uint64_t monotonic_ns(void *ctx)
{
	const struct machine *m = ctx;
	int64_t passed = world_now(m->world) - m->clock_start;

	return m->clock_base + passed + passed / 1000000 * m->clock_ppm;
}

static uint64_t world_time(void *ctx, uint64_t monotonic)
{
	const struct machine *m = ctx;
	int64_t passed = monotonic > m->clock_base ? monotonic - m->clock_base : 0;

	return m->clock_start + passed - passed / 1000000 * m->clock_ppm;
}

static uint64_t realtime_ns(void *ctx)
{
	const struct machine *m = ctx;

	return 1700000000 * SIM_S + world_now(m->world) + m->realtime_offset;
}

void machine_jump_realtime(struct machine *machine, int64_t ns)
{
	machine->realtime_offset += ns;
}

/* --- disks --------------------------------------------------------------- */

static struct disk *find_disk(void *ctx, const char *path)
{
	struct machine *m = ctx;
	char own[64];
	unsigned int n;

	for (n = 0; n < m->layout.nr_volumes; n++) {
		snprintf(own, sizeof(own), "/sim/%s/volume%u", m->name, n);
		if (!strcmp(path, own))
			return m->volumes[n];
	}
	for (n = 0; n < m->layout.nr_segments; n++) {
		snprintf(own, sizeof(own), "/sim/%s/log/segment.%04u", m->name, n);
		if (!strcmp(path, own))
			return m->segments[n];
	}
	return NULL;
}

static void destroy_disks(struct machine *m)
{
	for (unsigned int i = 0; i < MODEL_MAX_VOLUMES; i++) {
		if (m->volumes[i])
			disk_destroy(m->volumes[i]);
		m->volumes[i] = NULL;
	}
	for (unsigned int i = 0; i < MODEL_MAX_SEGMENTS; i++) {
		if (m->segments[i])
			disk_destroy(m->segments[i]);
		m->segments[i] = NULL;
	}
}

static void resource_id(uint8_t id[REPRISE_ID_BYTES])
{
	for (unsigned int i = 0; i < REPRISE_ID_BYTES; i++)
		id[i] = i + 1;
}

/* The record that "create" writes: clean, on timeline 0. */
static void write_record(struct machine *m, unsigned int volume)
{
	static uint8_t record[REPRISE_META_RECORD_BYTES];
	struct disk *disk = m->volumes[volume];
	struct meta_volume on_disk = {
		.number = volume, .size_sectors = m->layout.sectors,
		.device_sectors = disk_bytes(disk) / 512,
	};
	struct meta meta = {
		.state = REPRISE_STORE_CLEAN, .node = m->number + 1,
		.nr_volumes = m->layout.nr_volumes, .durability = m->layout.durability,
		.on_peer_loss = m->layout.on_peer_loss,
		.logical_block_bytes = m->layout.block_bytes, .nr_timelines = 1,
	};

	resource_id(meta.resource_id);
	memset(meta.log_id, 0x40 + m->number, sizeof(meta.log_id));
	strcpy(meta.resource_name, "r");
	strcpy(meta.node_name, m->name);
	for (meta.number = 0; meta.number < 2; meta.number++) {
		meta_encode(&meta, &on_disk, record);
		disk_poke(disk, meta_copy_offset(disk_bytes(disk), meta.number), record,
			  sizeof(record));
	}
}

void machine_format(struct machine *machine, const struct machine_layout *layout)
{
	struct model_copy *copy = model_copy(machine->model, machine->number);
	char name[32];

	destroy_disks(machine);
	machine->layout = *layout;
	for (unsigned int i = 0; i < layout->nr_volumes; i++) {
		snprintf(name, sizeof(name), "%s/volume%u", machine->name, i);
		machine->volumes[i] = disk_create(machine->world, name, layout->sectors * 512 +
						  REPRISE_META_AREA_BYTES, layout->block_bytes);
		write_record(machine, i);
	}
	for (unsigned int i = 0; i < layout->nr_segments; i++) {
		snprintf(name, sizeof(name), "%s/segment%u", machine->name, i);
		machine->segments[i] = disk_create(machine->world, name, layout->segment_bytes, 4096);
	}
	*copy = (struct model_copy){
		.nr_volumes = layout->nr_volumes, .nr_segments = layout->nr_segments,
		.sectors = layout->sectors,
	};
	memcpy(copy->volumes, machine->volumes, sizeof(copy->volumes));
	memcpy(copy->segments, machine->segments, sizeof(copy->segments));
}

/* --- configuration ------------------------------------------------------- */

static void fill_node(const struct machine_layout *layout, unsigned int number,
		      struct conf_node *node)
{
	struct sockaddr_in *addr = (struct sockaddr_in *)&node->addr;
	const char *name = model_node_name(number);

	node->id = number + 1;
	snprintf(node->name, sizeof(node->name), "%s", name);
	snprintf(node->address, sizeof(node->address), "10.0.0.%u:%u", number + 1,
		 CONF_DEFAULT_PORT);
	addr->sin_family = AF_INET;
	addr->sin_port = htons(CONF_DEFAULT_PORT);
	addr->sin_addr.s_addr = htonl(0x0a000001 + number);
	node->addr_len = sizeof(*addr);
	snprintf(node->log, sizeof(node->log), "/sim/%s/log", name);
	node->nr_volumes = layout->nr_volumes;
	for (unsigned int v = 0; v < layout->nr_volumes; v++) {
		node->volumes[v].number = v;
		snprintf(node->volumes[v].device, sizeof(node->volumes[v].device),
			 "/sim/%s/volume%u", name, v);
	}
}

static void fill_conf(const struct machine_layout *layout, struct conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	strcpy(conf->name, "r");
	resource_id(conf->id);
	memset(conf->key, 7, sizeof(conf->key));
	conf->durability = layout->durability;
	conf->on_peer_loss = layout->on_peer_loss;
	conf->timeout_ms = layout->timeout_ms;
	conf->queue_kib = layout->queue_kib;
	conf->logical_block_bytes = layout->block_bytes;
	conf->segment_bytes = layout->segment_bytes;
	conf->log_bytes = layout->segment_bytes * layout->nr_segments;
	conf->unapplied_bytes = layout->unapplied_bytes;
	conf->nr_volumes = layout->nr_volumes;
	for (unsigned int v = 0; v < layout->nr_volumes; v++)
		conf->volumes[v] = (struct conf_volume){ .number = v, .minor = v };
	conf->nr_nodes = layout->nr_nodes;
	for (unsigned int n = 0; n < layout->nr_nodes; n++)
		fill_node(layout, n, &conf->nodes[n]);
}

/* Stands in for conf_load(): @path is below a machine's directory. */
static int load(const char *path, struct conf *conf, char *error, size_t bytes)
{
	unsigned int i = 0;

	(void)error;
	(void)bytes;
	while (strncmp(path, machines[i]->config_dir, strlen(machines[i]->config_dir)))
		i++;
	fill_conf(&machines[i]->layout, conf);
	snprintf(conf->path, sizeof(conf->path), "%s", path);
	return 0;
}

void machine_configure(struct machine *machine, const struct machine_layout *layout)
{
	machine->layout.durability = layout->durability;
	machine->layout.on_peer_loss = layout->on_peer_loss;
	machine->layout.timeout_ms = layout->timeout_ms;
}

/* --- the module's events ------------------------------------------------- */

static void deliver(struct event *event)
{
	struct kernel_event *ke = sim_container(event, struct kernel_event, event);
	struct machine *m = ke->machine;
	uint64_t until = m->process ? process_paused_until(m->process) : 0;
	struct heap *former;

	if (until) {
		event_set(m->world, event, until);
		return;
	}
	LIST_REMOVE(ke, link);
	if (m->agent) {
		former = process_enter(m->process);
		/* A full socket loses events, and says so. */
		if (world_below(m->world, 50))
			agent_kernel_event(m->agent, &ke->nl);
		else
			agent_kernel_changed(m->agent);
		process_leave(former);
	}
	sim_free(ke);
}

static void kernel_event(void *ctx, const struct nl_event *nl)
{
	struct machine *m = ctx;
	struct kernel_event *ke = sim_alloc(sizeof(*ke));

	ke->machine = m;
	ke->nl = *nl;
	ke->event.fire = deliver;
	LIST_INSERT_HEAD(&m->events, ke, link);
	event_after(m->world, &ke->event, world_below(m->world, MAX_EVENT_DELAY_US) * SIM_US);
}

static void drop_events(struct machine *m)
{
	struct kernel_event *ke;

	while ((ke = LIST_FIRST(&m->events))) {
		event_clear(m->world, &ke->event);
		LIST_REMOVE(ke, link);
		sim_free(ke);
	}
}

static struct process *caller(void *ctx)
{
	struct machine *m = ctx;

	return m->process;
}

/* --- the agent ----------------------------------------------------------- */

static void agent_stopped(void *ctx)
{
	struct machine *m = ctx;

	event_after(m->world, &m->stopped, 0);
}

static void forget_agent(struct machine *m)
{
	event_clear(m->world, &m->stopped);
	m->agent = NULL;
	m->process = NULL;
	control_destroy(m->ctl);
	m->ctl = NULL;
}

static void stopped_fired(struct event *event)
{
	struct machine *m = sim_container(event, struct machine, stopped);
	struct process *process = m->process;

	world_trace(m->world, "%s: the agent has ended", m->name);
	forget_agent(m);
	process_exit(process);
}

static struct process *new_process(struct machine *m)
{
	struct process_host host = {
		.world = m->world, .net = m->net, .number = m->number, .name = m->name,
		.monotonic_ns = monotonic_ns, .world_time = world_time,
		.realtime_ns = realtime_ns, .find_disk = find_disk, .ctx = m,
		.no_memory_ppm = &m->no_memory_ppm,
	};

	return process_create(&host, m->heap);
}

void machine_start_agent(struct machine *m)
{
	struct kernel kernel = module_kernel(m->module);
	struct heap *former;
	char error[256];

	if (m->process || !m->up)
		return;
	world_trace(m->world, "%s: an agent begins", m->name);
	m->process = new_process(m);
	m->ctl = control_create(m->world, m->name, m->process);
	former = process_enter(m->process);
	if (agent_start_on(process_env(m->process), &m->options, m->ctl, &kernel, load, &m->agent,
			   error, sizeof(error)))
		world_fail(m->world, "%s: the agent does not start: %s", m->name, error);
	process_leave(former);
}

void machine_kill_agent(struct machine *m)
{
	struct process *process = m->process;

	if (!process)
		return;
	world_trace(m->world, "%s: the agent is killed", m->name);
	forget_agent(m);
	process_kill(process);
}

void machine_stop_agent(struct machine *m)
{
	struct agent *agent = m->agent;
	struct heap *former;

	if (!agent)
		return;
	world_trace(m->world, "%s: the agent is told to end", m->name);
	m->agent = NULL;
	former = process_enter(m->process);
	agent_stop(agent, agent_stopped, m);
	process_leave(former);
}

void machine_pause(struct machine *m, uint64_t until)
{
	if (!m->process)
		return;
	world_trace(m->world, "%s: the agent stands still for %llu ms", m->name,
		    (unsigned long long)((until - world_now(m->world)) / SIM_MS));
	process_pause(m->process, until);
}

void machine_set_no_memory(struct machine *m, uint32_t ppm)
{
	m->no_memory_ppm = ppm;
}

bool machine_command(struct machine *m, const char *cmd, bool force, uint32_t timeout_ms,
		     struct control_call *call)
{
	if (!m->agent || process_paused_until(m->process))
		return false;
	control_call(m->ctl, cmd, "r", force, timeout_ms, call);
	return true;
}

/* --- life ---------------------------------------------------------------- */

struct machine *machine_create(struct world *world, struct net *net, struct model *model,
			       unsigned int number)
{
	struct machine *m = sim_alloc(sizeof(*m));

	m->world = world;
	m->net = net;
	m->model = model;
	m->number = number;
	m->name = model_node_name(number);
	snprintf(m->config_dir, sizeof(m->config_dir), "/sim/%s", m->name);
	m->options = (struct agent_options){
		.config_dir = m->config_dir, .run_dir = m->config_dir, .node_name = m->name,
	};
	m->stopped.fire = stopped_fired;
	m->realtime_offset = world_below(world, 4 * SIM_S);
	if (!heaps[number])
		heaps[number] = heap_create();
	m->heap = heaps[number];
	machines[number] = m;
	return m;
}

void machine_boot(struct machine *m)
{
	struct module_host host = {
		.world = m->world, .net = m->net, .number = m->number, .name = m->name,
		.model = m->model, .realtime_ns = realtime_ns, .event = kernel_event,
		.find_disk = find_disk, .caller = caller, .ctx = m,
	};

	world_trace(m->world, "%s: boots", m->name);
	m->clock_start = world_now(m->world);
	m->clock_base = SIM_S + world_below(m->world, 1000 * SIM_S);
	m->clock_ppm = (int64_t)world_below(m->world, 401) - 200;
	m->up = true;
	m->module = module_create(&host);
	net_host_up(m->net, m->number);
}

static void cut_power(struct machine *m)
{
	for (unsigned int i = 0; i < m->layout.nr_volumes; i++)
		disk_power_cut(m->volumes[i]);
	for (unsigned int i = 0; i < m->layout.nr_segments; i++)
		disk_power_cut(m->segments[i]);
}

void machine_crash(struct machine *m)
{
	struct process *process = m->process;

	if (!m->up)
		return;
	world_trace(m->world, "%s: the machine dies", m->name);
	m->up = false;
	net_host_down(m->net, m->number);
	if (process) {
		forget_agent(m);
		process_kill(process);
	}
	drop_events(m);
	model_crashed(m->model, m->number);
	module_destroy(m->module);
	m->module = NULL;
	cut_power(m);
}

void machine_destroy(struct machine *m)
{
	machine_crash(m);
	destroy_disks(m);
	sim_free(m);
}
