"""Commands and settings; the only room that wires the others together.

A command's own file holds its options and imports only what is light, so that `elastron --help`
and shell completion are quick; what it does is imported when it runs.
"""


def main() -> None:
    """Run the command `elastron`."""
    from elastron.cli.app import app  # noqa: PLC0415  - importing `elastron.cli` costs nothing

    app()
