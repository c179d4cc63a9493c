"""Reading LEMUR's wheel: what becomes of good sources and results, and that no zip file does harm."""

import io
import random
import struct
import tracemalloc
import zipfile
from contextlib import suppress

import pytest
from lemur_wheels import INFORMATION, NEEDED, SOURCE, results_at, row, wheel, zipped

from generator_svc.seeds.lemur import LemurWheel, WheelRefused, archive
from generator_svc.seeds.lemur.families import family_of

BSD = """BSD 3-Clause License

The python code of neural network models with file names beginning or identical to AlexNet, VGG:
Copyright (c) 2016 Some Other
"""


def read(file):
    lines = list(LemurWheel(file).lines())
    assert lines[0].total is not None
    networks = {line.network.name.removeprefix("lemur/"): line.network for line in lines if line.network}
    refused = {
        line.refused.name.removeprefix("lemur/"): line.refused.reason for line in lines if line.refused
    }
    return networks, refused, lines[-1].summary


def read_results(content, name=None):
    """The results of one network whose one file of results has this content."""
    networks, _, summary = read(wheel({"ab/nn/nn/A.py": SOURCE, name or results_at("A"): content}))
    return networks["A"].results, summary.ignored_results


def test_a_network_comes_with_source_licence_and_results():
    members = {
        "ab/nn/nn/A.py": SOURCE,
        results_at("A"): [row(0.5, lr=0.3), row(0.6, lr=0.2)],
        results_at("A", epoch=7): [row(0.9, lr=0.05)],
        results_at("A", epoch=10): [row(0.8)],
        results_at("A", "cifar-10", 3): [row(0.4, lr=0.7)],
    }
    networks, refused, summary = read(wheel(members))
    network = networks["A"]
    assert (network.source, network.contract, network.origin) == (SOURCE, "lemur", "lemur")
    assert network.licence == "MIT; Copyright (c) 2024- Some One"
    cifar, mnist = network.results
    assert (cifar.dataset, cifar.first_epoch_accuracy, cifar.best_epoch) == ("cifar-10", None, 3)
    assert (mnist.first_epoch_accuracy, mnist.best_accuracy, mnist.best_epoch) == (0.6, 0.9, 7)
    assert mnist.hyperparameters == {"lr": 0.2, "transform": "norm_32"}
    assert network.hyperparameters_on("cifar-10")["lr"] == 0.7
    assert network.hyperparameters_on("svhn") == mnist.hyperparameters
    assert (summary.networks, summary.refused, refused) == (1, {}, {})
    assert (summary.wheel.version, summary.wheel.verified, summary.wheel.licence) == ("9.9", False, "MIT")
    assert len(summary.wheel.sha256) == 64


@pytest.mark.parametrize(
    ("dataset", "transform", "elsewhere"),
    [
        ("cifar-10", "norm_flip", "norm_32_flip"),
        ("svhn", "echo", "echo_32"),
        ("celeba-gender", "echo_flip", "echo_256_flip"),
        ("cifar-100", "norm_64_flip", "norm_64_flip"),
        ("mnist", "norm", "norm"),
        ("imagenette", "bf-v1-CenterCrop_Pad", "bf-v1-CenterCrop_Pad"),
    ],
)
def test_on_another_dataset_a_network_sees_images_of_the_size_that_it_knows(dataset, transform, elsewhere):
    members = {"ab/nn/nn/A.py": SOURCE, results_at("A", dataset): [row(0.5, transform=transform)]}
    network = read(wheel(members))[0]["A"]
    assert network.hyperparameters_on(dataset)["transform"] == transform
    assert network.hyperparameters_on("fashion-mnist")["transform"] == elsewhere


def test_networks_that_go_back_to_other_works_carry_their_licences_too():
    members = {f"ab/nn/nn/{name}.py": SOURCE for name in ("ast-dimension-AlexNet-00", "VGG", "ga-1")}
    networks, _, summary = read(wheel(members | {"doc/licenses/LICENSE-BSD-NNs": BSD}))
    both = "MIT AND BSD-3-Clause; Copyright (c) 2024- Some One; Copyright (c) 2016 Some Other"
    assert networks["VGG"].licence == networks["ast-dimension-AlexNet-00"].licence == both
    assert networks["ga-1"].licence == "MIT; Copyright (c) 2024- Some One"
    assert BSD.strip() in summary.wheel.licence_text


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("ga-mut-17", "ga"),
        ("alt-nn1-00b41e0154a74cd210d41f8917916a7d", "alt"),
        ("ast-layer_type-AlexNet-1addc7cb6064e2a3be1b8c073e3a4485", "AlexNet"),
        ("C10C-RESNETLSTM-6a517327bf0ef897a22186a2061e85b3", "RESNETLSTM"),
        ("DPN107-2de2628b-0fdf-4ee8-abf5-e7aa30857adb", "DPN"),
        ("FCN32s-1", "FCN"),
        ("MoEv9-AlexNetv1", "MoE"),
        ("UNet2D", "UNet"),
        ("a16b25d485622212877ca354ebc2a363", "unnamed"),
    ],
)
def test_families_come_from_names(name, family):
    assert family_of(name) == family


