#!/usr/bin/env bash
# Train under Slurm: slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of train.py]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS are read from the environment.
exec "$(dirname "$0")/slurm.sh" train.py "${@:?usage: slurm_train.sh PARTITION JOB_NAME CONFIG [ARGS]}"
