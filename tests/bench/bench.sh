#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Reprise against DRBD 8.4 in the same two guests, in one run, alternating.
#
#	tests/bench/bench.sh [REPETITIONS]	(default 3)
#
# Both have their own memory-backed disks with a write cache (null_blk) on both
# nodes; Reprise's log has one of its own on the replica. DRBD: protocols C
# and A, flushes honoured, as its manual advises for throughput; C also with
# the checksums that Reprise always has (data-integrity-alg). Every run's
# figure goes to build/bench/results.tsv at once; the table of medians and of
# ratios pair by pair to build/bench/table.md.
set -u
NO_KTAP=1
KTAP_CNT_FAIL=0
# shellcheck source=tests/cluster/common.sh
. "$(dirname "$0")/../cluster/common.sh"
# A warning of the machine is not this program's business.
vm_cleanup() { rm -rf "$WORK"; }

REPETITIONS=${1:-3}
RUNTIME=${RUNTIME:-6}
OUT=$BUILD/bench
SYSTEMS=${SYSTEMS:-raw reprise-write drbd84-c drbd84-c-crc reprise-flush drbd84-a}
JOBS=${JOBS:-randwrite-4k-qd1 randwrite-4k-qd32 write-1m-qd8 randwrite-4k-4x16 commit-4k-1}

# null_disk NODE NAME MIB
null_disk() {
	# shellcheck disable=SC2016
	on "$1" 'modprobe null_blk nr_devices=0 && { mountpoint -q /sys/kernel/config ||
		mount -t configfs none /sys/kernel/config; }
		d=/sys/kernel/config/nullb/$0; mkdir $d && echo $1 >$d/size &&
		echo 512 >$d/blocksize && echo 1 >$d/memory_backed && echo 0 >$d/irqmode &&
		echo ${2:-32} >$d/cache_size && echo 1 >$d/power' "$2" "$3"
}

# drbd_resource NAME PROTOCOL DISK NUMBER [NET-OPTION]
drbd_resource() {
	cat <<EOF
resource $1 {
	net { protocol $2; max-buffers 8000; max-epoch-size 8000; sndbuf-size 0; ${5:-} }
	disk { disk-flushes yes; md-flushes yes; disk-barrier no; al-extents 6433; }
	on alpha { device /dev/drbd$4; disk /dev/$3; address 10.77.0.1:$((7700 + $4)); meta-disk internal; }
	on beta { device /dev/drbd$4; disk /dev/$3; address 10.77.0.2:$((7700 + $4)); meta-disk internal; }
}
EOF
}

drbd_up() {
	local node

	for node in alpha beta; do
		null_disk "$node" "$3" 400 || return 1
		drbd_resource "$@" | vm_exec "$node" --stdin "cat >/etc/drbd.d/$1.res" || return 1
		on "$node" "modprobe drbd usermode_helper=/bin/true; mkdir -p /var/lib/drbd /run/drbd
			yes yes | drbdadm create-md $1 && drbdadm up $1" >/dev/null 2>&1 || return 1
	done
	wait_for 30 "DRBD in contact" on alpha "drbdadm cstate $1 | grep -q Connected" || return 1
	on alpha "drbdadm new-current-uuid --clear-bitmap $1 && sleep 1; drbdadm primary $1" || return 1
}

# reprise_up NAME DURABILITY
reprise_up() {
	local node

	for node in alpha beta; do
		null_disk "$node" "data-$1" 400 && null_disk "$node" "log-$1" 512 || return 1
	done
	mkdir -p "$WORK/etc"
	"$BUILD/reprise" new "$1" --config-dir "$WORK/etc" \
		--node "alpha=$(vm_ip alpha),/dev/data-$1,/dev/log-$1" \
		--node "beta=$(vm_ip beta),/dev/data-$1,/dev/log-$1" >/dev/null || return 1
	conf_set "$1" log-size=512MiB segment-size=64MiB unapplied=32MiB durability="$2"
	for node in alpha beta; do
		conf_send "$node" "$1" || return 1
		rp "$node" create "$1" --yes >/dev/null && rp "$node" up "$1" >/dev/null || return 1
	done
	in_contact alpha "$1" && rp alpha promote "$1" >/dev/null
}

