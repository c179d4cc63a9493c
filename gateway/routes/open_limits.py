"""How the API refuses more jobs of a kind than may be open at a time."""

from gateway.routes.problems import RequestProblem

RETRY_SECONDS = 60


def too_many_open(code: str, jobs: str, most: int, remedy: str) -> RequestProblem:
    """429 in words: `most` of the `jobs`, such as `smoke runs`, have not ended."""
    return RequestProblem(
        429,
        code,
        f"{most} {jobs} have not ended yet; no more may be open.",
        remedy=remedy,
        headers={"retry-after": str(RETRY_SECONDS)},
    )