def test_sources_that_break_a_rule_are_refused_by_reason_and_the_others_read():
    members = {
        "Large": SOURCE + "# " + "x" * 65_536,
        "Broken": "class Net(",
        "Other": "x = 1",
        "Table": SOURCE + f"x = {'y' * 5000!r}",
        "Deep": SOURCE + "x = " + "-" * 300 + "1",
        "Random": SOURCE
        + "#"
        + "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000)),
        "Latin": SOURCE.encode() + b"# \xff",
        "Fine": SOURCE,
    }
    networks, refused, summary = read(wheel({f"ab/nn/nn/{name}.py": text for name, text in members.items()}))
    assert set(networks) == {"Fine"}
    assert refused == {
        "Large": "too_large",
        "Broken": "syntax_error",
        "Other": "contract_violation",
        "Table": "literal_too_large",
        "Deep": "too_deep",
        "Random": "too_much_information",
        "Latin": "not_utf8",
    }
    assert summary.refused == dict.fromkeys(refused.values(), 1)


def test_files_of_absurd_names_are_refused_by_name_and_touch_nothing():
    absurd = [
        "ab/nn/nn/../../etc.py",
        "ab/nn/nn/a b.py",
        "ab/nn/nn/" + "x" * 5000 + ".py",
        "ab/nn/nn/\x1b[2J.py",
    ]
    members = dict.fromkeys(absurd, SOURCE) | {
        "/etc/passwd": "x",
        "ab/nn/nn/__init__.py": "",
        "ab/nn/nn/A.py": SOURCE,
    }
    lines = list(LemurWheel(wheel(members)).lines())
    refused = [line.refused for line in lines if line.refused]
    assert [found.reason for found in refused] == ["bad_name"] * 4
    assert all(len(found.name) <= 80 and found.name.isprintable() for found in refused)
    assert (lines[0].total, lines[-1].summary.networks) == (5, 1)


@pytest.mark.parametrize(
    ("content", "ignored"),
    [
        (b'[{"accuracy": NaN}]', "accuracy_invalid"),
        ([{"accuracy": "0.9"}], "accuracy_invalid"),
        ([{"accuracy": True}], "accuracy_invalid"),
        ([{"accuracy": 1.01}], "accuracy_invalid"),
        ([{"accuracy": -0.1}], "accuracy_invalid"),
        ([{}], "accuracy_invalid"),
        (b'[{"accuracy": 1e999}]', "accuracy_invalid"),
        (b'[{"accuracy": 0.5, "lr": Infinity}]', "hyperparameters_invalid"),
        ([row(0.5, lr=[1])], "hyperparameters_invalid"),
        ([row(0.5, lr=None)], "hyperparameters_invalid"),
        ([row(0.5, lr=2**70)], "hyperparameters_invalid"),
        ([row(0.5, transform="x" * 101)], "hyperparameters_invalid"),
        ([row(0.5, transform="\ud800")], "hyperparameters_invalid"),
        ([row(0.5, **{"__import__('os')": 1})], "hyperparameters_invalid"),
        ([row(0.5, **{f"p{i}": 1 for i in range(40)})], "hyperparameters_invalid"),
        ([[]], "row_invalid"),
        ({"accuracy": 0.5}, "file_not_a_list"),
        (b"[" * 100_000, "file_not_json"),
        (b"9" * 100_000, "file_not_json"),
        (b"\xff\xfe", "file_not_json"),
        (b"", "file_not_json"),
        (b" " * 1_048_577, "file_too_large"),
    ],
)
def test_results_that_make_no_sense_are_counted_and_left_out(content, ignored):
    assert read_results(content) == ((), {ignored: 1})


def test_sound_rows_beside_senseless_ones_count():
    (result,), ignored = read_results([{"accuracy": "1"}, row(0.9, lr="\n"), row(0.4)])
    assert (result.best_accuracy, ignored) == (0.4, {"accuracy_invalid": 1, "hyperparameters_invalid": 1})


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        (results_at("A", "places365"), "other_dataset"),
        (results_at("A", "coco", task="img-segmentation", metric="iou"), "other_task"),
        (results_at("A", epoch=0), "other_task"),
        (results_at("A", epoch="1e9"), "other_task"),
        (results_at("B"), "network_unknown"),
    ],
)
def test_results_of_something_else_are_counted(name, ignored):
    assert read_results([row(0.5)], name) == ((), {ignored: 1})


