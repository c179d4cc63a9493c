"""The wheel of nn-dataset, network after network: source, licence, what LEMUR measured of it.

Only names and contents of its files are looked at; nothing in it is imported or executed.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from contracts.jobs import (
    BaselineNetwork,
    NetworkImportLine,
    NetworkImportSummary,
    NetworkWheel,
    RefusedNetwork,
)
from contracts.names import MAX_SOURCE_BYTES
from contracts.source_rules import CheckedSource, SourceRejected, check_source
from generator_svc.seeds.lemur.archive import MIB, Archive
from generator_svc.seeds.lemur.families import family_of
from generator_svc.seeds.lemur.licences import read_licences
from generator_svc.seeds.lemur.refusals import MemberRefused, WheelRefused, quoted
from generator_svc.seeds.lemur.results import (
    DATASETS,
    MAX_RESULT_BYTES,
    ResultFile,
    best_hyperparameters,
    reference_results,
)

ORIGIN = "lemur"
PACKAGE = "nn-dataset"
MAX_WHEEL_BYTES = 200 * MIB
MAX_NETWORKS = 30_000
MAX_METADATA_BYTES = 1 * MIB
VERIFIED_RELEASES = frozenset({"1f0b66a4f4de80a27b44a502112d4436eac1f97361ea3aae3266a550f01b07de"})
"""SHA-256 of the wheels that we have looked at: nn-dataset 2.1.2. Others are read too, but not `verified`."""

_SOURCES = "ab/nn/nn/"
_RESULTS = "ab/nn/stat/train/"
_SOURCE = re.compile(r"ab/nn/nn/([A-Za-z0-9][A-Za-z0-9._-]{0,99})\.py")
_NO_NETWORK = frozenset({"ab/nn/nn/__init__.py"})
_RESULT = re.compile(r"ab/nn/stat/train/img-classification_([a-z0-9-]+)_acc_([^/]+)/([1-9][0-9]{0,5})\.json")
_METADATA = re.compile(r"([A-Za-z0-9._-]{1,200}\.dist-info)/METADATA")


def read_wheel(path: Path) -> Iterator[NetworkImportLine]:
    """Every line of an import. Raises WheelRefused before the first line or, for damage found late, later."""
    with path.open("rb") as file:
        yield from LemurWheel(file).lines()


class LemurWheel:
    """An open wheel that has been looked at as a whole, and not yet network by network."""

    def __init__(self, file: IO[bytes]) -> None:
        """`file` must be seekable and stay open. Raises WheelRefused."""
        size = file.seek(0, 2)
        if size > MAX_WHEEL_BYTES:
            raise WheelRefused(
                "too_large", f"The file has {size} bytes; at most {MAX_WHEEL_BYTES} are allowed."
            )
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        self._archive = Archive(file)
        information, version = _identity(self._archive)
        self._licences = read_licences(self._archive, information)
        self._about = NetworkWheel(
            package=PACKAGE,
            version=version,
            sha256=digest,
            verified=digest in VERIFIED_RELEASES,
            licence=self._licences.spdx,
            licence_text=self._licences.text,
        )
        self._refused: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._sources: dict[str, str] = {}
        self._misnamed: list[str] = []
        self._results: defaultdict[str, list[ResultFile]] = defaultdict(list)
        self._sort_members()

    def lines(self) -> Iterator[NetworkImportLine]:
        """The number of sources, each of them as a network or refused, the summary. Raises WheelRefused."""
        yield NetworkImportLine(total=len(self._sources) + len(self._misnamed))
        for member in self._misnamed:
            yield self._refuse(quoted(member), "bad_name", "a name that no network has")
        networks = 0
        for name in sorted(self._sources):
            try:
                yield NetworkImportLine(network=self._network(name))
                networks += 1
            except MemberRefused as refused:
                yield self._refuse(f"{ORIGIN}/{name}", refused.code, refused.message)
        yield NetworkImportLine(
            summary=NetworkImportSummary(self._about, networks, dict(self._refused), dict(self._ignored))
        )

    def _refuse(self, name: str, code: str, message: str) -> NetworkImportLine:
        self._refused[code] += 1
        return NetworkImportLine(refused=RefusedNetwork(name, code, message))

    def _sort_members(self) -> None:
        for member in self._archive.names:
            if member.startswith(_SOURCES):
                self._note_source(member)
        if not self._sources:
            raise WheelRefused("no_networks", f"The wheel has no network in {_SOURCES}.")
        for member in self._archive.names:
            if member.startswith(_RESULTS):
                self._note_result(member)

    def _note_source(self, member: str) -> None:
        found = _SOURCE.fullmatch(member)
        if found is not None:
            self._sources[found[1]] = member
        elif member not in _NO_NETWORK and not member.endswith("/"):
            self._misnamed.append(member)
        if len(self._sources) + len(self._misnamed) > MAX_NETWORKS:
            raise WheelRefused("too_many_networks", f"The wheel has more than {MAX_NETWORKS} networks.")

    def _note_result(self, member: str) -> None:
        found = _RESULT.fullmatch(member)
        if found is None:
            self._ignored["other_task"] += 1
        elif found[1] not in DATASETS:
            self._ignored["other_dataset"] += 1
        elif found[2] not in self._sources:
            self._ignored["network_unknown"] += 1
        else:
            self._results[found[2]].append(ResultFile(member, found[1], int(found[3])))

    def _network(self, name: str) -> BaselineNetwork:
        checked = self._checked_source(self._sources[name])
        results = reference_results(self._result_files(name), self._ignored)
        return BaselineNetwork(
            name=f"{ORIGIN}/{name}",
            family=family_of(name),
            contract=checked.contract,
            description=f"{name} of LEMUR ({PACKAGE} {self._about.version})",
            source=checked.source,
            hyperparameters=best_hyperparameters(results),
            origin=ORIGIN,
            licence=self._licences.of(name),
            results=results,
        )

    def _checked_source(self, member: str) -> CheckedSource:
        content = self._archive.read(member, MAX_SOURCE_BYTES)
        try:
            return check_source(content.decode())
        except UnicodeDecodeError as error:
            raise MemberRefused("not_utf8", f"byte {error.start} is not UTF-8") from error
        except SourceRejected as rejected:
            raise MemberRefused(rejected.rule, rejected.message) from rejected

    def _result_files(self, name: str) -> Iterator[tuple[ResultFile, bytes]]:
        for file in self._results[name]:
            try:
                yield file, self._archive.read(file.member, MAX_RESULT_BYTES)
            except MemberRefused as refused:
                self._ignored[f"file_{refused.code}"] += 1


def _identity(archive: Archive) -> tuple[str, str]:
    """The folder of the wheel's metadata, and the version in them. Raises WheelRefused."""
    found = [match for match in map(_METADATA.fullmatch, archive.names) if match is not None]
    if len(found) != 1:
        raise WheelRefused("not_a_wheel", f"The archive has {len(found)} METADATA files; a wheel has one.")
    try:
        text = archive.read(found[0].string, MAX_METADATA_BYTES).decode(errors="replace")
    except MemberRefused as refused:
        raise WheelRefused("not_a_wheel", f"Its METADATA cannot be read: {refused.message}.") from refused
    head = text.replace("\r\n", "\n").partition("\n\n")[0]
    name = re.search(r"^Name: *([A-Za-z0-9._-]{1,100})$", head, re.MULTILINE)
    version = re.search(r"^Version: *([A-Za-z0-9.+!_-]{1,40})$", head, re.MULTILINE)
    if name is None or version is None or name[1].lower().replace("_", "-") != PACKAGE:
        raise WheelRefused(
            "not_lemur", f"The wheel is {'unnamed' if name is None else quoted(name[1])}, not {PACKAGE}."
        )
    return found[0][1], version[1]
