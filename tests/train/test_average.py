from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from svlm_cli.claims import claim
from svlm_cli.model.seal import write_seal
from svlm_cli.train.average import main


def model(folder: Path, **tensors: torch.Tensor) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(folder.name)
    return folder


def test_the_mean_of_three_models(tmp_path: Path) -> None:
    models = [
        model(tmp_path / name, a=torch.tensor([value, 0.0], dtype=torch.bfloat16), b=torch.tensor([value]))
        for name, value in (("x", 1.0), ("y", 2.0), ("z", 6.0))
    ]
    assert main([str(tmp_path / "out"), *map(str, models)]) == 0
    mean = load_file(tmp_path / "out" / "model.safetensors")
    assert mean["a"].dtype == torch.bfloat16
    assert mean["a"].tolist() == [3.0, 0.0]
    assert mean["b"].tolist() == [3.0]
    assert (tmp_path / "out" / "config.json").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x", "y", "z"]


@pytest.mark.parametrize(
    ("names", "told", "code"),
    [
        (["x"], "two models", 2),
        (["x", "nowhere"], "nowhere holds no", 1),
        (["x", "other"], "other weights", 1),
    ],
)
def test_what_has_no_mean_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], told: str, code: int
) -> None:
    model(tmp_path / "x", a=torch.zeros(2))
    model(tmp_path / "other", a=torch.zeros(3))
    assert main([str(tmp_path / "out"), *(str(tmp_path / name) for name in names)]) == code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [model(tmp_path / name, a=torch.zeros(2)) for name in ("x", "y")]
    assert main([str(models[0]), *map(str, models)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_the_mean_carries_no_seal_of_another_and_a_damaged_model_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [model(tmp_path / name, a=torch.ones(2)) for name in ("x", "y")]
    for folder in models:
        (folder / "result.json").write_text("{}")
        write_seal(folder, {})
    assert main([str(tmp_path / "out"), *map(str, models)]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    weights = models[1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert main([str(tmp_path / "again"), *map(str, models)]) == 1
    assert f"{weights} is damaged" in capsys.readouterr().err
    (models[0] / "svlm_checkpoint.json").unlink()
    (models[0] / "model.safetensors").write_bytes(b"")
    assert main([str(tmp_path / "again"), *map(str, models)]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_a_mean_that_somebody_is_writing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [model(tmp_path / name, a=torch.ones(2)) for name in ("x", "y")]
    with claim(tmp_path / "out", "it"):
        assert main([str(tmp_path / "out"), *map(str, models)]) == 1
    assert "is being written by process" in capsys.readouterr().err


def test_what_was_typed_is_shown_with_its_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["out", "a", "b", "--\x1b]0;title\x07"])
    assert exit_.value.code == 2
    told = capsys.readouterr().err
    assert "title" in told
    assert not {"\x1b", "\x07"} & {*told}
