"""The words the services exchange: enums, frozen dataclasses and the rules about sources.

Standard library only, so that the sandbox's guest can use them too. Nothing here does I/O.
"""
