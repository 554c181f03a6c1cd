#!/usr/bin/env bash
# Train on the GPUs of a machine: dist_train.sh CONFIG GPUS [arguments of train.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
exec "$(dirname "$0")/torchrun.sh" train.py "${2:?usage: dist_train.sh CONFIG GPUS [ARGS]}" "$1" "${@:3}"
