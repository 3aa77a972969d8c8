from __future__ import annotations

import base64
import os
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from elastron.access.keyring import KeyFile, Keyring, client_names, new_secret
from elastron.errors import ConfigError
from elastron.service.psk import parse_keys, render_keys, retiring_file, tenant_name

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECRET = "4ZYJY+HoIX1xxZM563VpppejPJNQ4S4Z"  # noqa: S105 - the one in the original's README


def test_keys_are_as_the_original_s_script_makes_them() -> None:
    ring, fresh = Keyring().create(client_names(10))
    assert fresh == [f"client{n}" for n in range(1, 11)]
    for identity, key in ring.keys.items():
        assert len(base64.b64decode(key.secret, validate=True)) == 24
        assert render_keys([key]) == f"{identity}:{key.secret}\n"
        assert key.key == key.secret.encode()
    assert len({key.secret for key in ring.keys.values()}) == 10


def test_creating_again_keeps_what_there_is() -> None:
    ring, _ = Keyring().create(["a"])
    again, fresh = ring.create(["a", "b"])
    assert fresh == ["b"]
    assert again.keys["a"] == ring.keys["a"]
    rotated, _ = again.rotate("a", NOW)
    pruned, _ = rotated.prune(NOW)
    assert list(pruned.keys) == ["b", "a@2"]
    assert pruned.create(["a"]) == (pruned, [])  # its second key is a key


def test_a_site_s_own_key() -> None:
    assert Keyring().add("a", SECRET).keys["a"].secret == SECRET
    for secret, problem in (
        ("short", "a: a key has 16 to 256 bytes, this one 5"),
        (f"{SECRET}\nb:{SECRET}", "a: the key is more than one line"),
    ):
        with pytest.raises(ConfigError, match=problem) as caught:
            Keyring().add("a", secret)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a@2", "../a", "-a", "a\n", "x" * 64])
