"""`python -m deltanas` is the command `deltanas`; a server in the background is started this way."""

from deltanas.cli import main

main()
