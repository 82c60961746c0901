"""A checkpoint or a result that is damaged is passed over or refused, never trained on in silence."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from svlm_cli.errors import ModelError, SvlmError
from svlm_cli.model.seal import SEAL_FILE, write_seal
from svlm_cli.train.trainer import train
from tests.trust.training import STEPS, end_of, in_a_child, least_recipe, run

PROMISE = "a sealed checkpoint or result damaged in any way is passed over or refused, and told"
OF_TRAINING = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
OF_BOTH = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "recipe.yaml",
    "tokenizer.json",
    "tokenizer_config.json",
    "training_args.bin",
)


def flipped(content: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << dice.randrange(8)]) + content[place + 1 :]


WAYS: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "missing": lambda content, dice: None,
    "empty": lambda content, dice: b"",
    "cut": lambda content, dice: content[: dice.randrange(1, len(content))],
    "one bit": flipped,
    "zeros": lambda content, dice: bytes(len(content)),
    "longer": lambda content, dice: content + dice.randbytes(dice.randint(1, 5000)),
}


def changed(change: Callable[[dict[str, object]], object]) -> Callable[[bytes, random.Random], bytes]:
    def way(content: bytes, dice: random.Random) -> bytes:
        seal = json.loads(content)
        change(seal)
        return json.dumps(seal).encode()

    return way


SEAL_WAYS = {
    **{name: way for name, way in WAYS.items() if name != "missing"},
    "no JSON": lambda content, dice: b"{",
    "a list": lambda content, dice: b"[]",
    "a number of 5,000 digits": lambda content, dice: b'{"files": ' + b"9" * 5000 + b"}",
    "too deep": lambda content, dice: b"[" * 100_000,
    "other bytes": lambda content, dice: dice.randbytes(3000),
    "no hash of its own": changed(lambda seal: seal.pop("sha256")),
    "no files": changed(lambda seal: seal.pop("files")),
    "files that are none": changed(lambda seal: seal.update(files=[1, 2])),
    "a file outside": changed(lambda seal: seal["files"].update({"../../recipe.yaml": {}})),
    "another hash": changed(lambda seal: seal["files"]["config.json"].update(sha256="0" * 64)),
    "another recipe": changed(lambda seal: seal["recipe"].update(seed=5)),
}
CASES = [
    *(("checkpoint", name, way) for name in (*OF_TRAINING, *OF_BOTH) for way in WAYS),
    *(("final", name, way) for name in (*OF_BOTH, "result.json") for way in WAYS),
    *((place, SEAL_FILE, way) for place in ("checkpoint", "final") for way in SEAL_WAYS),
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints and a result."""
    output = tmp_path_factory.mktemp("trained") / "run"
    in_a_child(lambda: run(least_recipe(), output)).join()
    return output


def copied(trained: Path, output: Path, newest: str) -> Path:
    """The run with ``newest`` as the last thing it has written."""
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(trained, output)
    if newest != "final":
        shutil.rmtree(output / "s" / "final")
    return output / "s" / newest


def damage(path: Path, way: str, dice: random.Random) -> bool:
    """Whether it has another content now."""
    before = path.read_bytes()
    after = (SEAL_WAYS if path.name == SEAL_FILE else WAYS)[way](before, dice)
    path.unlink()
    if after is not None:
        path.write_bytes(after)
    return after != before


def test_what_is_damaged_is_passed_over(
    trained: Path, tmp_path: Path, cases: Callable[[int, int], range], tally: Callable[[str, int], None]
) -> None:
    """Every file in every way; the run ends as the undisturbed one, from the newest whole checkpoint."""
    dice = random.Random("damage")
    order = dice.sample(CASES, len(CASES))
    chosen = [order[number] for number in cases(6, len(CASES))]
    output = tmp_path / "run"
    for place, name, way in chosen:
        case = (place, name, way)
        target = copied(trained, output, f"checkpoint-{STEPS}" if place == "checkpoint" else place)
        assert damage(target / name, way, dice), case
        if place == "checkpoint":
            with pytest.raises(SvlmError) as refused:
                train(least_recipe(), output, start=target)
            assert name in refused.value.message, case
            assert target.is_dir(), case
        told = run(least_recipe(), output)
        warning = next(line for line in told if "warning" in line)
        assert str(target / name) in warning, (case, told)
        left = STEPS - 1 if place == "checkpoint" else STEPS
        assert any(line.endswith(f"going on from {target.parent}/checkpoint-{left}") for line in told), case
        assert end_of(output / "s") == end_of(trained / "s"), case
        assert (output / "s" / f"damaged-{target.name}").is_dir(), case
        assert run(least_recipe(), output) == [f"s: done already, {output}/s/final"], case
    tally(PROMISE, len(chosen))


