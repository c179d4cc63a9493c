"""The page at `/`: what has run and what runs, newest first, with links to reports and to the API."""

from typing import Any
from urllib.parse import quote

from gateway.dashboard.pages import render
from gateway.dashboard.wording import news_sentence

Json = dict[str, Any]


def render_home(searches: list[Json], evaluations: list[Json]) -> str:
    """The page, from the items of `/v1/searches` and `/v1/evaluations`."""
    return render(
        "home.html",
        searches=[
            {**search, "href": f"/v1/searches/{quote(search['id'], safe='')}", "news": news_sentence(search)}
            for search in searches
        ],
        evaluations=[
            {**evaluation, "href": f"/v1/evaluations/{quote(evaluation['id'], safe='')}"}
            for evaluation in evaluations
        ],
    )
