"""argparse whose complaints look like every other error here, and name the option that was meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from distsys.errors import UsageError, did_you_mean


class Parser(argparse.ArgumentParser):
    """Of the whole command line, of a command, and of what a domain is asked."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse's; a mistyped option is told before what is missing for want of it."""
        given = sys.argv[1:] if args is None else list(args)
        self._require_known(given)
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, fix=f"see '{self.prog} --help'")

    def _require_known(self, given: Sequence[str]) -> None:
        """Raises UsageError at the first word that looks like an option and is none, of a parser without commands."""
        if any(action.nargs in (argparse.PARSER, argparse.REMAINDER) for action in self._actions):
            return
        known = list(self._option_string_actions)
        for word in given:
            name = word.split("=")[0]
            if name == "--":
                return
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                raise UsageError(f"{self.prog}: no option {name}", fix=self._meant(name))

    def _meant(self, name: str) -> str:
        positional = [action for action in self._actions if not action.option_strings]
        for action in positional:
            if did_you_mean(name.strip("-"), [action.dest]).startswith("did"):
                return f"give {action.metavar or action.dest} without an option before it"
        near = did_you_mean(name, [option for option in self._option_string_actions if option.startswith("--")])
        return near if near.startswith("did") else f"see '{self.prog} --help'"
