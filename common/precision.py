"""In what floating-point format a device computes."""

import torch


def autocast(device: torch.device, training: bool = False) -> torch.autocast:
    """bfloat16 on GPUs that compute in it (compute capability 8.0 on), float32 on a CPU.

    Older GPUs, such as the T4 of Kaggle's notebooks, would only imitate bfloat16, and be slower than in float32. They
    predict in float16 and train in float32: the small range of float16 would want its losses scaled.
    """
    if device.type != "cuda":
        return torch.autocast(device.type, enabled=False)
    if torch.cuda.get_device_capability(device)[0] >= 8:
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return torch.autocast("cuda", dtype=torch.float16, enabled=not training)