device() {
	case $1 in
	raw) echo /dev/raw ;;
	reprise-*) field alpha "$1" 'v["device"]' ;;
	drbd84-c) echo /dev/drbd1 ;;
	drbd84-a) echo /dev/drbd2 ;;
	drbd84-c-crc) echo /dev/drbd3 ;;
	esac
}

job_options() {
	case $1 in
	randwrite-4k-qd1) echo --rw=randwrite --bs=4k --iodepth=1 ;;
	randwrite-4k-qd32) echo --rw=randwrite --bs=4k --iodepth=32 ;;
	write-1m-qd8) echo --rw=write --bs=1m --iodepth=8 ;;
	randwrite-4k-4x16) echo --rw=randwrite --bs=4k --iodepth=16 --numjobs=4 ;;
	commit-4k-1) echo --rw=write --bs=4k --iodepth=1 --fdatasync=1 ;;
	esac
}

# One figure: IOPS, or MiB/s for the large ones.
measure() {
	local job=$1 device=$2

	# shellcheck disable=SC2046
	vm_exec alpha --timeout 120 fio --name=j --filename="$device" --direct=1 \
		--ioengine=libaio --size=320m --time_based --runtime="$RUNTIME" --ramp_time=1 \
		--randrepeat=0 --norandommap --group_reporting --output-format=json \
		$(job_options "$job") | /usr/bin/python3 -c '
import json, sys
text = sys.stdin.read()
w = json.loads(text[text.index("{"):])["jobs"][0]["write"]
print(round(w["bw"] / 1024, 1) if "1m" in sys.argv[1] else round(w["iops"]))' "$job"
}

table() {
	/usr/bin/python3 - "$OUT/results.tsv" <<'EOF'
import statistics, sys
rows = [line.split() for line in open(sys.argv[1])]
jobs = list(dict.fromkeys(r[1] for r in rows))
systems = list(dict.fromkeys(r[2] for r in rows))
data = {}
for rep, job, system, value in rows:
    data.setdefault((job, system), {})[rep] = float(value)
print('Medians (IOPS; 1 MiB: MiB/s) of', len({r[0] for r in rows}), 'alternating repetitions.\n')
print('| job |', ' | '.join(systems), '| write / C | write / C with checksums | flush / A |')
print('| --- |', ' | '.join('---' for _ in systems), '| --- | --- | --- |')
def ratio(job, a, b):
    both = [data[job, a][r] / data[job, b][r] for r in data.get((job, a), {})
            if data.get((job, b), {}).get(r)]
    if not both:
        return '-'
    return f'{statistics.median(both):.2f} ({min(both):.2f} to {max(both):.2f})'
for job in jobs:
    cells = [f'{statistics.median(data[job, s].values()):.0f}' if (job, s) in data else '-'
             for s in systems]
    print('|', job, '|', ' | '.join(cells), '|', ratio(job, 'reprise-write', 'drbd84-c'), '|',
          ratio(job, 'reprise-write', 'drbd84-c-crc'), '|',
          ratio(job, 'reprise-flush', 'drbd84-a'), '|')
EOF
}

mkdir -p "$OUT"
: >"$OUT/results.tsv"
cluster_start --mem 5120 --data 32M --log 32M --time-limit "${TIME_LIMIT:-2400}" || exit 1
null_disk alpha raw 400
for system in $SYSTEMS; do
	case $system in
	reprise-write) reprise_up reprise-write write ;;
	reprise-flush) reprise_up reprise-flush flush ;;
	drbd84-c) drbd_up c C dc 1 ;;
	drbd84-a) drbd_up a A da 2 ;;
	drbd84-c-crc) drbd_up k C dk 3 "data-integrity-alg crc32c;" ;;
	esac || { echo "$system could not be set up" >&2; exit 1; }
done
declare -A DEVICE
for system in $SYSTEMS; do DEVICE[$system]=$(device "$system"); done
for rep in $(seq "$REPETITIONS"); do
	for job in $JOBS; do
		for system in $SYSTEMS; do
			value=$(measure "$job" "${DEVICE[$system]}") || value=
			echo "repetition $rep, $job, $system: ${value:-failed}"
			[ -z "$value" ] || echo "$rep $job $system $value" >>"$OUT/results.tsv"
		done
	done
done
for r in reprise-write reprise-flush; do
	field alpha "$r" 'r["health_text"]' 2>/dev/null
done
vm_check_dmesg || true
table | tee "$OUT/table.md"
