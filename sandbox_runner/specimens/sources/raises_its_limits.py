"""Raises each of its resource limits, soft and hard."""

import resource

import torch

for name in sorted(name for name in dir(resource) if name.startswith("RLIMIT_")):
    number = getattr(resource, name)
    soft, hard = resource.getrlimit(number)
    wanted = {resource.RLIM_INFINITY} if hard == resource.RLIM_INFINITY else {hard + 1, hard * 16, resource.RLIM_INFINITY}
    for value in wanted:
        print("TRIED", name, value)
        for change in (lambda: resource.setrlimit(number, (value, value)), lambda: resource.prlimit(0, number, (value, value))):
            try:
                change()
            except (OSError, ValueError):
                pass
    after = resource.getrlimit(number)[1]
    if hard != resource.RLIM_INFINITY and (after > hard or after == resource.RLIM_INFINITY):
        print("BREACH", name, hard, after)
if resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 65536 or resource.getrlimit(resource.RLIMIT_CORE)[1] > 1:
    print("BREACH", resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE))


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
