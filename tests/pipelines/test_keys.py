from types import SimpleNamespace

import pytest

from higr.config import DataConfig, RunConfig, load_config
from pipelines import keys as module
from pipelines.graph import GRAPHS, STAGES
from pipelines.keys import cache_keys, data_version, environment, package_digest

ALL = set(STAGES)


def changed(before, after):
    assert list(before) == list(after) == list(STAGES)
    return {name for name in STAGES if before[name] != after[name]}


@pytest.mark.parametrize(
    ("field", "value", "again"),
    [
        ("seed", 1, ALL),
        ("data.slate_size", 4, ALL),
        ("tokenizer.epochs", 3, ALL - {"prepare", "baseline", "materialise"}),
        ("model.dropout", 0.0, {"pretrain", "align", "evaluate", "bundle"}),
        ("training.epochs", 9, {"pretrain", "align", "evaluate", "bundle"}),
        ("align.alpha", 0.3, {"align", "evaluate", "bundle"}),
        ("align.guard.max_distance", 0.3, {"align", "evaluate", "bundle"}),
        ("align.preference.diversity", 0.0, {"align", "evaluate", "bundle"}),
        ("baseline.trees", 9, {"baseline", "evaluate", "bundle"}),
        ("decode.beam_width", 3, {"evaluate", "bundle"}),
        ("evaluation.bootstrap", 100, {"evaluate", "bundle"}),
        ("monitoring.min_rows", 9, {"bundle"}),
        ("gate.margin", 0.2, {"bundle"}),
        ("name", "other", {"bundle"}),
    ],
)
def test_a_changed_section_reaches_the_stages_downstream(field, value, again):
    before = cache_keys(load_config("nano"), "")
    assert changed(before, cache_keys(load_config("nano", {field: value}), "")) == again


@pytest.mark.parametrize("name", GRAPHS)
def test_stages_of_one_name_share_their_results(name):
    config = load_config("nano")
    every, own = cache_keys(config, "a"), cache_keys(config, "a", GRAPHS[name])
    assert own == {stage: every[stage] for stage, its in GRAPHS[name].items() if its.cached}


def test_every_section_is_somebodys():
    read = {section for stage in STAGES.values() for section in stage.sections}
    assert read == set(RunConfig.model_fields)
    # The manifest of a bundle holds all of the configuration.
    assert set(STAGES["bundle"].sections) == set(RunConfig.model_fields)


def test_new_files_reach_everything():
    config = load_config("nano")
    assert changed(cache_keys(config, "a"), cache_keys(config, "b")) == ALL
    assert changed(cache_keys(config, "a"), cache_keys(config, "a")) == set()


@pytest.mark.parametrize(
    ("package", "again"), [("higr", ALL), ("components", ALL), ("feature_repo", {"materialise"})]
)
def test_new_code_reaches_the_stages_that_run_it(package, again, monkeypatch):
    config = load_config("nano")
    before = cache_keys(config, "")
    digest = module.package_digest
    monkeypatch.setattr(
        module, "package_digest", lambda name: digest(name) + ("!" if name == package else "")
    )
    assert changed(before, cache_keys(config, "")) == again


def test_the_digest_of_a_package_is_that_of_its_sources(tmp_path, monkeypatch):
    folder = tmp_path / "some_package_of_a_test"
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "deep" / "a.py").write_text("x = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = [package_digest(folder.name)]
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_bytes(b"0")
    assert package_digest(folder.name) == seen[0]
    (folder / "deep" / "a.py").write_text("x = 2")
    seen.append(package_digest(folder.name))
    (folder / "deep" / "a.py").rename(folder / "deep" / "b.py")
    seen.append(package_digest(folder.name))
    assert len(set(seen)) == 3


def test_another_environment_reaches_everything(monkeypatch):
    config = load_config("nano")
    before = cache_keys(config, "")
    monkeypatch.setattr(module, "environment", lambda: "another")
    assert changed(before, cache_keys(config, "")) == ALL


class TestEnvironment:
    @pytest.fixture
    def installed(self, monkeypatch):
        """Versions by name, as if they were what is installed; one thread."""
        found = {"torch": "2.6.0", "lightgbm": "4.6.0"}
        monkeypatch.setattr(
            module.metadata,
            "distributions",
            lambda: (SimpleNamespace(name=name, version=version) for name, version in found.items()),
        )
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        return found

    def test_what_is_really_installed_can_be_read_twice(self):
        assert environment() == environment()

    def test_order_does_not_matter(self, installed):
        before = environment()
        installed["torch"] = installed.pop("torch")
        assert list(installed) == ["lightgbm", "torch"]
        assert environment() == before

    @pytest.mark.parametrize("change", ["upgrade", "more", "less"])
    def test_another_set_of_versions_is_another(self, installed, change):
        before = environment()
        if change == "upgrade":
            installed["torch"] = "2.7.0"
        elif change == "more":
            installed["duckdb"] = "1.4.0"
        else:
            del installed["lightgbm"]
        assert environment() != before

    def test_another_python_is_another(self, installed, monkeypatch):
        before = environment()
        monkeypatch.setattr(module.platform, "python_version", lambda: "3.99.0")
        assert environment() != before

    def test_another_number_of_threads_is_another(self, installed, monkeypatch):
        seen = [environment()]
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        seen.append(environment())
        monkeypatch.delenv("OMP_NUM_THREADS")
        for cores in (1, 8):  # unset, the cores decide
            monkeypatch.setattr(module.os, "cpu_count", lambda cores=cores: cores)
            seen.append(environment())
        assert len(set(seen)) == 4


class TestDataVersion:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "splits").mkdir()
        (tmp_path / "splits" / "val.parquet").write_bytes(b"1")
        (tmp_path / "items.csv").write_bytes(b"2")
        return tmp_path

    @staticmethod
    def version(folder):
        return data_version(DataConfig(source="tables", path=str(folder)))

    def test_same_content_is_the_same_wherever_and_whenever(self, folder, tmp_path_factory):
        other = tmp_path_factory.mktemp("other")
        (other / "items.csv").write_bytes(b"2")
        (other / "splits").mkdir()
        (other / "splits" / "val.parquet").write_bytes(b"1")
        assert self.version(other) == self.version(folder)

    @pytest.mark.parametrize("change", ["content", "name", "more"])
    def test_other_content_is_another(self, folder, change):
        before = self.version(folder)
        if change == "content":
            (folder / "splits" / "val.parquet").write_bytes(b"3")
        elif change == "name":
            (folder / "items.csv").rename(folder / "users.csv")
        else:
            (folder / "users.csv").write_bytes(b"2")
        assert self.version(folder) != before

    def test_hidden_files_are_no_data(self, folder):
        before = self.version(folder)
        (folder / ".kfp").mkdir()
        (folder / ".kfp" / "x.parquet").write_bytes(b"9")
        (folder / ".DS_Store").write_bytes(b"9")
        assert self.version(folder) == before

    def test_the_simulator_has_no_files(self, folder):
        assert data_version(DataConfig()) == ""
        assert data_version(DataConfig(path=str(folder))) == ""

    def test_a_missing_folder_is_left_to_the_first_stage(self, tmp_path):
        assert self.version(tmp_path / "none") == self.version(tmp_path / "neither")
