# Lists of tools/data/build_annotations.py; SPLIT=2 in the environment chooses the second split.
_base_ = ['kinetics400_rgb.py']
split = '{{$SPLIT:1}}'
data_root = 'data/ucf101_frames/' if _base_.frames else 'data/ucf101/'
videos = dict(
    num_classes=101,
    data_root=data_root,
    data_prefix={_base_.source: 'videos'},
    metainfo=dict(split=('ucf101', split)),
)

# TSN: a clip from each of two segments.
train_pipeline, val_pipeline = _base_.train_pipeline, _base_.val_pipeline
train_pipeline[1].num_segments = val_pipeline[1].num_segments = 2

train_list, test_list = f'ucf101_train_split{split}.txt', f'ucf101_test_split{split}.txt'
train_dataloader = dict(
    batch_size=15, dataset=dict(ann_file=train_list, pipeline=train_pipeline, **videos)
)
val_dataloader = dict(dataset=dict(ann_file=test_list, pipeline=val_pipeline, **videos))
test_dataloader = dict(dataset=dict(ann_file=test_list, **videos))

val_evaluator = dict(num_videos={'1': 3783, '2': 3734, '3': 3696}.get(split))
test_evaluator = val_evaluator
