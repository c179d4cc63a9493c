"""Replaces the recorder's graph by a well-formed one of another network."""

import sys

import torch

from contracts.computation_graph import ComputationGraph, Node, Operation, TensorType, Value

recording = sys.modules["sandbox_runner.guest.recording"]
KIND = TensorType("float32", (2, 10))
OTHER = ComputationGraph((Node(Operation("input", (), (KIND,))),), (Value(0, 0),))
recording.Recorder.graph = lambda self, outputs: (print("TRIED"), OTHER)[1]


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
