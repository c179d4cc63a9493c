"""Attacks through what is loaded: modules, pickles, files of weights."""

from sandbox_runner.specimens.specimen import Section, denied

SECTION = Section(
    "Supply chain",
    (denied("plants_modules", "Plants modules that a later import might pick up."),),
)
