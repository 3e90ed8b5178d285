"""Rules of the repository that keep its builds the same and its code safe: python3 tests/supply/rules.py"""

import re
import subprocess
import tomllib
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
# Commands that would write a Cargo.lock of their own if they were let.
RESOLVING = r"build|run|test|bench|clippy|doc|install|metadata|tree|check|fetch|publish|rustc|nextest"
COMMAND = re.compile(rf"(?<![\w\"-])cargo (?:{RESOLVING})\b[^`|&;\n]*")
# Where commands stand: each script by its own name, as they have no ending.
PLACES = ["*.md", "docs/**/*.md", "kibana/*.md", "Dockerfile", "docker-compose.yml", "scripts/*", ".ci/*"]


def files():
    return sorted(file for place in PLACES for file in ROOT.glob(place) if file.is_file())


def commands(text):
    """Each command of Cargo that resolves packages, its continued lines joined."""
    return COMMAND.findall(text.replace("\\\n", " "))


class TheBuild(unittest.TestCase):
    def test_every_command_that_is_written_down_keeps_to_the_lock(self):
        found = [(file.relative_to(ROOT), command) for file in files() for command in commands(file.read_text(encoding="utf-8"))]

        self.assertEqual([(str(file), command) for file, command in found if "--locked" not in command.split()], [])
        for place in ("README.md", "Dockerfile", "scripts/check", "scripts/supply"):
            self.assertIn(Path(place), [file for file, _ in found], f"no command was found in {place}")

    def test_a_command_is_found_wherever_it_stands(self):
        for text, wanted in (
            ("exec cargo bench --locked --quiet", ["cargo bench --locked --quiet"]),
            ("A=b cargo build \\\n  --release && rm x", ["cargo build    --release "]),
            ("run `cargo test`, then", ["cargo test"]),
            ("cargo fmt --check; my-cargo build", []),
        ):
            self.assertEqual(commands(text), wanted)

    def test_the_lock_belongs_to_the_repository_and_to_the_manifest(self):
        ignored = [name for file in (".gitignore", ".dockerignore") for name in (ROOT / file).read_text().split()]
        self.assertFalse({"Cargo.lock", "/Cargo.lock", "*.lock"} & set(ignored))
        words = ["cargo", "metadata", "--locked", "--format-version", "1"]
        self.assertEqual(subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode, 0)

    def test_nothing_of_the_package_runs_while_it_is_built(self):
        self.assertFalse((ROOT / "build.rs").exists())
        self.assertNotIn("build", MANIFEST["package"])


class TheCode(unittest.TestCase):
    def test_unsafe_code_is_forbidden_in_every_target(self):
        # `forbid` in [lints] reaches the library, the program, tests and benches, and no attribute can lift it.
        self.assertEqual(MANIFEST["lints"]["rust"]["unsafe_code"], "forbid")


class TheThreatModel(unittest.TestCase):
    """SECURITY.md says which test proves what. A test that is renamed or taken out is missed here."""

    TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")

    def test_every_test_that_it_names_is_there(self):
        sources = [file for place in ("src/**/*.rs", "tests/**/*.rs", "tests/**/*.py") for file in ROOT.glob(place)]
        found = set()
        for file in sources:
            attribute = r"#\[(?:tokio::)?test[^\n]*\]\s+(?:#\[[^\n]*\s+)*(?:async )?fn|    def"
            if file.parent.name == "conformance":
                # Tests that `store_conformance!` makes for each store.
                attribute += r"|pub\(crate\) async fn"
            found.update(re.findall(rf"(?:{attribute}) (\w+)\(", file.read_text(encoding="utf-8")))
        # Names of tests are sentences: no setting and no file has as many words.
        named = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", self.TEXT))

        self.assertGreater(len(named), 60)
        self.assertEqual(named - found, set())

    def test_every_file_that_it_names_is_there(self):
        named = set(re.findall(r"`((?:src|tests|docs|scripts)/[\w./-]+|Dockerfile|deny\.toml)`", self.TEXT))
        linked = {link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", self.TEXT)} - {""}

        self.assertGreater(len(linked), 6)
        self.assertEqual([file for file in named | linked if not (ROOT / file).exists()], [])


if __name__ == "__main__":
    unittest.main()
