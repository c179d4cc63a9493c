"""`/`: what has run and what runs, as a page for people."""

from fastapi import APIRouter
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse

from gateway.dashboard.home import render_home
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.schemas.evaluation_document import evaluation_document

router = APIRouter(include_in_schema=False)

_SHOWN = 30
# The page quotes names that users chose: even if its escaping failed, nothing in it could run or load.
_POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}


@router.get("/", response_class=HTMLResponse)
def front_page(services: ServicesOf, tenant: Tenant) -> HTMLResponse:
    """The newest searches and evaluations, with links to reports."""
    searches, _ = services.searches.page(tenant, _SHOWN, None)
    evaluations = services.evaluations.page(tenant, limit=_SHOWN).items
    page = render_home(
        jsonable_encoder(searches), [jsonable_encoder(evaluation_document(record)) for record in evaluations]
    )
    return HTMLResponse(page, headers=_POLICY)
