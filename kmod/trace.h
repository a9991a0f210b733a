/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The life of a write: submit, local_done, cut (into a frame), acked (a
 * peer's watermarks), complete.  seq ties them together.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM reprise

#if !defined(_REPRISE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _REPRISE_TRACE_H

#include <linux/tracepoint.h>

#ifdef REPRISE_HAS_ASSIGN_STR_1
#define reprise_assign_str(dst, src) __assign_str(dst)
#else
#define reprise_assign_str(dst, src) __assign_str(dst, src)
#endif

DECLARE_EVENT_CLASS(reprise_op_class,
	TP_PROTO(const char *resource, u64 seq, u16 volume, u8 type, u64 sector, u32 sectors),
	TP_ARGS(resource, seq, volume, type, sector, sectors),
	TP_STRUCT__entry(
		__string(resource, resource)
		__field(u64, seq)
		__field(u64, sector)
		__field(u32, sectors)
		__field(u16, volume)
		__field(u8, type)
	),
	TP_fast_assign(
		reprise_assign_str(resource, resource);
		__entry->seq = seq;
		__entry->sector = sector;
		__entry->sectors = sectors;
		__entry->volume = volume;
		__entry->type = type;
	),
	TP_printk("%s/%u seq %llu op %u sector %llu + %u", __get_str(resource),
		  __entry->volume, __entry->seq, __entry->type, __entry->sector,
		  __entry->sectors)
);

#define REPRISE_OP_EVENT(name) \
DEFINE_EVENT(reprise_op_class, name, \
	TP_PROTO(const char *resource, u64 seq, u16 volume, u8 type, u64 sector, u32 sectors), \
	TP_ARGS(resource, seq, volume, type, sector, sectors))

REPRISE_OP_EVENT(reprise_submit);
REPRISE_OP_EVENT(reprise_local_done);
REPRISE_OP_EVENT(reprise_complete);

TRACE_EVENT(reprise_cut,
	TP_PROTO(const char *resource, u64 first_seq, unsigned int ops, u64 commit, u64 flushed),
	TP_ARGS(resource, first_seq, ops, commit, flushed),
	TP_STRUCT__entry(
		__string(resource, resource)
		__field(u64, first_seq)
		__field(u64, commit)
		__field(u64, flushed)
		__field(unsigned int, ops)
	),
	TP_fast_assign(
		reprise_assign_str(resource, resource);
		__entry->first_seq = first_seq;
		__entry->commit = commit;
		__entry->flushed = flushed;
		__entry->ops = ops;
	),
	TP_printk("%s first seq %llu ops %u commit %llu flushed %llu", __get_str(resource),
		  __entry->first_seq, __entry->ops, __entry->commit, __entry->flushed)
);

TRACE_EVENT(reprise_acked,
	TP_PROTO(const char *resource, u16 node, u64 received, u64 durable, u64 applied),
	TP_ARGS(resource, node, received, durable, applied),
	TP_STRUCT__entry(
		__string(resource, resource)
		__field(u64, received)
		__field(u64, durable)
		__field(u64, applied)
		__field(u16, node)
	),
	TP_fast_assign(
		reprise_assign_str(resource, resource);
		__entry->received = received;
		__entry->durable = durable;
		__entry->applied = applied;
		__entry->node = node;
	),
	TP_printk("%s node %u received %llu durable %llu applied %llu", __get_str(resource),
		  __entry->node, __entry->received, __entry->durable, __entry->applied)
);

#endif /* _REPRISE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
