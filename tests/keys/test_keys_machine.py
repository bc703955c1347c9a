"""Any order of calls, with restarts: no bit comes out twice or wrong, and the books balance."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from keys_cases import NOW, key_bytes

from satqkd.errors import KeyStoreError
from satqkd.keys import KeyRange, KeyStore, Spent

OFFSETS = st.integers(0, 40).map(lambda n: 8 * n)
LENGTHS = st.integers(1, 24).map(lambda n: 8 * n)


class StoreMachine(RuleBasedStateMachine):
    """A store against a plain record of every bit that came out of it."""

    blocks = Bundle("blocks")

    @initialize()
    def start(self) -> None:
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.store = KeyStore.create(Path(self.folder.name) / "node.db", "node")
        self.keys: dict[str, bytes] = {}
        self.given: set[tuple[str, int]] = set()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    @rule(
        target=blocks,
        n_bytes=st.integers(1, 40),
        kind=st.sampled_from(["auth", "link", "pair"]),
        ours=st.booleans(),
        state=st.sampled_from(["unconfirmed", "confirmed"]),
    )
    def add(self, n_bytes: int, kind: str, ours: bool, state: str) -> str:
        block_id = f"b{len(self.keys)}"
        self.keys[block_id] = key_bytes(n_bytes, block_id)
        allocator = ("node" if ours else "peer") if kind == "link" else None
        self.store.add_block(
            block_id,
            peer="peer",
            kind=kind,  # type: ignore[arg-type]
            origin="hardware",
            key=self.keys[block_id],
            state=state,  # type: ignore[arg-type]
            allocator=allocator,
            now_utc=NOW,
        )
        return block_id

    @rule(block_id=blocks, discard=st.booleans())
    def settle(self, block_id: str, discard: bool) -> None:
        try:
            (self.store.discard_block if discard else self.store.confirm_block)(block_id)
        except KeyStoreError:
            assert not discard

    @rule(kind=st.sampled_from(["link", "pair"]), bits=LENGTHS)
    def spend(self, kind: str, bits: int) -> None:
        try:
            spent = self.store.spend("peer", kind, bits, purpose="x", reference="")  # type: ignore[arg-type]
        except KeyStoreError:
            return
        self.record(spent, bits)

    @rule(kind=st.sampled_from(["link", "pair"]), block_id=blocks, offset=OFFSETS, bits=LENGTHS)
    def spend_at(self, kind: str, block_id: str, offset: int, bits: int) -> None:
        ranges = (KeyRange(block_id, offset, bits),)
        try:
            spent = self.store.spend_at("peer", kind, ranges, purpose="x", reference="")  # type: ignore[arg-type]
        except KeyStoreError:
            return
        self.record(spent, bits)

    @rule(position=OFFSETS, bits=LENGTHS)
    def draw(self, position: int, bits: int) -> None:
        try:
            spent = self.store.draw_auth("peer", position_bits=position, bits=bits, purpose="x")
        except KeyStoreError:
            return
        self.record(spent, bits)

    @rule(position=OFFSETS)
    def skip(self, position: int) -> None:
        before = self.store.auth_position("peer")
        try:
            self.store.skip_auth_to("peer", position)
        except KeyStoreError:
            return
        assert self.store.auth_position("peer") >= before

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = KeyStore.open(self.store.path, node_id="node")

    def record(self, spent: Spent, bits: int) -> None:
        assert sum(piece.length_bits for piece in spent.ranges) == bits
        expected = b"".join(
            self.keys[piece.block_id][piece.offset_bits // 8 : piece.end_bits // 8] for piece in spent.ranges
        )
        assert bytes(spent.key.expose()) == expected
        taken = {
            (piece.block_id, i) for piece in spent.ranges for i in range(piece.offset_bits, piece.end_bits)
        }
        assert len(taken) == bits
        assert not taken & self.given
        self.given |= taken

    @invariant()
    def books_balance(self) -> None:
        if hasattr(self, "store"):
            report = self.store.check()
            assert report.balanced, report.faults
            assert report.distilled_bits == 8 * sum(map(len, self.keys.values()))
            assert report.spent_bits >= len(self.given)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
