import pytest
from cluster import Cluster


@pytest.fixture
def folder(tmp_path_factory):
    """A short path: those of Unix sockets may have 107 bytes."""
    return tmp_path_factory.mktemp("pb")


@pytest.fixture
def make_cluster(folder):
    made = []

    def make(**options):
        made.append(Cluster(folder, **options))
        return made[-1]

    yield make
    for cluster in made:
        cluster.stop()
        sanitizer_reports(cluster)


def sanitizer_reports(cluster):
    for log in cluster.folder.glob("*.log"):
        text = log.read_text(errors="replace")
        assert "ERROR: AddressSanitizer" not in text and "runtime error:" not in text and \
            "ERROR: LeakSanitizer" not in text, f"{log}:\n{text[-4000:]}"


@pytest.fixture
def cluster(make_cluster):
    """A broker and one worker."""
    return make_cluster().start()


@pytest.fixture
def pair(make_cluster):
    """A broker and two workers."""
    return make_cluster().start(workers=2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A broker and one worker for all tests of a module that only ask, each with names of its own."""
    cluster = Cluster(tmp_path_factory.mktemp("pb")).start()
    yield cluster
    cluster.stop()
    sanitizer_reports(cluster)
