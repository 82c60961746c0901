"""The class that lmms-eval loads, against its contract; against lmms-eval itself where that is installed.

lmms-eval lives in an environment of its own (docs/bench.md): run this file there for the second half.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from svlm_cli.errors import SourceError, UsageError
from tests.bench import made_data

HAS_LMMS = importlib.util.find_spec("lmms_eval") is not None
needs_lmms = pytest.mark.skipif(not HAS_LMMS, reason="lmms-eval lives in an environment of its own")
TASK = """task: svlm_tiny
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: answer
generation_kwargs:
  max_new_tokens: 2
process_results: !function utils.process_results
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
UTILS = """def doc_to_visual(doc): return [doc["video"]]
def doc_to_text(doc, lmms_eval_specific_kwargs=None): return doc["question"]
def process_results(doc, results): return {"acc": float(doc["answer"] in results[0])}
"""
# What the class uses of lmms-eval's.
BASE = """class CacheHook:
    def add_partial(self, *_):
        pass


class lmms:
    def __init__(self):
        self.cache_hook, self.task_dict = CacheHook(), {}
"""


@dataclass
class Instance:
    args: tuple[Any, ...]


@pytest.fixture(scope="module")
def svlm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The class, over lmms-eval's own base or one with what the class uses of it."""
    with pytest.MonkeyPatch.context() as patched:
        if not HAS_LMMS:
            folder = tmp_path_factory.mktemp("packages")
            base = folder / "lmms_eval" / "api" / "model.py"
            base.parent.mkdir(parents=True)
            base.write_text(BASE)
            patched.syspath_prepend(folder)
        from svlm_cli.bench.questions.lmms_model import Svlm
    return Svlm


@pytest.fixture
def documents(tmp_path: Path, make_video) -> dict[str, Any]:
    video = make_video(tmp_path / "v.mp4", seconds=5)
    picture = Image.new("RGB", (64, 48), "red")
    return {"tiny": {"test": [{"see": [str(video)]}, {"see": [picture, picture]}, {"see": []}]}}


def opened(svlm: Any, checkpoint: Path, documents: dict[str, Any], **more: Any) -> Any:
    model = svlm(pretrained=str(checkpoint), device="cpu", max_pixels=20000, **more)
    model.task_dict = documents
    return model


def see(document: dict[str, Any]) -> Any:
    return document["see"]


def test_the_entry_point_names_it() -> None:
    (found,) = [each for each in entry_points(group="lmms_eval.models") if each.name == "svlm"]
    assert found.value == "svlm_cli.bench.questions.lmms:manifest"


@pytest.mark.parametrize("show", ["whole", "streamed", "recent"])
def test_generate_until(svlm, checkpoint, documents, show: str) -> None:
    model = opened(svlm, checkpoint, documents, show=show, max_frames=4)
    assert model.is_simple
    wanted = {"max_new_tokens": 3, "until": ["\n\n"]}
    requests = [Instance(("What?", dict(wanted), see, number, "tiny", "test")) for number in (0, 1)]
    answers = model.generate_until(requests)
    assert [type(answer) for answer in answers] == [str, str]
    with pytest.raises(SourceError, match="nothing"):
        model.generate_until([Instance(("What?", wanted, see, 2, "tiny", "test"))])


def test_stop_texts_cut_the_answer(svlm, checkpoint, documents, monkeypatch) -> None:
    model = opened(svlm, checkpoint, documents)
    monkeypatch.setattr(model._plain, "reply", lambda *_: "B. red\n\nQuestion: more")
    request = Instance(("What?", {"until": ["\n\n", "Question:"]}, see, 0, "tiny", "test"))
    assert model.generate_until([request]) == ["B. red"]


def test_likelihood_prefers_what_is_said(svlm, checkpoint, documents) -> None:
    model = opened(svlm, checkpoint, documents, max_frames=2)
    asked = ("What?", see, 0, "tiny", "test")
    found = model.loglikelihood(
        [
            Instance((asked[0], " goal", *asked[1:])),
            Instance((asked[0], lambda _: " goal", *asked[1:])),
            Instance((asked[0], " no goal at all", *asked[1:])),
        ]
    )
    assert found[0] == found[1]
    assert all(total < 0 and isinstance(is_best, bool) for total, is_best in found)


def test_rounds_go_on_until_the_document_says_so(svlm, checkpoint, documents, monkeypatch) -> None:
    model = opened(svlm, checkpoint, documents)
    asked = []
    monkeypatch.setattr(
        model, "_answer", lambda visuals, context, wanted: asked.append(context) or f"re {context}"
    )

    def more(document, previous_output, round_idx, previous_round_info):
        assert round_idx == len(previous_output)
        assert previous_round_info == (None if round_idx == 1 else f"info {round_idx - 1}")
        return see(document), f"round {round_idx}", round_idx == 3, previous_output, f"info {round_idx}"

    request = Instance(("round 0", {}, see, more, 0, "tiny", "test"))
    assert model.generate_until_multi_round([request]) == [("re round 0", "re round 1", "re round 2")]
    assert asked == ["round 0", "round 1", "round 2"]


@pytest.mark.parametrize("arguments", [{"batch_size": 4}, {"show": "all"}, {"policy": "none"}, {"fps": 1.3}])
def test_wrong_arguments(svlm, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        svlm(**arguments)


@needs_lmms
def test_lmms_eval_lists_it_and_completes_a_tiny_task(checkpoint: Path, tmp_path: Path, make_video) -> None:
    from lmms_eval.models import get_model, list_available_models

    assert "svlm" in list_available_models()
    assert get_model("svlm").__name__ == "Svlm"
    video = make_video(tmp_path / "v.mp4", seconds=4)
    folder = tmp_path / "tasks" / "svlm_tiny"
    folder.mkdir(parents=True)
    made_data.lines(folder / "test.jsonl", [{"video": str(video), "question": "A or B?", "answer": "A"}])
    (folder / "svlm_tiny.yaml").write_text(TASK.format(data=folder / "test.jsonl"))
    (folder / "utils.py").write_text(UTILS)
    command = [
        sys.executable,
        "-m",
        "lmms_eval",
        "--model",
        "svlm",
        "--tasks",
        "svlm_tiny",
        "--device",
        "cpu",
    ]
    command += ["--model_args", f"pretrained={checkpoint},show=streamed,max_pixels=20000"]
    command += [
        "--include_path",
        str(tmp_path / "tasks"),
        "--batch_size",
        "1",
        "--output_path",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    (results,) = (tmp_path / "out").rglob("*_results.json")
    assert "svlm_tiny" in json.loads(results.read_text())["results"]
