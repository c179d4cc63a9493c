"""Gives the attributes of a network, and the methods of its helpers, names that do not depend on taste.

An attribute is named for the expression that defines it (`a_` + digest + number among equals), so
that a layer inserted in one place does not rename all that follow. That holds for names assigned on
`self` in classes that derive from `torch.nn.Module`, `object` and each other alone. Whatever could be
reached in another way keeps its name: attributes of the same name on other objects, names that occur
in strings, the API of `torch.nn.Module`.
"""

import ast
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from filter_svc.canonical.imports import imported_path
from filter_svc.canonical.module_api import MODULE_API
from filter_svc.canonical.names import reads_names
from filter_svc.canonical.scopes import Occurrence, Scope, Variable, parameters_of

HOST_METHODS = frozenset({"learn", "train_setup", "supported_hyperparameters"})
NEUTRAL_BASES = frozenset({"torch.nn.Module", "torch.nn.modules.Module", "torch.nn.modules.module.Module"})
ATTRIBUTE_READERS = frozenset({"getattr", "setattr", "hasattr", "delattr"})
NAMESPACE_ATTRIBUTES = frozenset({"__dict__", "__slots__", "__getattr__", "__getattribute__", "__setattr__"})

VARIABLE = re.compile(r"\bv\d+_\d+\b")
WORD = re.compile(r"[^\W\d]\w*")


@dataclass(eq=False)
class _Family:
    """Classes that inherit from each other and so share one set of attributes."""

    neutral: bool = True
    """Nothing outside this source looks at the attributes by name."""
    reads: dict[str, list[ast.Attribute]] = field(default_factory=lambda: defaultdict(list))
    definitions: dict[str, ast.AST | None] = field(default_factory=dict)
    bound: dict[str, list[Occurrence]] = field(default_factory=lambda: defaultdict(list))
    methods: dict[str, None] = field(default_factory=dict)


def rename_attributes(nodes: Sequence[ast.AST], occurrences: Sequence[Occurrence]) -> None:
    """Rename in place. Variables must have their names already."""
    if reads_names(occurrences) or _reads_attributes_by_name(nodes, occurrences):
        return
    names = _Names(nodes, occurrences)
    pinned = names.read_elsewhere | _words_in_strings(nodes) | MODULE_API | HOST_METHODS
    for family in dict.fromkeys(names.families.values()):
        if family.neutral:
            _rename_family(family, pinned)


