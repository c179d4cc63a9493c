import time

import numpy as np
import pytest

from filter_svc.canonical import canonical_source
from filter_svc.fingerprints import (
    LEAST_SKETCH_BITS,
    fingerprint,
    jaccard,
    shingle_hashes,
    sketch_of,
    tokens_of,
)

NET = (
    "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n{}"
)


PINNED = [5785247010914776643, 13445904295422866800]
"""Fingerprints on disk are compared with new ones: a change of these needs a new version."""


def layers(count, width=8):
    return NET.format("".join(f"        self.l{i} = nn.Linear({width}, {width})\n" for i in range(count)))


def test_tokens_are_those_of_python_with_the_indentation_at_line_ends():
    text = "x = a.b(1.5, 'it\\'s', b\"\\\"\", 1e-05, 0.5) ** 2 // 3 != 0x10\nif x:\n    y @= -z\n"
    joined = tokens_of(text)
    assert joined[:6] == ["x", "=", "a", ".", "b", "("]
    assert {"1.5", "'it\\'s'", 'b"\\""', "1e-05", "**", "//", "!=", "\n", "\n    ", "@="} <= set(joined)
    assert "".join(joined).replace("\n", "").replace(" ", "") == text.replace("\n", "").replace(" ", "")


def test_every_canonical_character_is_in_some_token():
    text = canonical_source(layers(3).replace("8", "1e-5"))
    assert "".join(tokens_of(text)).replace(" ", "") == text.replace(" ", "")


def test_two_wordings_of_one_network_have_one_fingerprint():
    left, right = fingerprint(layers(4)), fingerprint(layers(4).replace("self.l", "self.layer_") + "# end\n")
    assert left.digest == right.digest
    assert np.array_equal(left.shingles, right.shingles)
    assert np.array_equal(left.sketch, right.sketch)


def test_a_changed_number_changes_digest_and_shingles():
    left, right = fingerprint(layers(4)), fingerprint(layers(4, width=9))
    assert left.digest != right.digest
    assert jaccard(left.shingles, right.shingles) < 1.0


def test_a_deeper_network_is_no_copy_of_a_shallower_one():
    tokens = list("x=f(x)")
    three, four = shingle_hashes(tokens * 3), shingle_hashes(tokens * 4)
    assert jaccard(three, four) < 0.8


def test_shingles_are_sorted_unique_64_bit_hashes_and_the_same_in_every_run():
    shingles = shingle_hashes(list("abcdefgh"))
    assert shingles.dtype == np.uint64
    assert shingles.tolist() == PINNED
    many = shingle_hashes([str(i % 10) for i in range(500)]).tolist()
    assert many == sorted(set(many))


@pytest.mark.parametrize("count", [0, 1, 6])
def test_a_short_text_is_one_shingle(count):
    assert len(shingle_hashes(["x"] * count)) == 1


def test_jaccard_is_the_share_of_common_shingles():
    left = np.arange(0, 100, dtype=np.uint64)
    right = np.arange(50, 150, dtype=np.uint64)
    assert jaccard(left, right) == pytest.approx(50 / 150)
    assert jaccard(left, left) == 1.0
    assert jaccard(left, right + np.uint64(1000)) == 0.0


def test_a_sketch_has_a_bit_for_each_shingle_and_no_other():
    shingles = np.array(
        [0, 1, 63, 64, LEAST_SKETCH_BITS - 1, LEAST_SKETCH_BITS, 3 * LEAST_SKETCH_BITS + 64], dtype=np.uint64
    )
    sketch = sketch_of(shingles)
    assert (sketch.dtype, sketch.shape) == (np.uint64, (LEAST_SKETCH_BITS // 64,))
    assert int(sketch[0]) == 1 | 1 << 1 | 1 << 63
    assert int(sketch[1]) == 1
    assert int(sketch[-1]) == 1 << 63
    assert int(np.bitwise_count(sketch).sum()) == 5


def hostile_sources():
    plain = NET.format("        pass\n")
    yield "uses of a long path", "import " + ".".join(["a" * 9] * 9) + " as x\n" + plain + "x\n" * 30_000
    yield "statements", plain + "x\n" * 30_000
    yield "classes", plain + "".join(f"class C{i}(C{i - 1}):\n a=1\n" for i in range(1, 1500))
    yield "attributes", NET.format("".join(f"        self.a{i}=x\n" for i in range(3000)))
    yield "scopes", plain + "".join(f"def g{i}():\n global a\n a=1\n" for i in range(1800))
    yield "nesting", plain + "lambda x: " * 90 + "x"
    yield "strings", plain + "'" + "a b " * 1000 + "'\n"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "source"), list(hostile_sources()), ids=lambda value: value[:20])
def test_a_hostile_source_takes_seconds_at_most(name, source):
    started = time.process_time()
    fingerprint(source)
    assert time.process_time() - started < 5.0, name
