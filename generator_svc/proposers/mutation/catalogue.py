"""Every operator with its default weight."""

from generator_svc.proposers.mutation.activations import activation_sites
from generator_svc.proposers.mutation.operators import Operator

OPERATORS = (Operator("activation", 3.0, activation_sites),)
