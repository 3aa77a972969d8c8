import pytest

from elastron.blobs.memory import MemoryBlobStore
from elastron.blobs.port import BlobKey, BlobStore

KEY = BlobKey("subject", "noise", device="scanner", session="study", tags={"measurement": "1"})


def test_the_newest_is_found():
    store: BlobStore = MemoryBlobStore()
    assert store.latest(KEY) is None
    store.store(KEY, b"old", ttl_s=10)
    store.store(KEY, b"new", ttl_s=10)
    assert store.latest(KEY) == b"new"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (BlobKey("subject", "noise"), True),
        (BlobKey("subject", "noise", device="scanner"), True),
        (BlobKey("subject", "noise", device="other"), False),
        (BlobKey("subject", "noise", session="other"), False),
        (BlobKey("other", "noise"), False),
        (BlobKey("subject", "other"), False),
        (BlobKey("subject", "noise", tags={"measurement": "1"}), True),
        (BlobKey("subject", "noise", tags={"measurement": "2"}), False),
        (BlobKey("subject", "noise", tags={"other": "1"}), False),
    ],
)
def test_all_tags_asked_for_must_be_there(asked, found):
    store = MemoryBlobStore()
    store.store(KEY, b"data", ttl_s=10)
    assert (store.latest(asked) is not None) is found


def test_blobs_expire():
    now = 0.0
    store = MemoryBlobStore(clock=lambda: now)
    store.store(KEY, b"data", ttl_s=10)
    now = 9.9
    assert store.latest(KEY) == b"data"
    now = 10.0
    assert store.latest(KEY) is None
