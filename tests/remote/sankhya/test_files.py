"""Files and images."""

from __future__ import annotations

from pathlib import Path

import pytest

from insession.remote.sankhya import (
    SankhyaContext,
    ServiceRequestFileNotFoundException,
    ServiceRequestInaccessibleException,
)
from insession.remote.sankhya.files import _name
from insession.testing import SankhyaDouble

from .conftest import Opened, settings_for


@pytest.mark.requirement("S80")
async def test_a_file_by_its_path(double: SankhyaDouble, opened: Opened, tmp_path: Path) -> None:
    wrapper = (await opened()).wrapper
    key = await wrapper.open_file_async("Sistema/manual.txt")
    file = await wrapper.get_file_async(key, to=tmp_path / "copy.txt")
    assert (file.name, file.content.decode()) == ("manual.txt", "Instruções")
    assert (tmp_path / "copy.txt").read_bytes() == file.content
    assert "Instru" not in repr(file)
    await wrapper.delete_files_async("Sistema/manual.txt")
    assert double.counters.violations == ()


async def test_files_that_are_not_there(double: SankhyaDouble, opened: Opened) -> None:
    wrapper = (await opened()).wrapper
    with pytest.raises(ServiceRequestFileNotFoundException):
        await wrapper.open_file_async("Nada/nada.txt")
    with pytest.raises(ServiceRequestFileNotFoundException):
        await wrapper.get_file_async("0000")
    double.inject("html", service="file", times=None)
    key = await wrapper.open_file_async("Sistema/manual.txt")
    with pytest.raises(ServiceRequestInaccessibleException):
        await wrapper.get_file_async(key)


async def test_images(opened: Opened) -> None:
    wrapper = (await opened()).wrapper
    image = await wrapper.get_image_async("Parceiro", CODPARC=1)
    assert image is not None
    assert image.content.startswith(b"GIF")
    assert await wrapper.get_image_async("Parceiro", CODPARC=999) is None


def test_the_same_for_threads(double: SankhyaDouble, tmp_path: Path) -> None:
    with SankhyaContext(settings_for(double)) as context:
        wrapper = context.wrapper
        wrapper.get_file(wrapper.open_file("Sistema/manual.txt"), to=tmp_path / "copy.txt")
        assert (tmp_path / "copy.txt").read_text("utf-8") == "Instruções"
        assert wrapper.get_image("Parceiro", CODPARC=999) is None
        wrapper.delete_files("a", "b")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a.txt"', "a.txt"),
        ("attachment; filename=a.txt", "a.txt"),
        ("attachment; filename*=UTF-8''A%C3%A7%C3%A3o.txt", "Ação.txt"),
        ('attachment; filename="../../etc/passwd"', ".._.._etc_passwd"),
        ('attachment; filename=".."', None),
        ("attachment", None),
        ("", None),
    ],
)
def test_a_files_name_is_never_a_path(header: str, name: str | None) -> None:
    assert _name(header) == name
