"""Which process runs what: the tests of a file together, and the longest first.

A file's fixtures are then made once, and no long file is left for the end. A mark
`xdist_group` joins or splits files. `make test FLAGS=--renew` of all tests writes
tests/seconds.txt, what each file took, and tests/collected.txt, how many passed.
"""

import collections
import pathlib
import statistics
from collections.abc import Iterable, Mapping

import pytest
from xdist.scheduler import LoadGroupScheduling

HERE = pathlib.Path(__file__).parent
SECONDS, COLLECTED = HERE / "seconds.txt", HERE / "collected.txt"


class ByFile(LoadGroupScheduling):
    """Tests without a group are in their file's; groups come in the order collected."""

    def _split_scope(self, nodeid: str) -> str:
        return super()._split_scope(nodeid).partition("::")[0]


class Renewal:
    """Adds up what the tests of a run took, and writes it where all is well."""

    def __init__(self):
        self.seconds, self.passed = collections.Counter(), 0

    def pytest_runtest_logreport(self, report: pytest.TestReport):
        self.seconds[report.nodeid.partition("::")[0]] += report.duration
        self.passed += report.when == "call" and report.passed

    def pytest_sessionfinish(self, exitstatus: int):
        if exitstatus == 0:
            lines = (f"{path} {s:.1f}\n" for path, s in sorted(self.seconds.items()))
            SECONDS.write_text("".join(lines))
            COLLECTED.write_text(f"{self.passed}\n")


def pytest_addoption(parser: pytest.Parser):
    parser.addoption("--renew", action="store_true", help="write tests/seconds.txt")


def pytest_configure(config: pytest.Config):
    if config.getoption("renew") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Renewal())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    config.option.loadscopereorder = False  # By their number of tests.
    return ByFile(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]):
    if hasattr(config, "workerinput"):  # One process keeps the order of the files.
        groups = [group_of(item) for item in items]
        files = [item.nodeid.partition("::")[0] for item in items]
        lasts = group_seconds(groups, files, measured(SECONDS.read_text()))
        order = sorted(range(len(items)), key=lambda at: -lasts[groups[at]])
        items[:] = [items[at] for at in order]
        for item in items:
            _tell_group(item)


def _tell_group(item: pytest.Item):
    """Puts the group into the name, by which xdist knows it.

    xdist 3.8 sets `_nodeid` for that, which pytest 9.2 does not read.
    """
    mark = item.get_closest_marker("xdist_group")
    if mark and hasattr(item, "_id"):
        item._id = type(item._id).parse(f"{item.nodeid}@{mark.args[0]}")


def group_of(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    return mark.args[0] if mark else item.nodeid.partition("::")[0]


def measured(text: str) -> dict[str, float]:
    pairs = (line.split() for line in text.splitlines())
    return {path: float(seconds) for path, seconds in pairs}


def group_seconds(
    groups: Iterable[str], files: Iterable[str], seconds: Mapping[str, float]
) -> dict[str, float]:
    """What each group will take, if the tests of a file take the same.

    `groups` and `files` are those of each test; a file that was not measured takes
    what the middle one does.
    """
    groups, files = list(groups), list(files)
    usual, sizes = statistics.median(seconds.values()), collections.Counter(files)
    lasts = dict.fromkeys(groups, 0.0)
    for group, file in zip(groups, files, strict=True):
        lasts[group] += seconds.get(file, usual) / sizes[file]
    return lasts
