"""`python -m satqkd`: the command line."""

from satqkd.cli import main

main()
