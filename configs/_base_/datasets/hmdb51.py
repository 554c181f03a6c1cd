# As UCF101.
_base_ = ['ucf101.py']
splits = _base_.selections.official_splits.hmdb51
videos = dict(num_classes=51, data_root='data/hmdb51/')
train_dataloader = dict(dataset=dict(**videos, **splits['1'].train_dataloader.dataset))
val_dataloader = dict(dataset=dict(**videos, **splits['1'].val_dataloader.dataset))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = splits['1'].val_evaluator

images = dict(dataset=dict(data_root='data/hmdb51_frames/'))
frames = dict(train_dataloader=images, val_dataloader=images, test_dataloader=images)
selections = dict(split=splits, frames=frames)
del splits