class _Names:
    """Every attribute of the module, sorted into those of the families and all others."""

    def __init__(self, nodes: Sequence[ast.AST], occurrences: Sequence[Occurrence]) -> None:
        self._nodes = nodes
        self._occurrences = occurrences
        self._by_node = {occurrence.node: occurrence for occurrence in occurrences}
        self._binders: dict[Variable, list[ast.AST]] = defaultdict(list)
        for occurrence in occurrences:
            if occurrence.binder is not None:
                self._binders[occurrence.variable].append(occurrence.node)
        self.families: dict[ast.ClassDef, _Family] = {}
        self.read_elsewhere: set[str] = set()
        self._join_families()
        self._self_variables = dict(self._find_self_variables())
        self._sort_attributes()
        self._sort_class_names()

    def _join_families(self) -> None:
        for node in self._nodes:
            if isinstance(node, ast.ClassDef):
                self.families[node] = _Family(neutral=not (node.decorator_list or node.keywords))
        for node in list(self.families):
            for base in node.bases:
                parent = self._local_class(base)
                if parent is not None:
                    self._merge(self.families[node], self.families[parent])
                elif not self._is_neutral(base):
                    self.families[node].neutral = False

    def _merge(self, family: _Family, other: _Family) -> None:
        other.neutral = other.neutral and family.neutral
        for node, member in self.families.items():
            if member is family:
                self.families[node] = other

    def _local_class(self, base: ast.expr) -> ast.ClassDef | None:
        occurrence = self._by_node.get(base)
        binders = self._binders[occurrence.variable] if occurrence else []
        return binders[0] if len(binders) == 1 and isinstance(binders[0], ast.ClassDef) else None

    def _is_neutral(self, base: ast.expr) -> bool:
        if imported_path(base) in NEUTRAL_BASES:
            return True
        occurrence = self._by_node.get(base)
        return occurrence is not None and occurrence.name == "object" and occurrence.variable.owner is None

    def _find_self_variables(self) -> Iterator[tuple[Variable, _Family]]:
        """First parameters of methods that nothing binds again."""
        for node, family in self.families.items():
            for method in node.body:
                if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or _is_static(method):
                    continue
                first = next(parameters_of(method), None)
                occurrence = self._by_node.get(first) if first else None
                if occurrence and len(self._binders[occurrence.variable]) == 1:
                    yield occurrence.variable, family

    def _sort_attributes(self) -> None:
        for node in self._nodes:
            if isinstance(node, ast.Attribute):
                family = self._family_of(node.value)
                if family is not None:
                    family.reads[node.attr].append(node)
                    if not isinstance(node.ctx, ast.Load):
                        family.definitions.setdefault(node.attr, None)
                elif imported_path(node) is None:
                    self.read_elsewhere.add(node.attr)
            elif isinstance(node, ast.Assign) and len(node.targets) == 1:
                target = node.targets[0]
                family = self._family_of(target.value) if isinstance(target, ast.Attribute) else None
                if family is not None and isinstance(target, ast.Attribute):
                    family.definitions.setdefault(target.attr, node.value)

    def _family_of(self, owner: ast.expr) -> _Family | None:
        """The family whose instance an expression is: `self` or `super()`."""
        if isinstance(owner, ast.Call) and not owner.args:
            occurrence = self._by_node.get(owner.func)
            is_super = occurrence and occurrence.name == "super" and occurrence.variable.owner is None
            return self._family_around(occurrence.scope) if occurrence and is_super else None
        occurrence = self._by_node.get(owner)
        return self._self_variables.get(occurrence.variable) if occurrence else None

    def _family_around(self, scope: Scope | None) -> _Family | None:
        while scope is not None:
            if isinstance(scope.node, ast.ClassDef):
                return self.families[scope.node]
            scope = scope.parent
        return None

    def _sort_class_names(self) -> None:
        """Methods and class variables: names in class bodies."""
        for occurrence in self._occurrences:
            owner = occurrence.variable.owner
            if owner is None or not isinstance(owner.node, ast.ClassDef):
                continue
            family = self.families[owner.node]
            family.bound[occurrence.name].append(occurrence)
            if isinstance(occurrence.node, ast.alias):
                self.read_elsewhere.add(occurrence.name)
            elif occurrence.binder is not None:
                family.methods.setdefault(occurrence.name)


def _rename_family(family: _Family, pinned: set[str]) -> None:
    names = [*family.definitions, *(name for name in family.methods if name not in family.definitions)]
    free = [name for name in names if name not in pinned and not name.startswith("__")]
    for name in free:
        _set_name(family, name, "_")
    given: dict[str, str] = {}
    counts: dict[str, int] = defaultdict(int)
    for name in free:
        stem = _stem(family, name)
        given[name] = f"{stem}{counts[stem]}"
        counts[stem] += 1
    for name, new in given.items():
        _set_name(family, name, new)


def _stem(family: _Family, name: str) -> str:
    """Named for its definition, in which variables and other attributes count as blanks."""
    if name in family.methods:
        return "m"
    definition = family.definitions[name]
    text = VARIABLE.sub("_", ast.unparse(definition)) if definition is not None else ""
    return f"a_{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}_"


def _set_name(family: _Family, name: str, new: str) -> None:
    for node in family.reads[name]:
        node.attr = new
    for occurrence in family.bound[name]:
        occurrence.rename(new)


def _is_static(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in method.decorator_list)


def _words_in_strings(nodes: Sequence[ast.AST]) -> set[str]:
    strings = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {word for string in strings for word in WORD.findall(string)}


def _reads_attributes_by_name(nodes: Sequence[ast.AST], occurrences: Sequence[Occurrence]) -> bool:
    """Whether some attribute is looked up by a name that is computed."""
    if any(o.name in NAMESPACE_ATTRIBUTES for o in occurrences):
        return True
    builtins = {o.node for o in occurrences if o.name in ATTRIBUTE_READERS and o.variable.owner is None}
    plain = {
        node.func
        for node in nodes
        if isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
    }
    return bool(builtins - plain) or any(
        isinstance(node, ast.Attribute) and node.attr in NAMESPACE_ATTRIBUTES for node in nodes
    )
