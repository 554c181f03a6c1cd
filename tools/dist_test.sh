#!/usr/bin/env bash
# Test on the GPUs of a machine: dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
exec "$(dirname "$0")/torchrun.sh" test.py "${3:?usage: dist_test.sh CONFIG CHECKPOINT GPUS [ARGS]}" "$1" "$2" "${@:4}"
