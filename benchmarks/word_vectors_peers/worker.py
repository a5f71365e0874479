"""One training of word vectors in a process of its own, and its scores. Task on standard input, figures on the output.

``count``: from the file of words to a vocabulary (and, with us, to word ids); ``train``: from there to vectors. The
scores of both sides come from ``homespun.inference.word_vectors``, which tests hold to gensim's own measures.
"""

import importlib.metadata
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from homespun import __version__
from homespun.inference.word_vectors.evaluate import all_together, score_analogies, score_similarity
from homespun.inference.word_vectors.nearest import NearestWords
from homespun.inference.word_vectors.questions import read_analogies, read_judgements
from homespun.training.word_vectors.vectors import WordVectors

Task = dict[str, Any]


class Learned(NamedTuple):
    """Vectors, and how long they took: seconds of the clock, and of all cores together."""

    found: WordVectors
    count_s: float
    train_s: float
    train_cpu_s: float
    version: str


def homespun_side(task: Task) -> Learned:
    """Ours; the kernel is loaded (and if need be compiled) before the clock starts."""
    from homespun.tokenizer.compiled.machine_code import load_kernel
    from homespun.training.word_vectors.compiled.learner import KERNELS
    from homespun.training.word_vectors.passages import WordCounter
    from homespun.training.word_vectors.settings import WordVectorConfig
    from homespun.training.word_vectors.train import train_word_vectors

    config = WordVectorConfig(**task["settings"])
    load_kernel(KERNELS[config.method])
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with WordCounter(Path(folder)) as counter, open(task["text"], encoding="utf-8") as file:
            for line in file:
                counter.add(line.split())
            passages, vocabulary = counter.finish(config.minimum_count)
        counted, cpu = time.perf_counter(), time.process_time()
        found = train_word_vectors(passages, vocabulary, config)
        seconds, cpu_seconds = time.perf_counter() - counted, time.process_time() - cpu
        return Learned(found, counted - began, seconds, cpu_seconds, __version__)


def gensim_side(task: Task) -> Learned:
    """gensim's Word2Vec; ``corpus_file`` is its faster way, a list of sentences the one that most people know."""
    from gensim.models import Word2Vec

    settings = task["settings"]
    source: dict[str, Any] = {"corpus_file": task["text"]}
    if task["side"] == "gensim":
        with open(task["text"], encoding="utf-8") as file:
            source = {"corpus_iterable": [line.split() for line in file]}
    began = time.perf_counter()
    model = Word2Vec(
        sg=int(settings["method"] == "skipgram"),
        vector_size=settings["dimensions"],
        window=settings["window"],
        negative=settings["negatives"],
        min_count=settings["minimum_count"],
        sample=settings["subsampling"],
        alpha=settings["learning_rate"],
        seed=settings["seed"],
        workers=settings["threads"],
        epochs=settings["epochs"],
    )
    model.build_vocab(**source)
    counted, cpu = time.perf_counter(), time.process_time()
    model.train(**source, total_examples=model.corpus_count, total_words=model.corpus_total_words, epochs=model.epochs)
    seconds, cpu_seconds = time.perf_counter() - counted, time.process_time() - cpu
    found = WordVectors(tuple(model.wv.index_to_key), model.wv.vectors)
    return Learned(found, counted - began, seconds, cpu_seconds, importlib.metadata.version("gensim"))


SIDES: dict[str, Callable[[Task], Learned]] = {
    "homespun": homespun_side,
    "gensim": gensim_side,
    "gensim file": gensim_side,
}


def main() -> None:
    """Do the task."""
    task = json.loads(sys.stdin.read())
    learned = SIDES[task["side"]](task)
    nearest = NearestWords(learned.found)
    analogies = all_together(score_analogies(nearest, read_analogies(Path(task["analogies"]))))
    figures = {
        "version": learned.version,
        "vocabulary": len(learned.found.words),
        "count_s": learned.count_s,
        "train_s": learned.train_s,
        "train_cpu_s": learned.train_cpu_s,
        "analogies": {"asked": analogies.asked, "right": analogies.right, "accuracy": analogies.accuracy},
        "similarity": {
            Path(path).stem: vars(score_similarity(nearest, read_judgements(Path(path)))) for path in task["similarity"]
        },
    }
    print("\n" + json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
