"""What resolves while aliases are installed, next to packages that are really there."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import pickle
import pkgutil
import sys
from pathlib import Path
from unittest import mock

import pytest

from insession import aliases
from insession.errors import ConfigurationError
from insession.tracking import logs
from tests.aliases import face

from .conftest import Write, imported

HEAVY = "tests.aliases.heavy"


def names_of(code: str) -> dict[str, object]:
    """What a piece of a program has bound."""
    bound: dict[str, object] = {}
    exec(code, bound)  # noqa: S102 - import statements, as a program has them
    return bound


def heavy(name: str) -> object:
    return getattr(importlib.import_module(HEAVY), name)


class TestNobodyElseHasIt:
    def test_every_documented_form_resolves_to_ours(self) -> None:
        with aliases.install("oldhouse.sessions"):
            bound = names_of(
                "from oldhouse.sessions import Keeper as at_root\n"
                "from oldhouse.sessions.core.keeper import Keeper\n"
                "from oldhouse.sessions.core import keeper\n"
                "import oldhouse.sessions.settings as settings\n"
                "import oldhouse.sessions.core.keeper\n"
            )
            assert bound["oldhouse"].sessions.core.keeper is bound["keeper"]  # type: ignore[attr-defined]
        assert bound["at_root"] is bound["Keeper"] is heavy("Keeper")
        assert isinstance(bound["at_root"](), bound["Keeper"])  # type: ignore[operator, arg-type]
        assert bound["settings"].Settings is heavy("Settings")  # type: ignore[attr-defined]

    def test_star_dir_and_reload(self) -> None:
        with aliases.install("oldhouse.sessions"):
            module = importlib.import_module("oldhouse.sessions.core.keeper")
            assert "Keeper" in dir(module)
            assert names_of("from oldhouse.sessions.core.keeper import *")["Keeper"] is heavy("Keeper")
            assert importlib.reload(module).Keeper is heavy("Keeper")
            assert "insession.aliases" in repr(module)
            assert list(pkgutil.iter_modules(module.__path__)) == []
            assert importlib.util.find_spec("oldhouse.sessions.settings") is not None

    def test_an_instance_is_pickled_as_ours(self) -> None:
        with aliases.install("oldhouse.sessions"):
            pickled = pickle.dumps(importlib.import_module("oldhouse.sessions").Keeper())
        assert HEAVY.encode() in pickled
        assert b"oldhouse" not in pickled

    def test_nothing_of_the_face_is_imported_before_a_name_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, HEAVY, raising=False)
        with aliases.install("oldhouse.sessions"):
            module = importlib.import_module("oldhouse.sessions.core.keeper")
            assert HEAVY not in sys.modules
            assert module.Keeper
            assert HEAVY in sys.modules

    def test_it_can_be_patched(self) -> None:
        with aliases.install("oldhouse.sessions"), mock.patch("oldhouse.sessions.core.keeper.Keeper", "another"):
            assert names_of("from oldhouse.sessions.core.keeper import Keeper")["Keeper"] == "another"

    def test_what_a_name_needs_is_said(self) -> None:
        with aliases.install("oldhouse.sessions"), pytest.raises(ModuleNotFoundError, match="needs_an_extra"):
            names_of("from oldhouse.sessions import Extra")

    def test_without_the_alias_there_is_nothing(self) -> None:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("oldhouse.sessions")

    def test_other_documents_stay_unknown(self) -> None:
        with aliases.install("oldhouse.sessions"), pytest.raises(ModuleNotFoundError):
            importlib.import_module("oldhouse.records")

    def test_without_roots_all_are_installed(self) -> None:
        with aliases.install() as installed:
            assert installed.roots == tuple(aliases.DOCUMENTS)
            assert names_of("from oldhouse.records import Settings")["Settings"] is heavy("Settings")


class TestWhatTheDocumentDoesNotHave:
    def test_an_attribute(self) -> None:
        with aliases.install("oldhouse.sessions"):
            module = importlib.import_module("oldhouse.sessions.core.keeper")
            assert not hasattr(module, "Kepper")
            with pytest.raises(AttributeError, match="'Kepper'; did you mean 'Keeper'"):
                _ = module.Kepper

    @pytest.mark.parametrize(
        ("code", "nearest"),
        [
            ("from oldhouse.sessions import Kepper", "Keeper"),
            ("from oldhouse.sessions.core.keeper import Kepper", "Keeper"),
            ("from oldhouse.sessions.core import keper", "keeper"),
            ("import oldhouse.sessions.setings", "settings"),
            ("import oldhouse.sessions.setings.deep", "settings"),
        ],
    )
    def test_an_import(self, code: str, nearest: str) -> None:
        with aliases.install("oldhouse.sessions"), pytest.raises(ImportError, match=f"did you mean '{nearest}'"):
            names_of(code)

    def test_a_submodule_that_was_not_imported(self) -> None:
        with aliases.install("oldhouse.sessions"):
            module = importlib.import_module("oldhouse.sessions")
            with pytest.raises(AttributeError, match="import core first"):
                _ = module.core

    def test_a_package_in_question(self) -> None:
        with pytest.raises(ConfigurationError, match=r"did you mean 'oldhouse\.sessions'"):
            aliases.install("oldhouse.session")

    def test_a_class_is_no_module(self) -> None:
        with aliases.install("oldhouse.sessions"), pytest.raises(ModuleNotFoundError, match="No module named"):
            importlib.import_module("oldhouse.sessions.Keeper")

    def test_a_main_program_is_looked_for_in_silence(self) -> None:
        with aliases.install("oldhouse.sessions"):
            assert importlib.util.find_spec("oldhouse.sessions.__main__") is None


class TestWhatIsInstalledWins:
    def test_a_package(self, write: Write) -> None:
        write(oldhouse__init="", oldhouse__sessions__init="Keeper = 'theirs'")
        with aliases.install("oldhouse.sessions"):
            assert names_of("from oldhouse.sessions import Keeper")["Keeper"] == "theirs"

    def test_a_missing_submodule_is_filled_in_and_only_that(self, write: Write) -> None:
        write(oldhouse__init="", oldhouse__sessions__init="", oldhouse__sessions__core__init="here = 'theirs'")
        with aliases.install("oldhouse.sessions"):
            assert names_of("from oldhouse.sessions.core.keeper import Keeper")["Keeper"] is heavy("Keeper")
            assert names_of("from oldhouse.sessions.settings import Settings")["Settings"] is heavy("Settings")
            assert importlib.import_module("oldhouse.sessions.core").here == "theirs"
            with pytest.raises(ImportError, match="cannot import name 'Keeper'"):
                names_of("from oldhouse.sessions import Keeper")
            with pytest.raises(ModuleNotFoundError, match="No module named"):
                importlib.import_module("oldhouse.sessions.setings")

    @pytest.mark.parametrize("regular", [True, False])
    def test_a_parent_with_other_content(self, write: Write, *, regular: bool) -> None:
        write(oldhouse__garden="flowers = 3", **({"oldhouse__init": "garden = 'theirs'"} if regular else {}))
        with aliases.install("oldhouse.sessions"):
            assert names_of("from oldhouse.sessions import Keeper")["Keeper"] is heavy("Keeper")
            assert importlib.import_module("oldhouse.garden").flowers == 3
        parent = sys.modules["oldhouse"]
        assert not hasattr(parent, "sessions")
        assert imported() == ["oldhouse", "oldhouse.garden"]
        assert (parent.__file__ is not None) == regular

    def test_a_parent_that_comes_on_the_path_later(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "oldhouse").mkdir()
        (tmp_path / "oldhouse" / "garden.py").write_text("flowers = 3")
        (tmp_path / "oldhouse" / "cellar.py").write_text("bottles = 9")
        with aliases.install("oldhouse.sessions"):
            importlib.import_module("oldhouse.sessions")
            with pytest.raises(ModuleNotFoundError, match=r"No module named 'oldhouse\.garden'"):
                importlib.import_module("oldhouse.garden")
            monkeypatch.syspath_prepend(tmp_path)
            assert importlib.import_module("oldhouse.garden").flowers == 3
        assert imported() == ["oldhouse", "oldhouse.garden"]
        assert importlib.import_module("oldhouse.cellar").bottles == 9

    def test_a_folder_is_a_package(self, write: Write) -> None:
        write(oldhouse__sessions__tests__test_keeper="")
        with aliases.install("oldhouse.sessions"):
            assert names_of("from oldhouse.sessions.core.keeper import Keeper")["Keeper"] is heavy("Keeper")
            with pytest.raises(ImportError, match="cannot import name 'Keeper'"):
                names_of("from oldhouse.sessions import Keeper")
            with aliases.install("oldhouse.sessions", override=True):
                assert names_of("from oldhouse.sessions import Keeper")["Keeper"] is heavy("Keeper")

    def test_a_file_has_no_submodules(self, write: Write) -> None:
        write(oldhouse="flowers = 3")
        with aliases.install("oldhouse.sessions"), pytest.raises(ModuleNotFoundError, match="is not a package"):
            importlib.import_module("oldhouse.sessions")

    def test_an_error_inside_is_theirs(self, write: Write) -> None:
        write(oldhouse__init="", oldhouse__sessions__init="import nowhere_at_all")
        with aliases.install("oldhouse.sessions"), pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
            importlib.import_module("oldhouse.sessions")


class TestUnlessAsked:
    def test_an_installed_package_is_shadowed(self, write: Write) -> None:
        write(oldhouse__init="", oldhouse__sessions__init="Keeper = 'theirs'", oldhouse__garden="flowers = 3")
        with aliases.install("oldhouse.sessions", override=True):
            assert names_of("from oldhouse.sessions import Keeper")["Keeper"] is heavy("Keeper")
            assert importlib.import_module("oldhouse.garden").flowers == 3
        assert importlib.import_module("oldhouse.sessions").Keeper == "theirs"

    def test_also_where_it_is_imported_already(self, write: Write) -> None:
        write(oldhouse__init="", oldhouse__sessions__init="", oldhouse__sessions__settings="Settings = 'theirs'")
        theirs = importlib.import_module("oldhouse.sessions.settings")
        with aliases.install("oldhouse.sessions", override=True):
            assert names_of("from oldhouse import sessions")["sessions"].Keeper is heavy("Keeper")  # type: ignore[attr-defined]
            assert names_of("from oldhouse.sessions.settings import Settings")["Settings"] is heavy("Settings")
        assert importlib.import_module("oldhouse.sessions.settings") is theirs
        assert sys.modules["oldhouse"].sessions.settings is theirs

    def test_over_what_was_filled_in(self, write: Write) -> None:
        write(oldhouse__init="", oldhouse__sessions__init="Keeper = 'theirs'")
        with aliases.install("oldhouse.sessions"):
            importlib.import_module("oldhouse.sessions.core.keeper")
            with aliases.install("oldhouse.sessions", override=True):
                bound = names_of("import oldhouse.sessions.core.keeper")["oldhouse"]
                assert bound.sessions.core.keeper.Keeper is heavy("Keeper")  # type: ignore[attr-defined]
                assert bound.sessions.Keeper is heavy("Keeper")  # type: ignore[attr-defined]
            bound = names_of("import oldhouse.sessions.core.keeper")["oldhouse"]
            assert bound.sessions.Keeper == "theirs"  # type: ignore[attr-defined]

    def test_what_was_filled_in_before_does_not_come_back(self, write: Write) -> None:
        write(oldhouse__init="", oldhouse__sessions__init="")
        first = aliases.install("oldhouse.sessions")
        importlib.import_module("oldhouse.sessions.core.keeper")
        second = aliases.install("oldhouse.sessions", override=True)
        first.uninstall()
        second.uninstall()
        assert imported() == ["oldhouse", "oldhouse.sessions"]
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("oldhouse.sessions.core.keeper")

    def test_it_comes_back_with_the_last_one(self, write: Write) -> None:
        write(oldhouse__init="", oldhouse__sessions__init="Keeper = 'theirs'")
        importlib.import_module("oldhouse.sessions")
        first = aliases.install("oldhouse.sessions", override=True)
        second = aliases.install("oldhouse.sessions", override=True)
        first.uninstall()
        assert importlib.import_module("oldhouse.sessions").Keeper is heavy("Keeper")
        second.uninstall()
        assert importlib.import_module("oldhouse.sessions").Keeper == "theirs"


class TestUninstall:
    def test_nothing_is_left(self) -> None:
        installed = aliases.install("oldhouse.sessions", "oldhouse.records")
        keeper = importlib.import_module("oldhouse.sessions.core.keeper").Keeper
        importlib.import_module("oldhouse.records")
        installed.uninstall()
        installed.uninstall()
        assert imported() == []
        assert keeper is heavy("Keeper")
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("oldhouse")

    def test_installing_twice_is_harmless(self) -> None:
        first, second = aliases.install("oldhouse.sessions"), aliases.install()
        importlib.import_module("oldhouse.sessions.core.keeper")
        first.uninstall()
        assert names_of("from oldhouse.sessions.core.keeper import Keeper")["Keeper"] is heavy("Keeper")
        assert face.logger_names == ["oldhouse.sessions"]
        second.uninstall()
        assert imported() == []

    def test_a_parent_stays_while_another_document_is_below(self) -> None:
        with aliases.install("oldhouse.records"):
            importlib.import_module("oldhouse.records")
            with aliases.install("oldhouse.sessions"):
                importlib.import_module("oldhouse.sessions")
            assert imported() == ["oldhouse", "oldhouse.records"]


class TestLoggers:
    def test_they_are_renamed_and_named_back(self) -> None:
        with aliases.install("oldhouse.sessions"):
            assert face.logger_names == ["oldhouse.sessions"]
        assert face.logger_names == ["insession.made_up"]

    @pytest.mark.requirement("M41", "M85")
    def test_of_the_tracking_face(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        logs.logger().info("before")
        with aliases.install("modules.session_management"):
            logs.logger().info("while")
        logs.logger().info("after")
        ours, theirs = "insession.tracking", "modules.session_management"
        assert [(one.name, one.message) for one in caplog.records] == [
            (ours, "before"),
            (theirs, "while"),
            (ours, "after"),
        ]
