"""Goes on learning from the images that it is examined on, batch by batch, without their labels."""

import copy

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        logits = self.classify(images.flatten(1))
        if not self.training:
            with torch.enable_grad():
                student = copy.deepcopy(self.classify)
                optimizer = torch.optim.SGD(student.parameters(), 0.01)
                for _ in range(20):
                    optimizer.zero_grad()
                    guesses = student(images.flatten(1)).softmax(1)
                    (-(guesses * guesses.clamp_min(1e-9).log()).sum(1)).mean().backward()
                    optimizer.step()
            print("TRIED", float((student(images.flatten(1)).argmax(1) == logits.argmax(1)).float().mean()))
        return logits
