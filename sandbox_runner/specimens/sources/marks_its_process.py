"""Marks everything in its process and its sandbox, in case another job is given them."""

import builtins
import os
import random
import sys
import threading
import time
import types

import numpy
import torch

builtins.marked_by_a_job = torch.marked_by_a_job = numpy.marked_by_a_job = True
sys.modules["marked_by_a_job"] = types.ModuleType("marked_by_a_job")
os.environ["MARKED_BY_A_JOB"] = "1"
torch.nn.Linear.marked_by_a_job = True
sys.path.append("/tmp/marked-by-a-job")
random.marked_by_a_job = True
threading.Thread(target=time.sleep, args=(600,), name="marked-by-a-job", daemon=True).start()
os.nice(3)
os.umask(0)
os.makedirs("/tmp/marked-by-a-job", exist_ok=True)
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
