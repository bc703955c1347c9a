"""The pages tell what the couriers say, and the bytes are those of the page."""

import msgspec

from documentation import page, undocumented_messages
from satqkd.keys.traffic import Parcel
from satqkd.mission import courier_messages
from satqkd.mission.courier_messages import CourierMessage, Custody, Whole, encode


def test_every_message_and_its_fields_in_order_are_documented() -> None:
    found = [each for each in vars(courier_messages).values() if isinstance(each, type)]
    messages = [each for each in found if issubclass(each, CourierMessage) and each is not CourierMessage]
    assert set(messages) == set(courier_messages.AnyCourierMessage.__args__)
    assert undocumented_messages(messages, page("protocol.md")) == []


def test_the_bytes_are_the_arrays_of_the_page() -> None:
    parcel = Parcel("message", "beijing", "stellenbosch", 7)
    name = ["message", "beijing", "stellenbosch", 7]
    assert msgspec.msgpack.decode(encode(Custody(parcel, 5, True))) == [1, ["Custody", name, 5, True]]
    assert msgspec.msgpack.decode(encode(Whole(parcel, False, b"x"))) == [1, ["Whole", name, False, b"x"]]


def test_caps_and_reasons_are_on_the_pages() -> None:
    text = page("protocol.md") + page("traffic.md")
    for reason in courier_messages.Reason.__args__:
        assert f"`{reason}`" in text
    assert courier_messages.CHUNK_BYTES == 32_768 and "32 768 bytes" in text
