"""The networks that turn an aligned face into a vector: IResNet, MobileFaceNet, ViT and a small one for CPU trials."""
