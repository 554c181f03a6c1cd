# As for UCF101, for 1.6 times as many videos: all times 1.6.
_base_ = ['finetune_ucf101.py']
train_cfg = dict(max_iters=5600, val_interval=800)
param_scheduler = [dict(type='StepLR', by_epoch=False, step_size=2400, gamma=0.1)]
