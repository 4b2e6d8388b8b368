"""Training on several ranks of a real MPI, started as a user starts it."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from minifw import SGD, Averaged, Dense
from minifw.interop.mpi import DataParallel

pytest.importorskip("mpi4py")
MPIRUN = Path(sysconfig.get_path("scripts")) / "mpirun"
ROOT = Path(__file__).parents[2]
if not MPIRUN.exists():
    pytest.skip("no mpirun of the extra minifw[mpi] is there", allow_module_level=True)

import mpi_job  # noqa: E402 - which needs mpi4py

pytestmark = pytest.mark.slow

LIMIT_SECONDS = 60  # what hangs is ended


def job(ranks: int, names: str, folder: Path) -> subprocess.CompletedProcess[str]:
    module = ["-m", "mpi4py"] if names == "leave" else []
    script = [sys.executable, "-W", "error", *module, str(mpi_job.__file__)]
    return subprocess.run(
        [str(MPIRUN), "-n", str(ranks), *script, names, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )


JOBS = {3: "same elsewhere refuse differ callbacks", 2: "elsewhere resume", 1: "elsewhere same"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all that ends well: one start of processes for each number of ranks."""
    folder = tmp_path_factory.mktemp("mpi")
    for ranks, names in JOBS.items():
        result = job(ranks, names, folder)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("done") == ranks * len(names.split())
    return folder


@pytest.mark.parametrize("ranks", [1, 3])
def test_the_same_batches_give_the_same_training(ranks: int, done: Path) -> None:
    found = json.loads((done / f"same {ranks}.json").read_text(encoding="utf-8"))
    for name, expected in mpi_job.train(parallel=False).items():
        if ranks == 1:
            assert found[name] == expected, name  # the same bits
        else:
            np.testing.assert_allclose(found[name], expected, rtol=1e-11, atol=1e-13)


def test_it_goes_on_after_a_checkpoint_of_one_rank(done: Path) -> None:
    assert sorted(p.name for p in (done / "resume").iterdir()) == [
        *("1.npz", "2.npz", "3.npz"),
        *("log.csv", "middle.npz"),
    ]
    text = (done / "resume" / "log.csv").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 4


def test_it_goes_on_with_another_number_of_ranks(done: Path) -> None:
    texts = [(done / f"elsewhere {n}.json").read_text(encoding="utf-8") for n in JOBS]
    whole, *others = [[np.array(part) for part in json.loads(text)] for text in texts]
    for other in others:
        for mine, same in zip(other, whole, strict=True):
            np.testing.assert_allclose(mine, same, rtol=1e-11, atol=1e-13)


def test_an_error_that_nobody_catches_ends_the_job(tmp_path: Path) -> None:
    text = "ZeroDivisionError: the second rank fails"
    for _ in range(5):  # mpirun may lose the last lines of a rank that ends the job
        result = job(2, "die", tmp_path)
        assert result.returncode != 0
        if text in result.stderr:
            break
    assert "rank 1 of 2:" in result.stderr
    assert text in result.stderr


def test_a_rank_that_exits_ends_the_job_under_the_runner_of_mpi4py(tmp_path: Path) -> None:
    result = job(2, "leave", tmp_path)
    assert result.returncode != 0
    assert "something is wrong" in result.stderr


def test_arguments() -> None:
    model = Dense(2, 1)
    with pytest.raises(TypeError, match="expects an optimizer such as SGD, got"):
        DataParallel(model)  # type: ignore[arg-type]
    optimizer = SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=r"comm to be an MPI\.Intracomm, got"):
        DataParallel(optimizer, comm=4)
    parallel = DataParallel(optimizer)
    with pytest.raises(ValueError, match=r"write DataParallel\(Averaged\(\.\.\.\)\)"):
        Averaged(parallel)
    with pytest.raises(ValueError, match="arrays of one length"):
        parallel.shard(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="weight to be at least 0, got -1"):
        parallel.average(weight=-1)
    parallel.lr = 0.5
    assert optimizer.lr == 0.5
    assert repr(parallel) == "DataParallel(SGD(2 parameters, lr=0.5), rank 0 of 1)"


def test_without_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"install the extra minifw\[mpi\]"):
        DataParallel(SGD(Dense(2, 1).parameters(), lr=0.1))
