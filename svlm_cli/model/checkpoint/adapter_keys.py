"""An adapter made to fit a network by the weights that it holds, under whatever names it was trained.

Names of modules changed with transformers 4.52 (``model.layers`` became ``model.language_model.layers``), and
who trains on text alone has other ones again. PEFT finds the modules to adapt by the patterns of
``adapter_config.json``, which may match more than was trained (a tower whose layers have the same names) or,
with the old names, less. Here the stored weights say which modules are adapted; rank and scale of each are
those that its patterns gave under the name it was trained by.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from svlm_cli.errors import ModelError

_PREFIX = "base_model.model."
_WRAPPERS = ("base_model", "model", "language_model", "text_model", "module", "_orig_mod", "thinker")
_LORA = re.compile(r"(?P<module>.+?)\.(?P<part>lora_\w+(\..+)?)")
_NUMBER = re.compile(r"(?<=\.)[0-9]+(?=\.|$)")
_TOKENS = ".token_adapter."
_BASE = ".base_layer"


@dataclass(frozen=True, slots=True)
class _StoredPart:
    """A stored tensor: of which module it was, of which it is now, and what of it."""

    trained: str
    module: str
    part: str
    is_lora: bool
    key: str


@dataclass(frozen=True, slots=True)
class FittedAdapter:
    """An adapter whose names are those of a network.

    Args:
        config: PEFT's configuration, with every module by its full name.
        weights: the tensors as PEFT stores them.
    """

    config: Any
    weights: dict[str, torch.Tensor]


def fit_adapter(network: Any, config: Any, stored: Mapping[str, torch.Tensor]) -> FittedAdapter:
    """The same adapter with a network's own names.

    Args:
        network: a Hugging Face model without an adapter.
        config: PEFT's ``LoraConfig`` as it was stored.
        stored: the adapter's tensors by their stored names.

    Raises:
        ModelError: a tensor has no module here, or a module of which others were stored has none; or two
            tensors are of one place.
    """
    names = _Names([name for name, _ in network.named_modules() if name])
    parts = [_part(key, names) for key in stored]
    if homeless := [part.key for part in parts if not part.module]:
        raise ModelError(
            f"{len(homeless)} weights belong to no module of the model, the first is {homeless[0]}"
        )
    adapted = {part.module: part.trained for part in parts if part.is_lora}
    if missing := _untrained(config, adapted, names):
        raise ModelError(f"{len(missing)} of its modules have no weights, the first is {missing[0]}")
    if unnamed := _unnamed(config, adapted):
        raise ModelError(f"its configuration does not name {len(unnamed)} modules, the first is {unnamed[0]}")
    places: dict[str, str] = {}
    for part in parts:
        base = _BASE if part.module in adapted and not part.is_lora and _TOKENS not in part.key else ""
        place = f"{_PREFIX}{part.module}{base}.{part.part}"
        if place in places:
            raise ModelError(f"{places[place]} and {part.key} are of one place: files of two adapters")
        places[place] = part.key
    weights = {place: stored[key] for place, key in places.items()}
    return FittedAdapter(_exact(config, parts, adapted), weights)


class _Names:
    """Names of a network's modules, found by what is left of a name without its wrappers."""

    def __init__(self, names: Collection[str]) -> None:
        self.all = frozenset(names)
        self._by_core = {_core(name): name for name in sorted(names, reverse=True)}

    def find(self, trained: str) -> str:
        """The module of a name that it was trained by; empty where there is none."""
        if trained in self.all:
            return trained
        core = _core(trained)
        if core in self._by_core:
            return self._by_core[core]
        alike = [name for name in self.all if name.endswith(f".{core}")]
        return alike[0] if len(alike) == 1 else ""


def _core(name: str) -> str:
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in _WRAPPERS:
        del parts[0]
    return ".".join(parts)


