"""lm-evaluation-harness, unmodified, against the demo model: without torch, and without reaching for anything elsewhere.

Its scores are sums of the log-probabilities of a text that it sends as tokens and has echoed: whatever a gateway drops,
reorders or rounds makes them wrong in silence.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from openai import OpenAI

from gateway import PATIENCE, Gateway, serving
from lab import MODEL
from outside import SCRIPTS, environment, program, run

CONTEXT = "Llama 3.3 70B Instruct comes under the"
CHOICES = [" Llama 3.3 Community License", " MIT License", " Apache License 2.0"]

# JSON is YAML.
TASK = {
    "dataset_path": "json",
    "test_split": "test",
    "doc_to_text": "context",
    "target_delimiter": "",
}
KINDS = {
    "likely": {
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    },
    "generated": {
        "output_type": "generate_until",
        "doc_to_target": "likeliest",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    },
}


@dataclass(frozen=True)
class Harness:
    """Its folder, with the tasks and the tokenizer, and the gateway that it asks."""

    folder: Path
    gateway: Gateway
    likeliest: str

    def __call__(self, model: str, tasks: str, succeeds: bool = True) -> str:
        """A run, and what it says; the samples are in `out`."""
        asked = {
            "model": model,
            "base_url": f"{self.gateway.clients}/completions",
            "tokenizer_backend": "huggingface",
            "tokenizer": self.folder / "tokenizer",
            "add_bos_token": True,
            "max_length": 256,
            "max_retries": 1,
        }
        command = [program("lm-eval", "lm_eval"), "run", "--model", "local-completions", "--log_samples"]
        command += ["--model_args", ",".join(f"{name}={value}" for name, value in asked.items())]
        command += ["--tasks", tasks, "--include_path", self.folder / "tasks", "--output_path", self.folder / "out"]
        env = environment(self.folder, OPENAI_API_KEY="unused", HF_HUB_OFFLINE="1")
        return run(command, self.folder, env, succeeds).stderr

    def samples(self, task: str) -> list[dict]:
        """What the last run of a task has written down of each document."""
        written = max(self.folder.glob(f"out/*/samples_{task}_*.jsonl"))
        return [json.loads(line) for line in written.read_text().splitlines()]


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """After a run of both tasks."""
    folder = tmp_path_factory.mktemp("lm-eval")
    run([program("lm-eval", "python"), SCRIPTS / "demo_tokenizer.py", MODEL, folder / "tokenizer"], folder, environment(folder))
    (folder / "gateway").mkdir()
    with serving(folder / "gateway") as gateway:
        client = OpenAI(base_url=gateway.clients, api_key="unused", max_retries=0)
        greedy = client.completions.create(model="pointsman-demo", prompt=CONTEXT, max_tokens=3, temperature=0)
        likeliest = greedy.choices[0].text
        document = {"context": CONTEXT, "choices": [*CHOICES, likeliest], "answer": 0, "likeliest": likeliest}
        (folder / "documents.jsonl").write_text(json.dumps(document) + "\n")
        (folder / "tasks").mkdir()
        for name, kind in KINDS.items():
            files = {"dataset_kwargs": {"data_files": {"test": str(folder / "documents.jsonl")}}}
            (folder / "tasks" / f"{name}.yaml").write_text(json.dumps({"task": name, **TASK, **files, **kind}))
        harness = Harness(folder, gateway, likeliest)
        harness("pointsman-demo", ",".join(KINDS))
        yield harness


def scores(harness: Harness) -> list[tuple[float, bool]]:
    """Of each choice: its log-likelihood after the context, and whether each of its tokens was the likeliest."""
    sample, = harness.samples("likely")
    return [(float(score), greedy == "True") for ((score, greedy),) in sample["resps"]]


@pytest.mark.shows("lm-evaluation-harness", "whole")
def test_its_scores_are_what_the_model_gives_to_the_text(harness: Harness) -> None:
    """It splits the text into tokens itself, and here the engine does: both have to come to the same."""
    client = OpenAI(base_url=harness.gateway.clients, api_key="unused", max_retries=0)
    for text, (score, _) in zip([*CHOICES, harness.likeliest], scores(harness), strict=True):
        ask = {"model": "pointsman-demo", "prompt": CONTEXT + text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        told = client.completions.create(**ask).choices[0].logprobs
        end = len(CONTEXT + text)
        of_text = [logprob for at, logprob in zip(told.text_offset, told.token_logprobs) if len(CONTEXT) <= at < end]
        assert score == pytest.approx(sum(of_text), abs=1e-4), text
    right, *wrong = [score for score, _ in scores(harness)[: len(CHOICES)]]
    assert all(right > score for score in wrong), "the demo model was taught this"


def test_its_scores_are_those_of_the_engine_without_a_gateway_to_the_last_digit(harness: Harness) -> None:
    """The same pairs, scored over the model's own logits by a program that has neither scheduler, sampler nor HTTP."""
    pairs = [{"context": CONTEXT, "continuation": text} for text in (*CHOICES, harness.likeliest)]
    told = subprocess.run(
        [os.environ["POINTSMAN_SCORE"], MODEL],
        input="".join(json.dumps(pair) + "\n" for pair in pairs),
        env={}, check=True, capture_output=True, text=True, timeout=PATIENCE,
    )
    alone = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(score["loglikelihood"], score["is_greedy"]) for score in alone] == scores(harness)


@pytest.mark.shows("lm-evaluation-harness", "whole")
def test_it_takes_what_the_model_says_until_a_stop(harness: Harness) -> None:
    sample, = harness.samples("generated")
    assert sample["resps"] == [[harness.likeliest]] and sample["exact_match"] == 1


def test_what_the_model_would_say_itself_is_told_as_greedy(harness: Harness) -> None:
    """It compares the log-probability of each token with the largest of those beside it: the same number, or not."""
    client = OpenAI(base_url=harness.gateway.clients, api_key="unused", max_retries=0)
    said = client.completions.create(model="pointsman-demo", prompt=CONTEXT, max_tokens=20, temperature=0).choices[0].text
    greedy = [said.startswith(text) for text in (*CHOICES, harness.likeliest)]
    assert [told for _, told in scores(harness)] == greedy


@pytest.mark.shows("lm-evaluation-harness", "error")
def test_a_model_that_nobody_has_ends_the_run(harness: Harness) -> None:
    assert "404 Client Error" in harness("nobody", "likely", succeeds=False)
