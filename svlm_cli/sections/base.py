"""What every section of a recipe is, and the numbers that stand in one."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from svlm_cli.values import decimal

MOST = 10**9  # of any number: what is larger is a slip
PositiveInt = Annotated[int, Field(gt=0, le=MOST)]
PositiveFloat = Annotated[float, Field(gt=0, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Size = Annotated[int, Field(gt=0, le=65_536)]
Weight = Annotated[float, Field(ge=0, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a recipe: frozen, and no key but those that are named."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plain_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """A number that is quoted is read by the rule for all text; a truth value is none."""
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if not kinds <= {int, float, type(None)} or not isinstance(value, str | bool) or value in _ENDLESS:
            return value
        found = None if isinstance(value, bool) else decimal(value)
        if found is None:
            raise PydanticCustomError("number", "input should be a valid number")
        return int(value) if str(value).lstrip("+-").isdecimal() else found


_ENDLESS = ("inf", "Infinity")  # whether it may be is the field's


def _kinds(annotation: Any) -> set[Any]:
    """What a field may be, unions taken apart."""
    inner = get_args(annotation)
    return {annotation} if not inner else set().union(*map(_kinds, inner))