def test_where_nothing_is_whole_the_stage_begins_afresh(trained: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    target = copied(trained, output, f"checkpoint-{STEPS}")
    for path in target.parent.glob("checkpoint-*"):
        (path / "optimizer.pt").write_bytes(b"")
    told = run(least_recipe(), output)
    assert sum("optimizer.pt is damaged: it has 0 bytes" in line for line in told) == STEPS
    assert "s: nothing to go on from is left; the stage begins afresh" in told
    assert end_of(output / "s") == end_of(trained / "s")


def test_a_seal_that_lists_no_files_is_told(trained: Path, tmp_path: Path) -> None:
    """Those of an older build: what training needs must be there; whether it is damaged nobody can say."""
    output = tmp_path / "run"
    for name in (None, "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        target = copied(trained, output, f"checkpoint-{STEPS}")
        seal = json.loads((target / SEAL_FILE).read_text())
        for key in ("files", "sha256", "base_sha256"):
            del seal[key]
        (target / SEAL_FILE).write_text(json.dumps(seal))
        if name is not None:
            content = (target / name).read_bytes()
            (target / name).write_bytes(content[: len(content) // 2])
        told = run(least_recipe(), output)
        if name is None:
            assert f"s: warning: {target} was sealed by an older build: its content cannot be checked" in told
        else:
            assert any(f"{target / name} is damaged" in line for line in told), told
        assert end_of(output / "s") == end_of(trained / "s")


def test_a_later_stage_of_other_weights_is_run_again(tmp_path: Path) -> None:
    """As a power cut leaves it between a stage that was run again and the next one."""
    output = tmp_path / "run"
    recipe = least_recipe("a", "b", steps=1)
    run(recipe, output)
    (output / "b" / "final" / "README").write_text("mine\n")
    assert [line.split(",")[0] for line in run(recipe, output)] == ["a: done already", "b: done already"]
    final = output / "a" / "final"
    seal = json.loads((final / SEAL_FILE).read_text())
    weights = final / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    write_seal(final, {key: value for key, value in seal.items() if key not in ("files", "sha256")})
    told = run(recipe, output)
    assert f"b: {output}/b/final was trained from other weights than the stage before has now" in told
    assert any(line.startswith("b: step 1/1") for line in told)
    assert not (output / "b" / "final" / "README").exists()


def test_a_damaged_result_is_no_base(tmp_path: Path) -> None:
    """It is made again from its stage's checkpoint; what followed began with the same weights and stays."""
    output = tmp_path / "run"
    recipe = least_recipe("a", "b", steps=1)
    run(recipe, output)
    before = end_of(output / "b")
    path = output / "a" / "final" / "model.safetensors"
    path.write_bytes(flipped(path.read_bytes(), random.Random(0)))
    told = run(recipe, output)
    assert any("warning" in line and str(path) in line for line in told)
    assert f"a: going on from {output}/a/checkpoint-1" in told
    assert told[-1] == f"b: done already, {output}/b/final"
    assert end_of(output / "b") == before


def test_a_stage_that_was_begun_anew_is_not_done(trained: Path, tmp_path: Path) -> None:
    """Stopped right after --resume never: the result of before does not stand for the new run."""
    output = tmp_path / "run"
    copied(trained, output, "final")

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    other = least_recipe(learning_rate=2e-3)
    with pytest.raises(KeyboardInterrupt):
        train(other, output, resume=False, tell=stop)
    assert (output / "s" / "final.before" / "model.safetensors").is_file()
    told = run(other, output)
    assert not any("done already" in line for line in told)
    assert not (output / "s" / "final.before").exists()
    assert end_of(output / "s") != end_of(trained / "s")


def test_a_damaged_model_is_not_started_from(trained: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(trained / "s" / "final", start)
    path = start / "model.safetensors"
    path.write_bytes(flipped(path.read_bytes(), random.Random(0)))
    recipe = least_recipe()
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"start": start})})
    with pytest.raises(ModelError, match=r"start/model\.safetensors is damaged"):
        run(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "s").exists()
