import pytest

from cli.swarmctl.copy_paths import Place, Plan, absolute, plan, split, split_argument

ARGUMENTS = {
    "a container's": ("web:/etc/hosts", ("web", "/etc/hosts")),
    "a task's": ("web.1:/etc", ("web.1", "/etc")),
    "one of ours": ("/a:b", ("", "/a:b")),
    "a relative one": ("./a:b", ("", "./a:b")),
    "a name alone": ("file", ("", "file")),
    "the stream": ("-", ("", "-")),
}


@pytest.mark.parametrize(("text", "expected"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_tells_containers_from_here(text: str, expected: tuple[str, str]) -> None:
    assert split_argument(text) == expected


ABSOLUTE = {
    "relative": ("a/../b", "/w/b"),
    "absolute": ("/a//b", "/a/b"),
    "what is in it": ("a/.", "/w/a/."),
    "what is here": (".", "/w/."),
    "a directory": ("a/", "/w/a/"),
    "the root": ("/", "/"),
}


@pytest.mark.parametrize(("path", "expected"), ABSOLUTE.values(), ids=ABSOLUTE)
def test_paths_keep_how_they_end(path: str, expected: str) -> None:
    assert absolute("/w", path) == expected


SPLIT = {
    "an entry": ("/a/b", ("/a", "b")),
    "a directory": ("/a/b/", ("/a", "b")),
    "what is in it": ("/a/b/.", ("/a/b", ".")),
    "the root": ("/", ("/", ".")),
}


@pytest.mark.parametrize(("path", "expected"), SPLIT.values(), ids=SPLIT)
def test_splits(path: str, expected: tuple[str, str]) -> None:
    assert split(path) == expected


FILE, TREE, INSIDE = (
    Place(path="/s/file", exists=True),
    Place(path="/s/tree", exists=True, is_directory=True),
    Place(path="/s/tree/.", exists=True, is_directory=True),
)
LINKED = Place(path="/s/tree", exists=True, is_directory=True, called="name")


def there(path: str, *, is_directory: bool = False) -> Place:
    return Place(path=path, exists=True, is_directory=is_directory)


def missing(path: str) -> Place:
    return Place(path=path, exists=False)


PLANS = {
    "a file to a new name": (FILE, missing("/d/new"), Plan(directory="/d", old="file", new="new")),
    "a file into a directory": (
        FILE,
        there("/d", is_directory=True),
        Plan(directory="/d", old="file", new="file"),
    ),
    "a file over a file": (FILE, there("/d/old"), Plan(directory="/d", old="file", new="old")),
    "a directory to a new name": (
        TREE,
        missing("/d/new"),
        Plan(directory="/d", old="tree", new="new"),
    ),
    "a directory to a new directory": (
        TREE,
        missing("/d/new/"),
        Plan(directory="/d", old="tree", new="new"),
    ),
    "a directory into a directory": (
        TREE,
        there("/d", is_directory=True),
        Plan(directory="/d", old="tree", new="tree"),
    ),
    "what is in a directory into a directory": (
        INSIDE,
        there("/d", is_directory=True),
        Plan(directory="/d", old=".", new="."),
    ),
    "what is in a directory to a new one": (
        INSIDE,
        missing("/d/new"),
        Plan(directory="/d", old=".", new="new"),
    ),
    "by way of a link": (
        LINKED,
        there("/d", is_directory=True),
        Plan(directory="/d", old="tree", new="name"),
    ),
}


@pytest.mark.parametrize(("source", "target", "expected"), PLANS.values(), ids=PLANS)
def test_plans(source: Place, target: Place, expected: Plan) -> None:
    assert plan(source, target) == expected


REFUSED = {
    "a directory over a file": (TREE, there("/d/file"), "cannot copy directory"),
    "a file to a directory that is not there": (FILE, missing("/d/new/"), "no such directory"),
    "a file to a directory that is a file": (FILE, there("/d/file/"), "not a directory"),
}


@pytest.mark.parametrize(("source", "target", "says"), REFUSED.values(), ids=REFUSED)
def test_refuses_in_dockers_words(source: Place, target: Place, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan(source, target)


NAMES = {
    "its own": (Plan(directory="/d", old="a", new="a"), "a/b", "a/b"),
    "another": (Plan(directory="/d", old="a", new="z"), "a/a/b", "z/a/b"),
    "the top": (Plan(directory="/d", old="a", new="z"), "a/", "z"),
    "only the whole name": (Plan(directory="/d", old="a", new="z"), "ab/c", "ab/c"),
    "inside, in place": (Plan(directory="/d", old=".", new="."), "./b", "b"),
    "inside, in place, the top": (Plan(directory="/d", old=".", new="."), "./", "."),
    "inside, under a name": (Plan(directory="/d", old=".", new="z"), "./b/c", "z/b/c"),
    "inside, under a name, the top": (Plan(directory="/d", old=".", new="z"), "./", "z"),
    "of the root": (Plan(directory="/d", old=".", new="."), "/bin/sh", "bin/sh"),
}


@pytest.mark.parametrize(("how", "name", "expected"), NAMES.values(), ids=NAMES)
def test_names_after_unpacking(how: Plan, name: str, expected: str) -> None:
    assert how.renamed(name) == expected
