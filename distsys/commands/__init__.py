"""Commands of the command line that need no experiment, and how all of them print."""
