# As for Kinetics, for half as many videos: half of all times.
_base_ = ['sgd_250k_steps.py']
train_cfg = dict(max_iters=125000)
param_scheduler = [
    dict(
        type='MultiStepLR',
        by_epoch=False,
        milestones=[35000, 70000, 90000, 110000],
        gamma=0.1,
    )
]
