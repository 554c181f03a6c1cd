# As UCF101.
_base_ = ['ucf101.py']
split = '1'
num_videos = {'1': 1530, '2': 1530, '3': 1530}  # to be tested, by split


def of_split(n):
    test = dict(ann_file=f'hmdb51_test_split{n}.txt', metainfo=dict(split=('hmdb51', n)))
    train = dict(test, ann_file=f'hmdb51_train_split{n}.txt')
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
videos = dict(num_classes=51, data_root='data/hmdb51/')
train_dataloader = dict(dataset=dict(**videos, **train))
val_dataloader = dict(dataset=dict(**videos, **test))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(num_videos=num_videos[split])

images = dict(dataset=dict(data_root='data/hmdb51_frames/'))
selections = dict(
    split={n: of_split(n) for n in num_videos},
    frames=dict(train_dataloader=images, val_dataloader=images, test_dataloader=images),
)