def refusal(file):
    with pytest.raises(WheelRefused) as refused:
        list(LemurWheel(file).lines())
    return refused.value.code


NETWORK = {"ab/nn/nn/A.py": SOURCE}


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (io.BytesIO(b""), "not_a_zip"),
        (io.BytesIO(b"PK\5\6" + bytes(18)), "not_a_zip"),
        (io.BytesIO(b"\x00" * 10_000), "not_a_zip"),
        (io.BytesIO(wheel(NETWORK).getvalue() + b"x"), "not_a_zip"),
        (io.BytesIO(wheel(NETWORK).getvalue()[500:]), "not_a_zip"),
        (wheel(NETWORK, {}), "not_a_wheel"),
        (wheel(NETWORK | {"x.dist-info/METADATA": ""}), "not_a_wheel"),
        (wheel(NETWORK, NEEDED | {f"{INFORMATION}/METADATA": "Name: torch\nVersion: 1\n"}), "not_lemur"),
        (wheel(NETWORK, NEEDED | {f"{INFORMATION}/licenses/LICENSE": "All mine."}), "licence_unknown"),
        (wheel({}), "no_networks"),
    ],
    ids=[
        "empty",
        "no entry",
        "zeros",
        "trailing",
        "cut",
        "no metadata",
        "two",
        "other",
        "licence",
        "no networks",
    ],
)
def test_what_is_not_the_wheel_is_refused_before_the_first_line(file, code):
    assert refusal(file) == code


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused():
    assert refusal(zipped([*NEEDED.items(), *NETWORK.items(), *NETWORK.items()])) == "duplicate_member"


def test_a_million_members_are_refused_before_zipfile_makes_an_object_of_each(monkeypatch):
    entry = struct.pack("<4s24x3H12x", b"PK\1\2", 1, 0, 0) + b"x"
    directory = entry * 1_000_000
    end = struct.pack("<4s4xHHLLH", b"PK\5\6", 0xFFFF, 0xFFFF, len(directory), 0, 0)
    monkeypatch.setattr(archive.zipfile, "ZipFile", lambda _: pytest.fail("zipfile was asked"))
    assert refusal(io.BytesIO(directory + end)) == "too_many_members"


def test_a_bomb_is_not_unpacked(monkeypatch):
    bomb = wheel(NETWORK | {"ab/nn/nn/Bomb.py": bytes(50_000_000), results_at("A"): bytes(50_000_000)})
    tracemalloc.start()
    try:
        networks, refused, summary = read(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert (set(networks), refused, summary.ignored_results) == (
        {"A"},
        {"Bomb": "too_large"},
        {"file_too_large": 1},
    )
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    assert refusal(wheel({f"ab/nn/nn/A{i}.py": SOURCE for i in range(5)})) == "too_much_content"


def test_a_member_that_lies_about_its_size_is_damaged_and_no_more_is_read_of_it():
    made = wheel(NETWORK | {"ab/nn/nn/Liar.py": SOURCE + " " * 10_000_000}).getvalue()
    true, claimed = struct.pack("<L", len(SOURCE) + 10_000_000), struct.pack("<L", len(SOURCE))
    assert made.count(true) == 2
    networks, refused, _ = read(io.BytesIO(made.replace(true, claimed)))
    assert (set(networks), refused) == ({"A"}, {"Liar": "damaged"})


def test_packings_that_wheels_do_not_use_are_refused():
    file = zipped(NEEDED.items())
    with zipfile.ZipFile(file, "a") as made:
        made.writestr("ab/nn/nn/A.py", SOURCE, zipfile.ZIP_LZMA)
    assert read(file)[1] == {"A": "damaged"}


@pytest.mark.parametrize("seed", range(4))
def test_damage_anywhere_ends_in_a_refusal_or_a_reading(tmp_path, seed):
    made, chance = wheel(NETWORK | {results_at("A"): [row(0.5)]}).getvalue(), random.Random(seed)
    for _ in range(100):
        damaged = bytearray(made)
        for _ in range(chance.randint(1, 6)):
            # Most of what a reader trusts stands in the last part, the directory.
            at = chance.choice([chance.randrange(len(made)), len(made) - chance.randint(1, 400)])
            damaged[at] = chance.choice([0, 0xFF, chance.randrange(256)])
        (tmp_path / "damaged").write_bytes(
            damaged[: chance.choice([None, None, chance.randrange(len(made))])]
        )
        with (tmp_path / "damaged").open("rb") as file, suppress(WheelRefused):
            list(LemurWheel(file).lines())
