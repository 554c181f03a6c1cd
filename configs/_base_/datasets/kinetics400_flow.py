# Flow as tools/data/extract_flow.py stores it: x and y in 8-bit images, 128 for no motion.
# The pipelines are those for RGB: what mirrors clips negates x in flow.
_base_ = ['kinetics400_rgb.py']
data_root = 'data/kinetics400_flow/'
dataset = dict(
    type='ClipRawframeDataset',
    modality='Flow',
    filename_tmpl='flow_{}_{:05d}.jpg',
    data_root=data_root,
)

train_images = dict(_delete_=True, img='videos_train')
val_images = dict(_delete_=True, img='videos_val')
train_dataloader = dict(dataset=dict(data_prefix=train_images, **dataset))
val_dataloader = dict(dataset=dict(data_prefix=val_images, **dataset))
test_dataloader = dict(dataset=dict(data_prefix=val_images, **dataset))
selections = dict(_delete_=True)  # flow is images
