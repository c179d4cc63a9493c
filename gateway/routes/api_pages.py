"""`/docs`: the API as a page to read and try, whole without internet.

The viewer is Swagger UI, as fastapi-offline ships it; FastAPI's own page would load it from a stranger's
server. The page has no script of its own in it, so that its policy can forbid every other one.
"""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from gateway.routes.problems import RequestProblem

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>deltanas API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<noscript>This page needs JavaScript; <a href="/openapi.json">/openapi.json</a> says the same.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""
# Swagger UI styles its elements in place and draws its icons from data: URLs; all else is of this server.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KINDS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_KEPT = {"cache-control": "max-age=3600", "x-content-type-options": "nosniff"}


@router.get("/docs", response_class=HTMLResponse)
def docs_page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE, headers={"content-security-policy": _POLICY})


@router.get("/docs/{name}")
def docs_asset(name: str) -> Response:
    """What the page loads."""
    if name == "start.js":
        return Response(_START, headers=_KEPT, media_type="text/javascript")
    if name not in _KINDS:
        raise RequestProblem(404, "not_found", f"/docs has no part {name[:60]!r}.")
    return Response(_asset(name), headers=_KEPT, media_type=_KINDS[name])


@cache
def _asset(name: str) -> bytes:
    return (files("fastapi_offline") / "static" / name).read_bytes()
