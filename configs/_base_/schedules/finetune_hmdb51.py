# As for UCF101, in half the iterations.
_base_ = ['finetune_ucf101.py']
train_cfg = dict(max_iters=1750, val_interval=250)
param_scheduler = [dict(type='StepLR', by_epoch=False, step_size=750, gamma=0.1)]
