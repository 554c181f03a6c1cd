# Lists of tools/data/build_annotations.py; --split 2 chooses the second split.
_base_ = ['kinetics400_rgb.py']
split = '1'
num_videos = {'1': 3783, '2': 3734, '3': 3696}  # to be tested, by split


def of_split(n):
    test = dict(ann_file=f'ucf101_test_split{n}.txt', metainfo=dict(split=('ucf101', n)))
    train = dict(test, ann_file=f'ucf101_train_split{n}.txt')
    evaluator = dict(num_videos=num_videos[n])
    return dict(
        split=n,
        train_dataloader=dict(dataset=train),
        val_dataloader=dict(dataset=test),
        test_dataloader=dict(dataset=test),
        val_evaluator=evaluator,
        test_evaluator=evaluator,
    )


train, test = (of_split(split)[f'{part}_dataloader']['dataset'] for part in ('train', 'test'))
videos = dict(num_classes=101, data_root='data/ucf101/', data_prefix=dict(video='videos'))
train_dataloader = dict(batch_size=15, dataset=dict(**videos, **train))
val_dataloader = dict(dataset=dict(**videos, **test))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(num_videos=num_videos[split])

images = dict(
    dataset=dict(
        type='ClipRawframeDataset',
        data_root='data/ucf101_frames/',
        data_prefix=dict(_delete_=True, img='videos'),
    )
)
selections = dict(
    _delete_=True,
    split={n: of_split(n) for n in num_videos},
    frames=dict(train_dataloader=images, val_dataloader=images, test_dataloader=images),
)
