_base_ = ['_base_/small.py']
# AVLetters (Matthews and others, 2002): 26 letters, repetition 3 for testing.
data_root = 'data/avletters/'
model = dict(cls_head=dict(num_classes=26))
videos = dict(num_classes=26, data_root=data_root, data_prefix=dict(video=''))
val_videos = dict(ann_file='test_rep3.txt', **videos)
train_dataloader = dict(
    dataset=dict(ann_file='train_rep12.txt', pipeline=_base_.train_pipeline, **videos)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **val_videos))
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline, **val_videos))

# Letters are alike, and there are more of them.
train_cfg = dict(max_iters=1000, val_interval=250)
param_scheduler = [_base_.warm_up, dict(_base_.cosine, end=1000)]

study = dict(
    title='Spoken letters: AVLetters',
    rows=_base_.rows,
    conditions={'': dict()},
    tests={'third repetition': dict()},
)
