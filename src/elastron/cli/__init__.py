"""Commands and settings; the only room that wires the others together."""


def main() -> None:
    """Run the command `elastron`."""
