# --split 2 chooses the second split.
_base_ = ['official_splits.py']
splits = _base_.selections.official_splits.ucf101
split = '1'
videos = dict(num_classes=101, data_root='data/ucf101/', data_prefix=dict(video='videos'))
train_dataloader = dict(
    batch_size=15, dataset=dict(**videos, **splits['1'].train_dataloader.dataset)
)
val_dataloader = dict(dataset=dict(**videos, **splits['1'].val_dataloader.dataset))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = splits['1'].val_evaluator

images = dict(
    dataset=dict(
        type='ClipRawframeDataset',
        data_root='data/ucf101_frames/',
        data_prefix=dict(_delete_=True, img='videos'),
    )
)
frames = dict(train_dataloader=images, val_dataloader=images, test_dataloader=images)
selections = dict(split=splits, frames=dict(_delete_=True, **frames))
del splits
