#!/usr/bin/env bash
# Test under Slurm: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS are read from the environment.
: "${4:?usage: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [ARGS]}"
exec "$(dirname "$0")/slurm.sh" test.py "$@"
