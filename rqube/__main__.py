"""`python -m rqube`: the command line."""

from rqube.cli import main

main()
