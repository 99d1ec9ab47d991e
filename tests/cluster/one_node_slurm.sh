#!/usr/bin/env bash
# A SLURM cluster of this machine alone, to try jobs on. Debian or Ubuntu, as root.
#
#   one_node_slurm.sh install    the packages, by apt
#   one_node_slurm.sh up         starts the three services; ends when jobs can be handed over
#   one_node_slurm.sh down       stops what `up` started
#
# All files of the cluster lie in $SLURM_HERE, its configuration too: commands find it by the variable
# SLURM_CONF=$SLURM_HERE/slurm.conf. No accounting, as on many small clusters.
set -euo pipefail
here=${SLURM_HERE:-/tmp/lossheads-slurm}
export SLURM_CONF=$here/slurm.conf
node=$(hostname -s)
services=(munged slurmctld slurmd)

refuse() { echo "one_node_slurm.sh: $*" >&2; exit 2; }

install() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
}

# Ports of its own, so that another cluster on this machine is left alone.
write_configuration() {
  local port=$((20000 + $$ % 10000))
  cat >"$SLURM_CONF" <<CONF
ClusterName=lossheads
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 10000))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$here/munge.socket
CredType=cred/munge
StateSaveLocation=$here/state
SlurmdSpoolDir=$here/spool
SlurmctldPidFile=$here/slurmctld.pid
SlurmdPidFile=$here/slurmd.pid
SlurmctldLogFile=$here/slurmctld.log
SlurmdLogFile=$here/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=sched_interval=2,batch_sched_delay=0
# A cancelled job is given this long before it is killed, seconds.
KillWait=1
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
}

up() {
  [ "$(id -u)" = 0 ] || refuse "must be called by root, got $(id -un)"
  for name in "${services[@]}"; do
    command -v "$name" >/dev/null || refuse "finds no $name: call 'one_node_slurm.sh install' first"
  done
  mkdir -p "$here/state" "$here/spool"
  write_configuration
  [ -f "$here/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$here/munge.key")
  munged --force --key-file="$here/munge.key" --socket="$here/munge.socket" \
    --pid-file="$here/munged.pid" --log-file="$here/munged.log" --seed-file="$here/munge.seed"
  slurmctld -i
  slurmd
  for _ in $(seq 60); do
    [ "$(sinfo --noheader --format %T 2>/dev/null)" = idle ] && return
    sleep 1
  done
  refuse "no node is idle after a minute, see the logs in $here"
}

down() {
  for name in slurmd slurmctld munged; do
    [ ! -f "$here/$name.pid" ] || kill "$(cat "$here/$name.pid")" 2>/dev/null || true
  done
}

case ${1:-} in
  install | up | down) "$1" ;;
  *) refuse "must be called with install, up or down, got '${1:-}'" ;;
esac
