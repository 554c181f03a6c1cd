# Parts of training as of today, each of which stands alone; never in the place of the paper's
# recipe. For any leaf: name this file after it in _base_, and set what you take, as
# artnet_r18_d_today_kinetics.py does.

# A warm-up, then a cosine down to nothing.
warm_up = dict(type='LinearLR', by_epoch=False, start_factor=0.01, end=10000)
cosine = dict(type='CosineAnnealingLR', by_epoch=False, begin=10000, end=250000, eta_min=0)
# The average of some 5000 iterations' weights is what is validated, tested and kept.
ema = dict(type='EMAHook', momentum=2e-4, update_buffers=True)
# Two operations out of fourteen, alike in all frames of a clip, by torchvision.
randaugment = dict(type='TorchVisionWrapper', op='RandAugment', num_ops=2, magnitude=9)
# Two clips of a video in a batch, for one decoding: batch_size is then that of videos.
repeats = dict(collate_fn=dict(type='repeat_pseudo_collate'), dataset=dict(num_repeats=2))
# Clips, and their labels, mixed with others of the batch. num_classes is the leaf's.
mixup = dict(type='MixupBlending', num_classes=400, alpha=0.8)
cutmix = dict(type='CutmixBlending', num_classes=400, alpha=1.0)
