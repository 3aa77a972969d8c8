"""Environment of processes that reconstruct."""

from __future__ import annotations

#: OpenBLAS, MKL and OpenMP get one thread each: a process that forks must have none of theirs; and
#: the chains' many small products are up to five times slower when each is shared out among threads
#: that spin while they wait. Gadgets use threads where it pays: in FFTs, over batches.
NUMERIC_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # One heap for all threads: a session's peak memory is a tenth to a fifth lower, its time same.
    "MALLOC_ARENA_MAX": "1",
    # Buffers of a batch come and go; from the heap they cost no page faults each time. GRAPPA and
    # FFT chains took a tenth to a sixth longer without, and no less memory.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
