"""What of a folder of installed packages a guest sees: what torch needs, and nothing that lies beside it."""

from importlib import metadata

import pytest

from sandbox_runner import guest_packages
from sandbox_runner.sandboxes.port import SandboxUnavailable


def install(folder, name, files, requires=(), record=True):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
    if record:
        paths = [*files, f"{info.name}/METADATA", "../../../bin/program", "__pycache__/x.pyc"]
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in paths))
    else:
        (info / "top_level.txt").write_text(f"{name}\n")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder of packages that replaces the real one."""
    guest_packages.package_mounts.cache_clear()

    def find(name):
        for path in (tmp_path / "site", tmp_path / "other"):
            for found in metadata.Distribution.discover(name=name, path=[str(path)]):
                return found
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(guest_packages.metadata, "distribution", find)
    yield tmp_path
    guest_packages.package_mounts.cache_clear()


def seen(folder):
    return {
        mount.inside: str(mount.host.relative_to(folder)) for mount in guest_packages.package_mounts("/p")
    }


def test_only_what_is_required_is_mounted(installed):
    site = installed / "site"
    needs = ["Typing_Extensions>=4", "pandas; extra == 'all'", "absent<2; python_version < '3'"]
    install(site, "torch", ["torch/__init__.py", "functorch/__init__.py", "torch.pth"], needs)
    install(site, "typing_extensions", ["typing_extensions.py"])
    install(site, "torchvision", ["torchvision/__init__.py"], ["torch (==1.0)"])
    install(installed / "other", "numpy", ["numpy/__init__.py", "numpy.libs/blas.so"])
    for beside in ("pandas", "secret"):
        install(site, beside, [f"{beside}/data.bin"])

    mounts = seen(installed)

    entries = {path for path in mounts.values() if not path.endswith("dist-info")}
    assert entries == {
        "site/torch",
        "site/functorch",
        "site/typing_extensions.py",
        "site/torchvision",
        "other/numpy",
        "other/numpy.libs",
    }
    assert set(guest_packages.package_folders("/p")) == {"/p/0", "/p/1"}
    assert all(inside.rpartition("/")[2] == path.rpartition("/")[2] for inside, path in mounts.items())


def test_without_a_record_the_published_modules_are_mounted(installed):
    for name in guest_packages.PACKAGES:
        install(installed / "site", name, [f"{name}/__init__.py", "secret/data.bin"], record=False)
    assert set(seen(installed).values()) == {f"site/{name}" for name in guest_packages.PACKAGES}


def test_missing_torch_is_unavailable_with_its_remedy(installed):
    with pytest.raises(SandboxUnavailable, match=r"torch is not installed; pip install 'deltanas\[runner\]'"):
        guest_packages.package_mounts("/p")
