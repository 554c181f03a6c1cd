_base_ = [
    '_base_/models/artnet_r18_d_flow.py',
    '_base_/datasets/kinetics400_flow.py',
    '_base_/schedules/sgd_250k_steps.py',
    '_base_/default_runtime.py',
]
