"""Trains mutants for a step or two with torch: one JSON object a line in, a list of failures out.

Runs as a process of its own, so that the test that starts it needs no torch and can bound its time.
"""

import json
import sys

import torch
from torch.nn.functional import cross_entropy

SHAPES = ((8, 1, 28, 28), (8, 3, 32, 32))
HYPERPARAMETERS = {"lr": 0.01, "momentum": 0.9, "dropout": 0.1, "batch": 8}


def run(source, contract, shape):
    """Construct, train, evaluate; raises whatever the network raises."""
    namespace = {"__name__": "net"}
    exec(compile(source, "net.py", "exec"), namespace)
    images, labels = torch.randn(shape), torch.randint(0, 10, (shape[0],))
    if contract == "lemur":
        network = namespace["Net"](shape, (10,), HYPERPARAMETERS, torch.device("cpu"))
        network.train_setup(HYPERPARAMETERS)
        network.learn([(images, labels), (images, labels)])
    else:
        network = namespace["Net"](shape, (10,))
    cross_entropy(network(images), labels).backward()
    network.eval()
    output = network(images[:1])
    assert output.shape == (1, 10)
    assert torch.isfinite(output).all()


def main():
    torch.set_num_threads(1)
    failures = []
    for line in sys.stdin:
        mutant = json.loads(line)
        for shape in SHAPES:
            try:
                run(mutant["source"], mutant["contract"], shape)
            except Exception as error:  # noqa: BLE001
                failures.append(
                    f"{mutant['name']}: {mutant['summary']}: {type(error).__name__}: {error}"[:300]
                )
                break
    json.dump(failures, sys.stdout)


if __name__ == "__main__":
    main()
