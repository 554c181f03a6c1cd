#!/usr/bin/env bash
# Run a script of this folder under Slurm: slurm.sh SCRIPT PARTITION JOB_NAME ARGS...
set -euo pipefail
TOOLS=$(cd "$(dirname "$0")" && pwd)
SCRIPT=$1 PARTITION=$2 JOB_NAME=$3
export PYTHONPATH="$(dirname "$TOOLS")${PYTHONPATH:+:$PYTHONPATH}"
export LOCAL_WORLD_SIZE=${GPUS_PER_NODE:-8}
export MASTER_PORT=${MASTER_PORT:-$((12000 + RANDOM % 20000))}

# shellcheck disable=SC2086 # SRUN_ARGS is several words
exec srun -p "$PARTITION" --job-name="$JOB_NAME" \
    --gres=gpu:"${GPUS_PER_NODE:-8}" --ntasks="${GPUS:-8}" \
    --ntasks-per-node="${GPUS_PER_NODE:-8}" --cpus-per-task="${CPUS_PER_TASK:-9}" \
    --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    python -u "$TOOLS/$SCRIPT" "${@:4}" --launcher slurm
