"""The best accuracies that we know of, by data set and training budget: data, and one look-up.

Most rows are the highest accuracy that any network of LEMUR has reached up to that epoch, computed from the
result files `ab/nn/stat/train/img-classification_*` of the package nn-dataset 2.1.2. Networks whose source
loads weights trained elsewhere are left out: no network of ours can download any. Better published results
replace LEMUR's where we know of them. All are on the official split.
"""

import math
from dataclasses import dataclass

LEMUR = "LEMUR, nn-dataset 2.1.2"
_AIRBENCH = "K. Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv:2404.00498"
_IMAGENETTE = "leaderboard of github.com/fastai/imagenette, from random weights"
_FINE_TUNED_DARTS = "Tanveer, Khan and Kyung, Fine-Tuning DARTS for Image Classification, arXiv:2006.09042"
_VISION_TRANSFORMER = "Dosovitskiy et al., An Image is Worth 16x16 Words, arXiv:2010.11929 (pre-trained)"
_MNIST_ENSEMBLE = "An et al., An Ensemble of Simple Convolutional Neural Network Models, arXiv:2008.10400"


@dataclass(frozen=True)
class BestKnown:
    """The best accuracy, a fraction, after at most `epochs` passes over the whole training split."""

    epochs: float
    """Infinite: whatever the budget."""
    accuracy: float
    source: str


def _lemur(*rows: tuple[int, float]) -> tuple[BestKnown, ...]:
    return tuple(BestKnown(epochs, accuracy, LEMUR) for epochs, accuracy in rows)


TABLE: dict[str, tuple[BestKnown, ...]] = {
    "mnist": (
        *_lemur((1, 0.9924), (2, 0.9945), (3, 0.9956), (7, 0.9967), (15, 0.9970), (30, 0.9976)),
        BestKnown(math.inf, 0.9991, _MNIST_ENSEMBLE),
    ),
    "fashion-mnist": (BestKnown(math.inf, 0.9691, _FINE_TUNED_DARTS),),
    "cifar-10": (
        *_lemur((1, 0.6943), (2, 0.7596), (3, 0.8175), (5, 0.8580), (7, 0.8771)),
        BestKnown(10, 0.9401, _AIRBENCH),
        BestKnown(40, 0.9605, _AIRBENCH),
        BestKnown(math.inf, 0.9950, _VISION_TRANSFORMER),
    ),
    "cifar-100": (
        *_lemur((1, 0.3599), (2, 0.4296), (3, 0.4919), (5, 0.5612), (7, 0.6205), (10, 0.6527), (15, 0.6835)),
        *_lemur((20, 0.7117), (30, 0.7195), (50, 0.7286)),
        BestKnown(math.inf, 0.9455, _VISION_TRANSFORMER),
    ),
    "svhn": _lemur(
        (1, 0.9213),
        (2, 0.9408),
        (3, 0.9505),
        (5, 0.9564),
        (7, 0.9587),
        (10, 0.9594),
        (20, 0.9630),
        (50, 0.9651),
    ),
    "celeba-gender": _lemur((1, 0.9712), (2, 0.9783), (3, 0.9788), (5, 0.9822), (15, 0.9830), (50, 0.9847)),
    "imagenette": (
        *_lemur((1, 0.5862), (2, 0.6639), (3, 0.6818)),
        BestKnown(5, 0.8685, _IMAGENETTE),
        BestKnown(20, 0.9353, _IMAGENETTE),
        BestKnown(80, 0.9490, _IMAGENETTE),
        BestKnown(200, 0.9511, _IMAGENETTE),
    ),
}
"""By data set, the budgets ascending."""


def best_known(dataset: str, epochs: float) -> BestKnown | None:
    """The best of the next budget in the table that is not below `epochs`: rather too good than too bad.

    None for a data set or a budget about which nothing is known.
    """
    return next((row for row in TABLE.get(dataset, ()) if row.epochs >= epochs), None)
