#!/usr/bin/env bash
# Train under Slurm: slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of train.py]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS are read from the environment.
: "${3:?usage: slurm_train.sh PARTITION JOB_NAME CONFIG [ARGS]}"
exec "$(dirname "$0")/slurm.sh" train.py "$@"
