# Flow as tools/data/extract_flow.py stores it: x and y in 8-bit images, 128 for no motion.
_base_ = ['kinetics400_rgb.py']
data_root = 'data/kinetics400_flow/'
dataset = dict(
    type='ClipRawframeDataset',
    modality='Flow',
    filename_tmpl='flow_{}_{:05d}.jpg',
    data_root=data_root,
)

# After decoding everything is as for RGB: ClipFlip and ClipTenCrop negate x in mirrored flow.
decode = [dict(type='RawFrameDecode'), dict(type='StackFlow')]
train_pipeline = [_base_.train_pipeline[1], *decode, *_base_.train_pipeline[3:]]
val_pipeline = [_base_.val_pipeline[1], *decode, *_base_.val_pipeline[3:]]
test_pipeline = [_base_.test_pipeline[1], *decode, *_base_.test_pipeline[3:]]

train_images = dict(_delete_=True, img='videos_train')
val_images = dict(_delete_=True, img='videos_val')
train_dataloader = dict(dataset=dict(data_prefix=train_images, pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(data_prefix=val_images, pipeline=val_pipeline, **dataset))
test_dataloader = dict(dataset=dict(data_prefix=val_images, pipeline=test_pipeline, **dataset))