def _part(key: str, names: _Names) -> _StoredPart:
    name = key.removeprefix(_PREFIX)
    if found := _LORA.fullmatch(name):
        module, part = found["module"], found["part"]
        outer = module.removesuffix(_BASE)  # experts: one adapter around another
        place = names.find(outer)
        return _StoredPart(module, place and place + module[len(outer) :], part, is_lora=True, key=key)
    if _TOKENS in name:
        module, _, rest = name.partition(_TOKENS)
        return _StoredPart(module, names.find(module), _TOKENS[1:] + rest, is_lora=False, key=key)
    module, _, part = name.rpartition(".")
    module = module.removesuffix(_BASE)
    return _StoredPart(module, names.find(module), part, is_lora=False, key=key)


def _untrained(config: Any, adapted: Mapping[str, str], names: _Names) -> list[str]:
    """Modules that patterns name and that have no weights, though modules of their kind in other layers have.

    A kind of which nothing is stored was matched by a pattern and not trained.
    """
    trained_as = {_kind(module): _kind(trained) for module, trained in adapted.items()}
    missing = []
    for name in sorted(names.all - set(adapted)):
        if (trained := trained_as.get(_kind(name))) is None:
            continue
        for number in _NUMBER.findall(name):
            trained = trained.replace("*", number, 1)
        if _is_named(config, trained):
            missing.append(name)
    return missing


def _unnamed(config: Any, adapted: Mapping[str, str]) -> list[str]:
    """Modules that have weights and that no pattern names: the two files are of two adapters."""
    if getattr(config, "ensure_weight_tying", False) or getattr(config, "target_parameters", None):
        return []  # both adapt more than is named
    return [
        trained
        for module, trained in adapted.items()
        if not _is_named(config, trained) and not _is_named(config, module)
    ]


def _is_named(config: Any, name: str) -> bool:
    from peft.tuners.tuners_utils import check_target_module_exists

    if config.target_modules is None or config.target_modules == "all-linear":
        return config.target_modules is not None
    return bool(check_target_module_exists(config, name))


def _kind(name: str) -> str:
    return _NUMBER.sub("*", name)


def _exact(config: Any, parts: Collection[_StoredPart], adapted: Mapping[str, str]) -> Any:
    """The configuration with every module by its full name."""
    from peft.utils.other import get_pattern_key

    exact = copy.deepcopy(config)

    def patterned(patterns: Mapping[str, int] | None) -> dict[str, int]:
        found = {}
        for module, trained in adapted.items():
            for name in (trained, module):
                key = get_pattern_key(list(patterns or ()), name)
                if patterns and key in patterns:
                    found[re.escape(module)] = patterns[key]
                    break
        return found

    exact.rank_pattern, exact.alpha_pattern = patterned(config.rank_pattern), patterned(config.alpha_pattern)
    of_parameters = tuple(
        each.rpartition(".")[0] for each in getattr(config, "target_parameters", None) or ()
    )
    exact.target_modules = {
        module
        for module in adapted
        if not of_parameters or not module.removesuffix(_BASE).endswith(of_parameters)
    }
    exact.exclude_modules = exact.layers_to_transform = exact.layers_pattern = None
    exact.task_type = None  # a task adds modules of its own
    saved = [each for each in parts if not each.is_lora and _TOKENS not in each.key]
    exact.modules_to_save = sorted({*_saved(config.modules_to_save or (), saved)}) or None
    exact.trainable_token_indices = _tokens(config.trainable_token_indices, parts)
    return exact


def _saved(patterns: Collection[str], saved: Collection[_StoredPart]) -> Iterator[str]:
    """Modules that were trained whole: the ends of patterns, by names of which something is stored."""
    for part in saved:
        trained, module = part.trained, part.module
        while trained and module:
            if any(trained.endswith(pattern) for pattern in patterns):
                yield module
                break
            trained, module = trained.rpartition(".")[0], module.rpartition(".")[0]


def _tokens(indices: Any, parts: Collection[_StoredPart]) -> Any:
    """Rows that were trained, by the full names of the modules."""
    if not isinstance(indices, Mapping):
        return indices
    return {
        part.module: rows
        for part in parts
        if _TOKENS in part.key
        for name, rows in indices.items()
        if part.trained == name or part.trained.endswith(f".{name}")
    }
