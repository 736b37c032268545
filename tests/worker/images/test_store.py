"""Archives in, images out; and after anything hostile, nothing has changed."""

import gzip
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from common.clock import SystemClock
from common.errors import ConflictError, InvalidInputError, NotFoundError
from common.events import EventLog
from tests.support.archives import (
    chunks,
    digest,
    directory,
    docker_archive,
    entry,
    file,
    hardlink,
    symlink,
    tar,
)
from worker.images.limits import Limits
from worker.images.reference import parse_reference
from worker.images.shelf import Shelf
from worker.images.store import ImageStore

LIMITS = Limits(layer_bytes=1_000_000, layer_entries=50, archive_bytes=2_000_000)
LAYER = tar(directory("etc"), file("etc/greeting", b"hello"), hardlink("etc/again", "etc/greeting"))
TOP = tar(file("etc/greeting", b"good day"))


async def store_in(root: Path) -> ImageStore:
    clock = SystemClock()
    shelf = Shelf(str(root), LIMITS, flush=lambda _path: None)
    store = ImageStore(str(root), clock, EventLog(clock), limits=LIMITS, shelf=shelf)
    await store.open()
    return store


@pytest.fixture
async def store(tmp_path: Path) -> ImageStore:
    return await store_in(tmp_path / "images")


def tree(root: Path) -> list[tuple[str, bytes]]:
    found = []
    for path in sorted(root.rglob("*")):
        content = os.fsencode(path.readlink()) if path.is_symlink() else b""
        name = str(path.relative_to(root))
        found.append((name, content or (path.read_bytes() if path.is_file() else b"")))
    return found


async def test_an_image_is_loaded_and_found_under_its_names_and_its_id(store: ImageStore) -> None:
    config = {"Cmd": ["serve"], "Env": ["A=1"], "WorkingDir": "/srv", "User": "web"}

    loaded = await store.load(chunks(docker_archive([LAYER, TOP], config=config)))

    image = store.resolve("hello:1")
    assert [(item.id, [name.familiar for name in item.names]) for item in loaded] == [
        (image.id, ["hello:1"])
    ]
    assert image == store.resolve(image.id)
    assert image == store.resolve(image.id[7:19])
    assert (image.cmd, image.env) == (("serve",), ("A=1",))
    assert (image.working_dir, image.user) == ("/srv", "web")
    assert [tree(Path(layer))[-1] for layer in image.layers] == [
        ("etc/greeting", b"good day"),
        ("etc/greeting", b"hello"),
    ]
    assert store.inspect("hello:1").stored.size_bytes == len("hello" + "good day")


async def test_images_share_layers_and_survive_a_restart(store: ImageStore, tmp_path: Path) -> None:
    await store.load(chunks(docker_archive([LAYER], tags=["one"])))
    await store.load(chunks(docker_archive([LAYER, TOP], tags=["two"])))

    again = await store_in(tmp_path / "images")

    assert len(list((tmp_path / "images/layers").iterdir())) == 2
    assert again.resolve("one").layers == again.resolve("two").layers[1:]


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: data])
async def test_compressed_layers_and_archives_are_the_same_image(
    store: ImageStore, pack: Callable[[bytes], bytes]
) -> None:
    plain_id = (await store.load(chunks(docker_archive([LAYER]))))[0].id

    packed = docker_archive([LAYER], compressed=[pack(LAYER)])

    assert (await store.load(chunks(pack(packed))))[0].id == plain_id


async def test_importing_a_tar_makes_a_one_layer_image_with_the_changes(store: ImageStore) -> None:
    changes = ['CMD ["httpd", "-f"]', "ENV A=1", "EXPOSE 80"]

    image_id = await store.import_(chunks(LAYER), name=parse_reference("site"), changes=changes)

    image = store.inspect("site:latest")
    assert (image.id, image.config.diff_ids) == (image_id, (digest(LAYER),))
    assert image.config.settings == {
        "Cmd": ["httpd", "-f"],
        "Env": ["A=1"],
        "ExposedPorts": {"80/tcp": {}},
    }


async def _import(store: ImageStore, layer: bytes) -> None:
    await store.import_(chunks(layer), name=parse_reference("evil"))


async def _load(store: ImageStore, layer: bytes) -> None:
    await store.load(chunks(docker_archive([TOP, layer], tags=["good", "evil"])))


