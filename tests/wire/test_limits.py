import dataclasses
import inspect

import pytest

from elastron.wire import Limits


def test_every_limit_has_its_reason() -> None:
    documented = inspect.getdoc(Limits).partition("Attributes:")[2]
    for field in dataclasses.fields(Limits):
        assert f"\n    {field.name}: " in documented, field.name
        assert field.default > 0


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="meta_bytes"):
        Limits(meta_bytes=-1)
