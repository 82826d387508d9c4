"""Tests of settings.py: wrong files and keys are refused; an unknown key with the nearest known one."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from runtime.errors import InputFault
from runtime.settings import Settings, read_settings


class Cat(Settings):
    kind: Literal["cat"]
    whiskers: int


class Dog(Settings):
    kind: Literal["dog"]
    volume: float = 1.0

    @field_validator("volume")
    @classmethod
    def _check_volume(cls, volume: float) -> float:
        if volume > 9:
            raise ValueError("too loud")
        return volume

    @model_validator(mode="after")
    def _check_bark(self) -> "Dog":
        if self.volume == 0:
            raise ValueError("a silent dog does not bark")
        return self


class Home(Settings):
    rooms: int = Field(ge=1)
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _check_room(self) -> "Home":
        if self.pet.kind == "cat" and self.rooms == 1:
            raise ValueError("a cat needs two rooms")
        return self


def read(folder: Path, text: str) -> Home:
    (folder / "home.toml").write_text(text)
    return read_settings(folder / "home.toml", Home)


def test_a_file_is_read_into_settings(tmp_path: Path) -> None:
    home = read(tmp_path, 'rooms = 2\n[pet]\nkind = "dog"')
    assert home == Home(rooms=2, pet=Dog(kind="dog"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('romms = 2\nrooms = 1\n[pet]\nkind = "dog"', "home.toml: unknown key 'romms'; did you mean 'rooms'?"),
        ('rooms = 1\n[pet]\nkind = "dog"\nvolumme = 2', "unknown key 'pet.dog.volumme'; did you mean 'volume'?"),
        ('rooms = 1\nvolume = 2\n[pet]\nkind = "dog"', "unknown key 'volume'; it belongs into the section [pet]"),
        ('[pet]\nkind = "dog"\nrooms = 1', "unknown key 'pet.dog.rooms'; it belongs to the top of the file"),
        ('rooms = 1\n[pet]\nkind = "dog"\nwhiskers = 2', "unknown key 'pet.dog.whiskers'; known are: kind, volume"),
        ('[pet]\nkind = "dog"', "home.toml: 'rooms' is missing"),
        ('rooms = 0\n[pet]\nkind = "dog"', "home.toml: rooms = 0: Input should be greater than or equal to 1"),
        ("rooms = = 1", "home.toml: not valid TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputFault) as error:
        read(tmp_path, text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('rooms = 1\n[pet]\nkind = "dog"\nvolume = 10', "home.toml: pet.dog.volume = 10: too loud"),
        # Keys that contradict each other: the message names their section, or only the file.
        ('rooms = 1\n[pet]\nkind = "dog"\nvolume = 0', "home.toml: pet.dog: a silent dog does not bark"),
        ('rooms = 1\n[pet]\nkind = "cat"\nwhiskers = 9', "home.toml: a cat needs two rooms"),
    ],
    ids=["one key", "a section", "the file"],
)
def test_our_own_messages_are_printed_without_pydantics_words(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputFault) as error:
        read(tmp_path, text)
    assert str(error.value) == message


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputFault) as error:
        read(tmp_path, 'rooms = 0\ncolour = "red"\n[pet]\nkind = "dog"')
    assert "rooms" in str(error.value)
    assert "colour" in str(error.value)


def test_settings_cannot_be_changed_after_reading(tmp_path: Path) -> None:
    home = read(tmp_path, 'rooms = 2\n[pet]\nkind = "dog"')
    with pytest.raises(ValueError, match="frozen"):
        home.rooms = 3  # type: ignore[misc]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFault, match="this settings file does not exist"):
        read_settings(tmp_path / "none.toml", Home)
