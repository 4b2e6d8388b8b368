"""What holds for all tests and all pages that run."""

import gc
import os
import signal

import pytest
from hypothesis import settings

# What a build of the site makes, and what only Sphinx can import.
collect_ignore_glob = [
    "docs/learn/exercises/*",  # for the reader to finish; tests/docs/test_exercises.py runs them
    "docs/_build/*",
    "docs/_ext/katex_math.py",
    "docs/_ext/listed_values.py",
    "docs/_ext/site_words.py",
    "docs/conf.py",
    "docs/gallery/*",
    "docs/reference/generated/*",
]

# The pages show the English sentences of `ask`, which speaks the language of the environment.
os.environ["LC_ALL"] = "C"

# A shell that starts pytest in the background has it ignore Ctrl-C. Some tests and a page raise
# that signal, and show what training makes of it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and few: a search for others is started by hand.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count the pages among the slow tests: each runs from top to bottom."""
    for item in items:
        if item.path.suffix == ".md":
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Spare the garbage collector all modules and tests: it would walk through them for ever."""
    gc.collect()
    gc.freeze()
