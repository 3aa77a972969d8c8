"""Says which command lines the real azure-cli understands; runs in azure-cli's own Python.

Reads a JSON list of argument lists (without the word `az`), writes a JSON list of the same length:
null, or what the parser said. Nothing is executed: parsing is where it ends.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile


class Parsed(BaseException):
    """The line was understood; no handler of errors in between sees it."""


def check(cli, arguments: list[str]) -> str | None:
    """None: understood; else what the parser said."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            cli.invocation = cli.invocation_cls(
                cli_ctx=cli,
                parser_cls=cli.parser_cls,
                commands_loader_cls=cli.commands_loader_cls,
                help_cls=cli.help_cls,
            )
            cli.invocation.execute(arguments)
    except Parsed:
        return None
    except SystemExit as end:
        return said.getvalue().strip() or f"exit {end.code}"
    except Exception as error:  # whatever it is, it is an answer
        return f"{type(error).__name__}: {error}"
    return f"was not parsed: {said.getvalue()}"


def main() -> None:
    """Check all lines of stdin."""
    from azure.cli.core import AzCli, MainCommandsLoader
    from azure.cli.core._help import AzCliHelp
    from azure.cli.core.commands import AzCliCommandInvoker
    from azure.cli.core.parser import AzCliCommandParser

    class Invoker(AzCliCommandInvoker):
        def _validate_arg_level(self, ns, **_):
            raise AssertionError("parsing is where it ends")

    class Parser(AzCliCommandParser):
        def parse_args(self, args=None, namespace=None):
            super().parse_args(args, namespace)
            raise Parsed

    lines = json.load(sys.stdin)
    answers = os.dup(1)  # whatever the cli prints goes elsewhere
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        cli = AzCli(
            cli_name="az",
            config_dir=folder,
            config_env_var_prefix="AZURE",
            commands_loader_cls=MainCommandsLoader,
            invocation_cls=Invoker,
            parser_cls=Parser,
            help_cls=AzCliHelp,
        )
        found = [check(cli, arguments) for arguments in lines]
    with os.fdopen(answers, "w") as out:
        json.dump(found, out)


if __name__ == "__main__":
    main()
