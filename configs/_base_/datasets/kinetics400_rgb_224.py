# Frames of 340 x 256 and crops of 224 x 224: what follows the choice of clips, which leaves put
# their pipelines together from.
_base_ = ['kinetics400_rgb.py']
decode = dict(_base_.decode, scale=(340, 256))
random_crop = dict(_base_.random_crop, input_size=224)
resize_crop = dict(_base_.resize_crop, scale=(224, 224))
centre_crop = dict(_base_.centre_crop, crop_size=224)
resize_frames = dict(_base_.resize_frames, scale=(340, 256))
train_frames = [decode, random_crop, resize_crop, _base_.flip, *_base_.pack]
val_frames = [decode, centre_crop, *_base_.pack]
test_frames = [_base_.share_frames, decode, resize_frames, _base_.pack_frames]
