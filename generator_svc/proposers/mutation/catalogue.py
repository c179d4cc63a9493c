"""Every operator with its default weight."""

from generator_svc.proposers.mutation.activations import activation_sites
from generator_svc.proposers.mutation.attention import attention_sites
from generator_svc.proposers.mutation.convolutions import (
    dilation_sites,
    grouping_sites,
    kernel_sites,
    stride_sites,
)
from generator_svc.proposers.mutation.depth import insertion_sites, removal_sites, repeat_sites
from generator_svc.proposers.mutation.dropouts import dropout_sites, rate_sites
from generator_svc.proposers.mutation.normalisation import normalisation_sites
from generator_svc.proposers.mutation.operators import Operator
from generator_svc.proposers.mutation.poolings import pooling_sites
from generator_svc.proposers.mutation.residuals import residual_sites
from generator_svc.proposers.mutation.training import training_sites
from generator_svc.proposers.mutation.widths import factor_sites, head_sites, width_sites

OPERATORS = (
    Operator("width", 5.0, width_sites),
    Operator("factor", 1.5, factor_sites),
    Operator("heads", 1.0, head_sites),
    Operator("kernel", 3.0, kernel_sites),
    Operator("stride", 1.5, stride_sites),
    Operator("dilation", 1.0, dilation_sites),
    Operator("grouping", 1.0, grouping_sites),
    Operator("activation", 3.0, activation_sites, needs_proof=False),
    Operator("normalisation", 2.0, normalisation_sites, never_with=("block_removed",)),
    Operator("repeats", 1.5, repeat_sites),
    Operator("block_inserted", 2.5, insertion_sites, never_with=("block_removed",)),
    Operator(
        "block_removed",
        0.75,
        removal_sites,
        never_with=("block_inserted", "residual", "attention", "normalisation"),
    ),
    Operator("residual", 2.0, residual_sites, never_with=("block_removed",)),
    Operator("attention", 2.0, attention_sites, never_with=("block_removed",)),
    Operator("pooling", 1.5, pooling_sites),
    Operator("dropout", 1.5, dropout_sites),
    Operator("dropout_rate", 1.0, rate_sites, needs_proof=False),
    Operator("training", 4.0, training_sites, needs_proof=False),
)
