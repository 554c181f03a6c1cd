# Jester: images at 12 per second, some 36 a video. Clips as of Something-Something, and nothing
# mirrored either: "Swiping Left" would become "Swiping Right".
_base_ = ['sthv2.py']
images = dict(
    type='ClipRawframeDataset',
    filename_tmpl='{:05d}.jpg',
    num_classes=27,
    data_root='data/jester/',
    data_prefix=dict(_delete_=True, img='rawframes'),
)
val_images = dict(ann_file='jester_val_list_rawframes.txt', **images)
train_dataloader = dict(dataset=dict(ann_file='jester_train_list_rawframes.txt', **images))
val_dataloader = dict(dataset=val_images)
test_dataloader = dict(dataset=val_images)
val_evaluator = test_evaluator = dict(num_videos=14787)
selections = dict(_delete_=True)  # it is images
