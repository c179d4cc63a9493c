"""For whose images a network's costs are counted, where a caller limits them: never in silence for none."""

from contracts.jobs import DatasetReport
from contracts.proposals import DataShape, DeploymentLimits
from gateway.routes.problems import RequestProblem


def limited_cost(limits: DeploymentLimits) -> str | None:
    """The first field that limits what a network costs; None where none does."""
    fields = ("max_parameters", "max_flops")
    return next((field for field in fields if getattr(limits, field) is not None), None)


def data_shape(dataset: DatasetReport, limits: DeploymentLimits) -> DataShape | None:
    """The shape of a data set. Raises RequestProblem where nobody says it and costs are limited."""
    if dataset.input_shape is not None and dataset.classes is not None:
        return DataShape(*dataset.input_shape, dataset.classes)
    limited = limited_cost(limits)
    if limited is None:
        return None
    raise RequestProblem(
        422,
        "costs_unknown",
        f"No host says which shape the images of {dataset.name!r} have: no costs can be counted.",
        field=f"deployment.{limited}",
        value=getattr(limits, limited),
        remedy=f"Leave deployment.{limited} out, or prepare the data set again.",
    )
