import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.scoring import (
    LogitsNotFinite,
    batches_of,
    predicted_classes,
    score,
    secret_order,
)


@given(st.text(max_size=20), st.integers(0, 2000))
def test_the_secret_order_is_a_permutation_that_its_key_repeats(key: str, images: int) -> None:
    order = secret_order(key, images)

    assert sorted(order) == list(range(images))
    assert (order == secret_order(key, images)).all()


def test_another_key_gives_another_order() -> None:
    assert (secret_order("a", 1000) != secret_order("b", 1000)).mean() > 0.9


@given(st.integers(1, 1200))
def test_batches_hold_every_image_once_and_at_most_256(images: int) -> None:
    batches = list(batches_of(secret_order("key", images)))

    assert max(len(batch) for batch in batches) <= 256
    assert sorted(np.concatenate(batches)) == list(range(images))


def test_the_largest_logit_wins_and_of_equal_ones_the_first() -> None:
    logits = np.array([[0, 2, 1], [5, 5, 5], [-3, -2, -1]], dtype="<f4")

    assert predicted_classes(logits.tobytes(), 3, 3).tolist() == [1, 0, 2]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_single_logit_that_is_not_finite_spoils_the_batch(value: float) -> None:
    logits = np.zeros((4, 3), dtype="<f4")
    logits[2, 1] = value

    with pytest.raises(LogitsNotFinite, match="1 of 12"):
        predicted_classes(logits.tobytes(), 4, 3)


def test_the_score_of_all_images_has_a_binomial_standard_error() -> None:
    scored = score(np.array([0, 1, 1, 1]), np.array([0, 1, 1, 0]), None)

    assert (scored.accuracy, scored.evaluated_images, scored.audit_accuracy) == (0.75, 4, None)
    assert scored.standard_error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))


def test_each_half_is_scored_apart() -> None:
    selection = np.array([True, True, False, False, False])

    scored = score(np.array([0, 1, 1, 1, 1]), np.array([0, 1, 1, 0, 0]), selection)

    assert (scored.accuracy, scored.evaluated_images) == (1.0, 2)
    assert scored.audit_accuracy == pytest.approx(1 / 3)
    assert scored.audit_images == 3