async def _load_compressed(store: ImageStore, layer: bytes) -> None:
    await store.load(chunks(docker_archive([layer], compressed=[gzip.compress(layer)])))


WAYS = {"import": _import, "load": _load, "load compressed": _load_compressed}
TRUSTED = {"SCHILY.xattr.trusted.overlay.redirect": "/"}
HOSTILE_LAYERS = {
    "a path above the root": ([file("../evil")], "leads out of the image"),
    "a path that climbs out in the middle": ([file("a/../../evil")], "leads out of the image"),
    "an absolute path": ([file("/etc/evil")], "is an absolute path"),
    "a character device": ([entry("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3)], "is a device node"),
    "a block device": ([entry("disk", kind=tarfile.BLKTYPE, devmajor=8)], "is a device node"),
    "a hard link above the root": ([hardlink("a", "../../etc/passwd")], "leads out of the image"),
    "an absolute hard link": ([hardlink("a", "/etc/passwd")], "is an absolute path"),
    "a hard link to what is not in the layer": ([hardlink("a", "etc/passwd")], "not in this layer"),
    "a symlink above the root": ([symlink("a/b", "../../etc")], "leads out of the image"),
    "a write through a symlink to outside": ([symlink("a", "/outside"), file("a/evil")], "a/evil"),
    "a hard link through a symlink": ([symlink("a", "/outside"), hardlink("b", "a/secret")], "not in this layer"),
    "a file below a file": ([file("a"), file("a/b")], "a/b"),
    "a trusted attribute": ([entry("d", kind=tarfile.DIRTYPE, pax_headers=TRUSTED)], "sets the attribute"),
    "a whiteout of the parent": ([file(".wh...", b"")], "hides nothing"),
    "too many entries": ([file(f"f{number}") for number in range(51)], "more than 50 entries"),
    "too many bytes": ([file("zeros", bytes(1_000_001))], "more than 1000000 bytes"),
    "an owner beyond 32 bits": ([entry("a", uid=2**40)], "has owner"),
    "a modification time beyond reason": ([entry("a", mtime=10**15)], "modification time"),
    "a path of 5,000 bytes": ([file("/".join(["d" * 99] * 50))], "too long"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", HOSTILE_LAYERS)
async def test_a_hostile_layer_is_refused_and_nothing_changes(
    store: ImageStore, tmp_path: Path, name: str, way: str
) -> None:
    entries, reason = HOSTILE_LAYERS[name]
    await store.load(chunks(docker_archive([LAYER], tags=["good"])))
    before, layer = tree(tmp_path), tar(*entries)

    with pytest.raises(InvalidInputError, match=reason):
        await WAYS[way](store, layer)

    assert tree(tmp_path) == before
    assert tree(Path("/outside")) == []


HUGE_HEADER = entry("pax", kind=tarfile.XHDTYPE)[0]
HUGE_HEADER.size = 2**32
LAYERS_MISSING = tar(file("c", b"{}"), file("manifest.json", b'[{"Config": "c", "Layers": ["l"]}]'))
GZIP_BOMB = gzip.compress(LAYER + bytes(2_000_000))
ARCHIVES = {
    "is empty": (b"", "invalid archive"),
    "is not a tar": (b"hello" * 1000, "invalid archive"),
    "has no manifest": (tar(file("readme")), "neither manifest.json nor index.json"),
    "is truncated in a layer": (docker_archive([LAYER])[:4000], "unexpected end of data"),
    "is truncated after an entry": (tar(file("manifest.json", b"[]"))[:1024], "unexpected end of data"),
    "is a truncated gzip": (gzip.compress(docker_archive([LAYER]))[:-20], "invalid archive"),
    "has a damaged gzip": (gzip.compress(docker_archive([LAYER]))[:200] + b"x" * 300, "invalid archive"),
    "names a layer it does not have": (LAYERS_MISSING, "'l' is missing"),
    "has a layer of another digest": (docker_archive([LAYER], diff_ids=[digest(b"x")]), "has the digest"),
    "has a truncated layer": (docker_archive([LAYER], compressed=[LAYER[:2000]]), "invalid archive"),
    "has a layer that is no tar": (docker_archive([LAYER], compressed=[b"x" * 3000]), "invalid archive"),
    "has a config that is none": (docker_archive([LAYER], config={"Env": "A"}), "Env is not a list of strings"),
    "has other layers": (docker_archive([LAYER], diff_ids=[digest(LAYER)] * 2), "names 2 layers, the manifest 1"),
    "has a name that is no name": (docker_archive([LAYER], tags=["Hello:1"]), "must be lowercase"),
    "has an absolute path": (tar(file("/manifest.json")), "is an absolute path"),
    "climbs out": (tar(file("../manifest.json")), "leads out of the image"),
    "has a device": (tar(entry("d", kind=tarfile.CHRTYPE)), "is a device node"),
    "has a link that climbs out": (tar(symlink("manifest.json", "../passwd")), "leads out of the image"),
    "has a manifest that is its own link": (tar(symlink("manifest.json", "manifest.json")), "neither"),
    "has a pax header of 4 GiB": (HUGE_HEADER.tobuf(tarfile.GNU_FORMAT) + bytes(2048), "a header of 4294967296 bytes"),
    "is a gzip bomb": (gzip.compress(bytes(3_000_000)), "more than 2000000 bytes"),
    "has a gzip bomb for a layer": (docker_archive([LAYER], compressed=[GZIP_BOMB]), "more than 1000000 bytes"),
    "has JSON too deep": (tar(file("manifest.json", b"[" * 100_000)), "not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
async def test_an_archive_is_refused_and_nothing_changes_when_it(
    store: ImageStore, tmp_path: Path, name: str
) -> None:
    data, reason = ARCHIVES[name]
    before = tree(tmp_path)

    with pytest.raises(InvalidInputError, match=reason):
        await store.load(chunks(data))

    assert tree(tmp_path) == before


@pytest.mark.parametrize("cut", [600, 1024, 1300, 2048])
async def test_a_truncated_tar_is_not_imported(store: ImageStore, tmp_path: Path, cut: int) -> None:
    before = tree(tmp_path)

    with pytest.raises(InvalidInputError, match="invalid archive"):
        await store.import_(chunks(LAYER[:cut]), name=None)

    assert tree(tmp_path) == before


async def test_the_last_name_takes_the_image_and_the_layers_that_only_it_needs(
    store: ImageStore, tmp_path: Path
) -> None:
    await store.load(chunks(docker_archive([LAYER], tags=["one:1"])))
    await store.load(chunks(docker_archive([LAYER, TOP], tags=["two:1"])))
    await store.tag("two:1", parse_reference("alias"))

    first = await store.remove("two:1", force=False, is_running=lambda _id: False)
    second = await store.remove("alias", force=False, is_running=lambda _id: False)

    assert [item.untagged for item in first] == ["two:1"]
    assert [bool(item.deleted) for item in second] == [False, True]
    left = [path.name for path in (tmp_path / "images/layers").iterdir()]
    assert left == [digest(LAYER)[7:]]
    with pytest.raises(NotFoundError, match="No such image: two:1"):
        store.resolve("two:1")


async def test_an_image_in_use_stays(store: ImageStore) -> None:
    await store.load(chunks(docker_archive([LAYER])))
    image_id = store.resolve("hello:1").id
    store.hold(image_id, "c" * 64)

    with pytest.raises(ConflictError, match="cccccccccccc is using its referenced image"):
        await store.remove("hello:1", force=False, is_running=lambda _id: True)
    with pytest.raises(ConflictError, match=r"cannot be forced.*running container"):
        await store.remove(image_id, force=True, is_running=lambda _id: True)

    store.release("c" * 64)
    await store.remove("hello:1", force=False, is_running=lambda _id: True)


async def test_leftovers_of_a_crash_are_removed_at_the_start(
    store: ImageStore, tmp_path: Path
) -> None:
    await store.load(chunks(docker_archive([LAYER])))
    before = tree(tmp_path)
    root = tmp_path / "images"
    (root / "tmp/abandoned/x").mkdir(parents=True)
    (root / "tmp/index").write_bytes(b"half")
    (root / "layers" / ("a" * 64) / "fs").mkdir(parents=True)
    (root / "configs" / ("b" * 64)).write_bytes(b"{}")

    again = await store_in(root)

    assert tree(tmp_path) == before
    assert again.resolve("hello:1") == store.resolve("hello:1")
