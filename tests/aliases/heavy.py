"""What the made-up face really has; imported when one of its names is asked for."""

from __future__ import annotations


class Keeper: ...


class Settings: ...