def test_names_no_site_can_have(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a site's name"):
        Keyring().add(name)


def test_a_site_has_one_key_unless_it_rotates() -> None:
    with pytest.raises(ConfigError, match="a has a key already"):
        Keyring().add("a").add("a")


def test_rotation_overlaps() -> None:
    ring = Keyring().add("a").add("b")
    ring, identity = ring.rotate("a", NOW + DAY)
    assert identity == "a@2"
    assert ring.current("a").identity == "a@2"
    assert ring.of_site("a") == ["a", "a@2"]
    assert ring.ends == {"a": NOW + DAY}
    ring, identity = ring.rotate("a", NOW + 5 * DAY)
    assert identity == "a@3"
    assert ring.ends == {"a": NOW + DAY, "a@2": NOW + 5 * DAY}  # a's end does not move away
    ring, gone = ring.prune(NOW + DAY)
    assert gone == ["a"]
    assert list(ring.keys) == ["b", "a@2", "a@3"]
    assert ring.ends == {"a@2": NOW + 5 * DAY}


def test_revoking_a_site_or_one_of_its_keys() -> None:
    ring, _ = Keyring().add("a").add("b").rotate("a", NOW)
    one, gone = ring.revoke("a@2")
    assert gone == ["a@2"]
    assert set(one.keys) == {"a", "b"}
    site, gone = ring.revoke("a")
    assert gone == ["a", "a@2"]
    assert set(site.keys) == {"b"}
    assert site.ends == {}
    for name in ("c", "a@7"):
        with pytest.raises(ConfigError, match="neither a site nor an identity"):
            ring.revoke(name)


def test_a_revoked_site_that_comes_back_is_not_held_to_an_old_end() -> None:
    ring = Keyring({}, {"a": NOW}).add("a")
    assert ring.ends == {}
    assert ring.prune(NOW) == (ring, [])


def test_unknown_sites() -> None:
    for attempt in (Keyring().current, lambda site: Keyring().rotate(site, NOW)):
        with pytest.raises(ConfigError, match="There is no key for 'a'"):
            attempt("a")


class Changes(RuleBasedStateMachine):
    """Whatever is done in whatever order, a site keeps a key until it is revoked."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = Keyring()
        self.now = NOW
        self.sites: set[str] = set()

    @rule(site=st.sampled_from("abc"))
    def create(self, site: str) -> None:
        self.ring, _ = self.ring.create([site])
        self.sites.add(site)

    @precondition(lambda self: self.sites)
    @rule(data=st.data(), days=st.integers(0, 3))
    def rotate(self, data: st.DataObject, days: int) -> None:
        site = data.draw(st.sampled_from(sorted(self.sites)))
        before = self.ring.current(site)
        self.ring, identity = self.ring.rotate(site, self.now + days * DAY)
        assert self.ring.keys[identity].secret != before.secret
        assert self.ring.ends[before.identity] <= self.now + days * DAY

    @precondition(lambda self: self.sites)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        site = data.draw(st.sampled_from(sorted(self.sites)))
        self.ring, _ = self.ring.revoke(site)
        self.sites.remove(site)

    @rule(days=st.integers(0, 2))
    def time_passes(self, days: int) -> None:
        self.now += days * DAY
        self.ring, _ = self.ring.prune(self.now)
        assert all(end > self.now for end in self.ring.ends.values())

    @invariant()
    def every_site_has_a_key_without_an_end(self) -> None:
        assert {tenant_name(identity) for identity in self.ring.keys} == self.sites
        for site in self.sites:
            assert self.ring.current(site).identity not in self.ring.ends

    @invariant()
    def it_can_be_written_and_read(self) -> None:
        assert parse_keys(render_keys(self.ring.keys.values())) == self.ring.keys


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=40, stateful_step_count=20)


# --- files --------------------------------------------------------------------------------------


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "stunnel.secrets")
    file.path.write_text("")
    file.path.chmod(0o644)  # made by somebody careless
    old = os.umask(0)
    try:
        with file.change() as change:
            change.ring, _ = Keyring().add("a").rotate("a", NOW)
    finally:
        os.umask(old)
    for path in (file.path, retiring_file(file.path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert file.load() == change.ring
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "stunnel.secrets", "stunnel.secrets.retiring"
    ]  # fmt: skip
    file.save(file.load().prune(NOW)[0])
    assert not retiring_file(file.path).exists()


def test_nothing_is_written_when_nothing_changes_or_something_fails(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "stunnel.secrets")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        file.load()
    with file.change(missing_ok=True) as change:
        assert change.ring == Keyring()
    assert not file.path.exists()

    def fail() -> None:
        with file.change(missing_ok=True) as change:
            change.ring = change.ring.add("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not file.path.exists()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    real.write_text(f"a:{SECRET}\n")
    link = tmp_path / "stunnel.secrets"
    link.symlink_to(real)
    with KeyFile(link).change() as change:
        change.ring = change.ring.add("b")
    assert link.is_symlink()
    assert list(KeyFile(real).load().keys) == ["a", "b"]


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "stunnel.secrets"

    def add(name: str) -> None:
        with KeyFile(path).change(missing_ok=True) as change:
            change.ring = change.ring.add(name)

    threads = [threading.Thread(target=add, args=(f"site{n}",)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeyFile(path).load().keys) == 20


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "stunnel.secrets"
    path.write_text("nonsense\n")
    with pytest.raises(ConfigError, match=r"stunnel\.secrets: line 1 is not identity:key"):
        KeyFile(path).load()
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not text in UTF-8"):
        KeyFile(path).load()
    path.write_bytes(b"x" * (1 << 21))
    with pytest.raises(ConfigError, match="is it the right file"):
        KeyFile(path).load()
    with pytest.raises(ConfigError, match="No such file"):
        KeyFile(tmp_path / "absent" / "x").save(Keyring())
    with pytest.raises(ConfigError, match="No such file"), KeyFile(tmp_path / "absent/x").change():
        pass


def test_secrets_differ() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
