"""Attacks on the GPU. Each names its device; where there is none, the run says what was not tested."""

from sandbox_runner.specimens.specimen import Section

SECTION = Section("GPU", ())
