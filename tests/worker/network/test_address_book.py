import ipaddress
from pathlib import Path

from worker.network.address_book import AddressBook

SUBNET = ipaddress.IPv4Network("10.0.0.0/24")


def test_the_same_container_has_the_same_address_also_after_a_restart(tmp_path: Path) -> None:
    first = AddressBook(tmp_path / "addresses", SUBNET)
    address = first.give("one")
    assert first.give("one") == address
    second = AddressBook(tmp_path / "addresses", SUBNET)
    assert second.owners() == {"one"}
    assert second.give("one") == address
    assert second.give("two") != address


def test_an_address_taken_back_is_gone_from_disk(tmp_path: Path) -> None:
    book = AddressBook(tmp_path, SUBNET)
    book.give("one")
    book.take_back("one")
    book.take_back("one")
    assert AddressBook(tmp_path, SUBNET).owners() == set()


def test_what_is_of_another_subnet_or_unreadable_is_forgotten(tmp_path: Path) -> None:
    AddressBook(tmp_path, ipaddress.IPv4Network("10.9.0.0/24")).give("old")
    (tmp_path / "odd").symlink_to("not an address")
    (tmp_path / "file").write_text("neither")
    assert AddressBook(tmp_path, SUBNET).owners() == set()
    assert list(tmp_path.iterdir()) == []
