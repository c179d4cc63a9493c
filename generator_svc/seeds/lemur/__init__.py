"""LEMUR, the authors' dataset of networks (nn-dataset), read out of its wheel as data and never imported."""

from generator_svc.seeds.lemur.refusals import WheelRefused
from generator_svc.seeds.lemur.wheel import MAX_WHEEL_BYTES, LemurWheel, read_wheel

__all__ = ["MAX_WHEEL_BYTES", "LemurWheel", "WheelRefused", "read_wheel"]
