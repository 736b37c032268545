import io
import logging

import pytest

from common.log import MAX_VALUE_CHARACTERS, LogfmtFormatter, set_up_logging


def line(message: str, **extra: object) -> str:
    record = logging.makeLogRecord(
        {"name": "swarmd", "levelno": 30, "levelname": "WARNING", "msg": message} | extra
    )
    record.created = 1.5
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogfmtFormatter())
    handler.emit(record)
    return stream.getvalue()


CASES = {
    "a plain word": ({"msg": "up"}, "msg=up\n"),
    "words": ({"msg": "a b"}, 'msg="a b"\n'),
    "what would end the line": ({"msg": 'a\n"b"=\\'}, 'msg="a\\n\\"b\\"=\\\\"\n'),
    "extra fields": ({"msg": "up", "node": "n1", "n": 3}, "msg=up node=n1 n=3\n"),
}


@pytest.mark.parametrize(("fields", "expected"), CASES.values(), ids=CASES)
def test_writes(fields: dict[str, object], expected: str) -> None:
    message = str(fields.pop("msg"))
    assert (
        line(message, **fields)
        == "time=1970-01-01T00:00:01.500000000Z level=warn logger=swarmd " + expected
    )


def test_a_value_from_outside_cannot_flood_the_log() -> None:
    assert len(line("x" * 1_000_000)) < MAX_VALUE_CHARACTERS + 200


def test_libraries_tell_of_warnings_only_whatever_levels_they_set_themselves() -> None:
    stream, root = io.StringIO(), logging.getLogger()
    before, level = root.handlers[:], root.level
    noisy = logging.getLogger("pyroute2.netlink.core")
    try:
        set_up_logging("debug", stream)
        noisy.setLevel(logging.DEBUG)
        noisy.debug("every packet")
        noisy.warning("something odd")
        logging.getLogger("swarmd").debug("ours")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        noisy.setLevel(logging.NOTSET)
    assert "every packet" not in stream.getvalue()
    assert "something odd" in stream.getvalue()
    assert "msg=ours" in stream.getvalue()
