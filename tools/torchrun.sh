#!/usr/bin/env bash
# Run a script of this folder in several processes: torchrun.sh SCRIPT PROCESSES ARGS...
# On a machine without CUDA the processes share the CPU and talk through gloo.
set -euo pipefail
TOOLS=$(cd "$(dirname "$0")" && pwd)
SCRIPT=$1 PROCESSES=$2
export PYTHONPATH="$(dirname "$TOOLS")${PYTHONPATH:+:$PYTHONPATH}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

if ! [[ $PROCESSES =~ ^[1-9][0-9]*$ ]]; then
    echo "error: the number of GPUs must be 1 or more, not '$PROCESSES'" >&2
    exit 1
fi
DEVICES=$(python -c 'import torch; print(torch.cuda.device_count())')
if [ "$DEVICES" -gt 0 ] && [ "$PROCESSES" -gt "$DEVICES" ]; then
    echo "error: $PROCESSES GPUs asked for, but this machine has $DEVICES" >&2
    exit 1
fi
# What cannot work is said once, before the processes start.
case " ${*:3} " in
    *" --checked "*) ;;
    *) LOCAL_WORLD_SIZE=$PROCESSES python "$TOOLS/$SCRIPT" "${@:3}" --check ;;
esac
case " ${*:3} " in *" --check "*) exit ;; esac
if [ "$DEVICES" -eq 0 ]; then
    echo "no CUDA device: $PROCESSES processes on the CPU, through gloo" >&2
fi
exec python -m torch.distributed.run --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$PROCESSES" "$TOOLS/$SCRIPT" "${@:3}" --launcher pytorch --checked
