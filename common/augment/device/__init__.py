"""The policies as operations on a whole batch, on any device: `Work` says what is done to which image.

Nothing here waits for the device, and no loop runs over images. What an image becomes depends on its own draws alone,
never on the batch around it: sums over pixels are sums of integers, which come out the same in any order.
"""

from common.augment.device.apply import augment
from common.augment.device.lookup import Pictures, look
from common.augment.device.work import Work, work_of

__all__ = ["Pictures", "Work", "augment", "look", "work_of"]
