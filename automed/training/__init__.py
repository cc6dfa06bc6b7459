"""How networks learn: tensors in memory, augmentation, and one recipe per way of training."""
