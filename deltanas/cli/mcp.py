"""`deltanas mcp`: the tools of a search for an agent that speaks the Model Context Protocol."""

from deltanas.cli.connection import connected
from deltanas.errors import DeltanasError


def mcp() -> None:
    """Serve the tools of a search to an agent: Model Context Protocol on standard input and output.

    For the configuration of an agent: {"command": "deltanas", "args": ["mcp"]}.
    """
    try:
        from deltanas.mcp_server import serve
    except ModuleNotFoundError as error:
        raise DeltanasError(
            f"the Model Context Protocol's SDK is not installed ({error.name} is missing)",
            {"code": "mcp_not_installed", "remedy": "Install it: pip install 'deltanas[mcp]'."},
        ) from error
    with connected(need_ready=False, quiet=True) as client:
        serve(client)
