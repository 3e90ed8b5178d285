"""Holds what scripts/sbom writes against Cargo.lock, and its rules one by one: python3 tests/supply/sbom.py"""

import collections
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path
from urllib.parse import unquote

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "scripts" / "sbom"
LOCK = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))


def load():
    loader = importlib.machinery.SourceFileLoader("sbom", str(PROGRAM))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("sbom", loader))
    loader.exec_module(module)
    return module


sbom = load()


def run(*arguments, epoch=None):
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    if epoch is not None:
        environment["SOURCE_DATE_EPOCH"] = epoch
    return subprocess.run([sys.executable, "-B", PROGRAM, *arguments], env=environment, capture_output=True, check=False)


class TheBill(unittest.TestCase):
    """Of this very Cargo.lock. Its packages are found here by another way: by what Cargo.lock says of them, not Cargo."""

    @classmethod
    def setUpClass(cls):
        ended = run()
        assert ended.returncode == 0, ended.stderr
        cls.text = ended.stdout
        cls.bill = json.loads(cls.text)
        cls.locked = {(package["name"], package["version"]): package for package in LOCK["package"]}
        cls.service = next(package for package in LOCK["package"] if "source" not in package)

    def packages(self):
        return [component for component in self.bill["components"] if component["purl"].startswith("pkg:cargo/")]

    def test_every_package_of_the_lock_is_there_once_and_nothing_else(self):
        told = collections.Counter((package["name"], package["version"]) for package in self.packages())
        wanted = collections.Counter(self.locked.keys() - {(self.service["name"], self.service["version"])})

        self.assertEqual(told, wanted)
        others = [component["name"] for component in self.bill["components"] if component not in self.packages()]
        self.assertEqual(others, ["sqlite"])

    def test_every_package_has_the_checksum_of_the_lock(self):
        for package in self.packages():
            checksum = self.locked[package["name"], package["version"]]["checksum"]
            self.assertEqual(package["hashes"], [{"alg": "SHA-256", "content": checksum}], package["name"])

    def test_every_package_url_says_name_and_version(self):
        for package in self.packages():
            name, version = package["purl"].removeprefix("pkg:cargo/").split("@")
            self.assertEqual((unquote(name), unquote(version)), (package["name"], package["version"]))
            self.assertNotIn("+", package["purl"])
            self.assertEqual(package["bom-ref"], package["purl"])

    def test_every_package_has_a_licence_in_words_of_spdx(self):
        for package in self.packages():
            [licence] = package["licenses"]
            self.assertRegex(licence["expression"], r"^[A-Za-z0-9.()+ -]+$", package["name"])

    def test_the_graph_is_that_of_the_lock(self):
        versions = collections.defaultdict(list)
        for name, version in self.locked:
            versions[name].append(version)
        wanted = {}
        for (name, version), package in self.locked.items():
            below = (dependency.split() for dependency in package.get("dependencies", []))
            wanted[name, version] = {(words[0], words[1] if len(words) > 1 else versions[words[0]][0]) for words in below}
        wanted["libsqlite3-sys", versions["libsqlite3-sys"][0]].add(("sqlite", self.sqlite()["version"]))
        wanted["sqlite", self.sqlite()["version"]] = set()

        components = [*self.bill["components"], self.bill["metadata"]["component"]]
        names = {component["bom-ref"]: (component["name"], component["version"]) for component in components}
        told = {names[node["ref"]]: {names[ref] for ref in node["dependsOn"]} for node in self.bill["dependencies"]}

        self.assertEqual(told, wanted)
        self.assertEqual(len(names), len(components), "a reference is there twice")

    def sqlite(self):
        return next(component for component in self.bill["components"] if component["name"] == "sqlite")

    def test_the_library_in_c_is_told_by_a_name_that_advisories_use(self):
        self.assertRegex(self.sqlite()["version"], r"^3\.[0-9]+\.[0-9]+$")
        self.assertEqual(self.sqlite()["cpe"], f"cpe:2.3:a:sqlite:sqlite:{self.sqlite()['version']}:*:*:*:*:*:*:*")

    def test_scopes_tell_the_program_from_what_builds_and_tests_it(self):
        scopes = collections.defaultdict(set)
        for component in self.bill["components"]:
            scopes[component["name"]].add(component["scope"])

        for name in ("tokio", "rustls", "ring", "warp", "sqlite"):
            self.assertIn("required", scopes[name], name)
        self.assertEqual(scopes["windows-sys"], {"optional"})
        for name in ("proptest", "tempfile", "syn", "serde_derive"):
            self.assertEqual(scopes[name], {"excluded"}, name)

    def test_the_same_lock_gives_the_same_bytes_and_no_time(self):
        self.assertEqual(run().stdout, self.text)
        self.assertNotIn("timestamp", self.bill["metadata"])

    def test_a_given_time_is_told_and_changes_the_number(self):
        dated = json.loads(run(epoch="1700000000").stdout)

        self.assertEqual(dated["metadata"]["timestamp"], "2023-11-14T22:13:20Z")
        self.assertEqual(dated["components"], self.bill["components"])
        self.assertNotEqual(dated["serialNumber"], self.bill["serialNumber"])
        self.assertRegex(self.bill["serialNumber"], r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_a_file_gets_what_would_be_printed(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "sbom.json")

            self.assertEqual(run(file).stdout, b"")
            self.assertEqual(file.read_bytes(), self.text)

    def test_what_cannot_be_understood_is_told(self):
        self.assertEqual(run("--help").returncode, 2)
        wrong = run(epoch="yesterday")
        self.assertEqual(wrong.returncode, 1)
        self.assertIn(b"SOURCE_DATE_EPOCH is `yesterday`", wrong.stderr)


class TheRules(unittest.TestCase):
    PACKAGE = {"name": "one", "version": "1.0.0+build", "license": "MIT/Apache-2.0", "description": "One\n  line."}
    LOCKED = {"name": "one", "version": "1.0.0+build", "source": sbom.CRATES_IO, "checksum": "ab"}

    def test_a_package_is_told_in_the_words_of_the_standard(self):
        told = sbom.component({**self.PACKAGE, "repository": "https://example.com/one"}, self.LOCKED, "required")

        url = "pkg:cargo/one@1.0.0%2Bbuild"
        self.assertEqual(told, {
            "type": "library", "bom-ref": url, "name": "one", "version": "1.0.0+build", "scope": "required",
            "hashes": [{"alg": "SHA-256", "content": "ab"}], "purl": url, "description": "One line.",
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
            "externalReferences": [{"type": "vcs", "url": "https://example.com/one"}],
        })

    def test_a_package_from_elsewhere_without_checksum_or_without_licence_is_refused(self):
        for package, locked, reason in (
            (self.PACKAGE, {**self.LOCKED, "source": "git+https://example.com/one#1"}, "comes from git"),
            (self.PACKAGE, {key: self.LOCKED[key] for key in ("name", "version", "source")}, "no checksum"),
            ({**self.PACKAGE, "license": None}, self.LOCKED, "no licence"),
        ):
            with self.assertRaisesRegex(sbom.Mistake, reason):
                sbom.component(package, locked, "required")

    def test_the_old_sign_between_licences_becomes_a_word(self):
        self.assertEqual(sbom.expression("Apache-2.0 / MIT"), "Apache-2.0 OR MIT")
        self.assertEqual(sbom.expression("(MIT OR Apache-2.0) AND Unicode-3.0"), "(MIT OR Apache-2.0) AND Unicode-3.0")

    def test_the_version_of_the_bundled_library_is_read_from_its_source(self):
        with tempfile.TemporaryDirectory() as folder:
            header = Path(folder, "sqlite3", "sqlite3.h")
            header.parent.mkdir()
            header.write_text('#define SQLITE_VERSION        "3.1.2"\n#define SQLITE_VERSION_NUMBER 3001002\n')
            self.assertEqual(sbom.bundled_sqlite(folder, "required")["version"], "3.1.2")

            header.write_text("")
            with self.assertRaisesRegex(sbom.Mistake, "names no SQLITE_VERSION"):
                sbom.bundled_sqlite(folder, "required")


if __name__ == "__main__":
    unittest.main()
