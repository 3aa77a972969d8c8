"""Coverage-guided fuzzing: `python -m fuzz decoder|framer|header|meta CORPUS [libFuzzer options]`.

Run from `tests/`, in an environment with Elastron and atheris (`pip install atheris`), e.g.
`python -m fuzz decoder /tmp/corpus -max_total_time=300 -max_len=4096`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # pyright: ignore[reportMissingImports]

with atheris.instrument_imports(include=["elastron.wire", "elastron.mrd", "defusedxml"]):
    from .seeds import HEADER, meta, streams
    from .targets import check_decoder, check_framer, check_header, check_meta


def main() -> None:
    target, corpus = sys.argv[1], Path(sys.argv[2])
    corpus.mkdir(parents=True, exist_ok=True)
    check, seeds = {
        "decoder": (check_decoder, [bytes(2) + stream for stream in streams()]),
        "framer": (check_framer, [bytes(2) + stream for stream in streams()]),
        "header": (check_header, [HEADER]),
        "meta": (check_meta, [meta().to_xml()]),
    }[target]
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], str(corpus), *sys.argv[3:]], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
