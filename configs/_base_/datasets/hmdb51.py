# As UCF101, and the split is chosen in the same way.
_base_ = ['ucf101.py']
data_root = 'data/hmdb51_frames/' if _base_.frames else 'data/hmdb51/'
videos = dict(num_classes=51, data_root=data_root, metainfo=dict(split=('hmdb51', _base_.split)))
test_list = f'hmdb51_test_split{_base_.split}.txt'
train_dataloader = dict(dataset=dict(ann_file=f'hmdb51_train_split{_base_.split}.txt', **videos))
val_dataloader = dict(dataset=dict(ann_file=test_list, **videos))
test_dataloader = dict(dataset=dict(ann_file=test_list, **videos))

val_evaluator = dict(num_videos=1530)
test_evaluator = val_evaluator
