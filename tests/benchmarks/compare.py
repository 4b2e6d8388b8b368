"""minifw against every peer that is installed: one command for all workloads.

    .venv/bin/python tests/benchmarks/compare.py
    .venv/bin/python tests/benchmarks/compare.py --workload W1,W3 --turns 31
    .venv/bin/python tests/benchmarks/compare.py --workload W3,W4 --threads 2
    .venv/bin/python tests/benchmarks/compare.py --workload W8-lstm,W8-conv --clock process
    .venv/bin/python tests/benchmarks/compare.py --write

The peers are optional: ``pip install -r tests/benchmarks/requirements.txt``. Those that are
missing are left out, and named. All start from the same weights, and their losses (or
predictions) are compared before any clock starts. Then they take turns in one run; what
counts is the median of the ratios turn by turn. With --write, the results go into
docs/benchmarks.json, and from there into docs/benchmarks.md and docs/images/benchmarks.png;
those of workloads that were not run, and those of other machines, stay.
"""

import argparse
import importlib
import os


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=str(__doc__).partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--workload", default="all", help="W1 to W10, with commas; W8-conv stands for W8-conv-..."
    )
    parser.add_argument("--turns", type=int, help="of each contender; by default 21, or 9")
    parser.add_argument("--only", default="", help="contenders besides minifw, with commas")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS and of every peer")
    parser.add_argument(
        "--clock",
        choices=("wall", "process"),
        default="wall",
        help="process: processor time of all threads, which other work stretches less",
    )
    parser.add_argument("--write", action="store_true", help="into docs/")
    parser.add_argument("--list", action="store_true", help="who is installed, and stop")
    return parser.parse_args()


def set_threads(threads: int) -> None:
    """Tell all libraries, which ask the environment when they are imported."""
    for library in ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    if threads == 1:
        os.environ["XLA_FLAGS"] = (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        )
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("DEV", "CPU")  # tinygrad's
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main() -> None:
    options = arguments()
    set_threads(options.threads)  # before anything of them is imported
    importlib.import_module("peers.session").run(options)


if __name__ == "__main__":
    main()
