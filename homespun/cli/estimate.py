"""``homespun estimate``: what a training run would need on GPUs that one does not have, on paper."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from homespun.cli.configuration import ConfigFile, ConfigurationOptions, Preset, choices_of
from homespun.common.errors import UsageError
from homespun.pipeline.configuration import Options

if TYPE_CHECKING:
    from homespun.training.estimate import Cluster, Estimate

LINES = {
    "weights": "weights",
    "gradients": "gradients",
    "moments": "optimizer's moments",
    "copies": "bf16 copies of matrices",
    "gathered": "borrowed for a moment",
    "activations": "activations",
    "loss": "logits and loss",
    "update": "Muon's matrix products",
    "validation": "validation",
}


def estimate(
    *,
    tokens: Annotated[float | None, Parameter(help="how many tokens to train on [20 for each parameter]")] = None,
    minutes: Annotated[float | None, Parameter(help="instead: as many tokens as fit into this time")] = None,
    gpus: Annotated[int, Parameter(help="how many GPUs")] = 1,
    gpu: Annotated[str, Parameter(help="v100, l4, l40s, a100, h100 or h200")] = "h100",
    gpu_tflops: Annotated[float | None, Parameter(help="its peak in bf16 TFLOP/s, if not as in the data sheet")] = None,
    gpu_memory_gb: Annotated[float | None, Parameter(help="its memory in GB, if not as in the data sheet")] = None,
    utilization: Annotated[float, Parameter(help="share of the peak that is reached")] = 0.4,
    price_per_hour: Annotated[float, Parameter(help="of one GPU")] = 0.0,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the estimate for programs")] = False,
    preset: Preset = None,
    config_file: ConfigFile = None,
    config: ConfigurationOptions = Options(),
) -> None:
    """Operations, time, price and memory of a training run, without training.

    homespun estimate --config recipe.toml --tokens 2.5e9 --gpus 8 --gpu h100 --price-per-hour 2.5
    """
    from homespun.training.estimate import Cluster, named_gpu, tokens_per_second
    from homespun.training.estimate import estimate as estimate_run

    settings = choices_of(config).config
    cluster = Cluster(gpus, named_gpu(gpu, gpu_tflops, gpu_memory_gb), utilization, price_per_hour)
    for option, value in (("--tokens", tokens), ("--minutes", minutes)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{option} is {value}; it must be above 0")
    if minutes is not None:
        if tokens is not None:
            raise UsageError("give --tokens or --minutes, not both")
        tokens = minutes * 60 * tokens_per_second(settings.model, settings.training, cluster)
    result = estimate_run(settings.model, settings.training, cluster, tokens)
    print(json.dumps(record(result, cluster), indent=1) if json_output else "\n".join(lines(result, cluster, gpu)))


def record(result: "Estimate", cluster: "Cluster") -> dict[str, Any]:
    """The estimate as JSON: operations, seconds, bytes; by layout the memory of one GPU with one window in it."""
    layouts = {
        layout.name: asdict(layout.memory) | {"total": layout.memory.total, "micro_batch": layout.micro_batch}
        for layout in result.layouts
    }
    return asdict(result) | {"days": result.seconds / 86400, "cluster": asdict(cluster), "layouts": layouts}


def lines(result: "Estimate", cluster: "Cluster", gpu: str) -> list[str]:
    """The estimate for people."""
    from homespun.report.wording import THIN, count, duration, percent, significant, size

    gpu_hours = result.seconds / 3600 * cluster.gpus
    of_these = f", {count(result.active_parameters)} of them for a token"
    rows = [
        ("model", f"{count(result.parameters)} parameters"
                  f"{of_these if result.active_parameters < result.parameters else ''}"),
        ("tokens", f"{count(result.tokens)}, {significant(result.tokens / result.parameters)} for each parameter"),
        ("work", f"{result.flops_per_token:.3g} operations per token, {result.flops:.3g} in all "
                 f"(6 x parameters x tokens: {result.rule_of_thumb_flops:.3g})"),
        ("speed", f"{count(result.tokens / result.seconds)} tokens/s on {cluster.gpus} x {gpu.lower()} at "
                  f"{percent(cluster.utilization)} of {cluster.gpu.tflops:g} TFLOP/s"),
        ("time", f"{duration(result.seconds)}, {count(gpu_hours / 24)} days of a GPU"),
    ]  # fmt: skip
    if result.cache:
        rows.append(("cache", f"{size(result.cache)} for one text of full context, in 16-bit numbers"))
    if cluster.price_per_hour:
        rows.append(("price", f"{result.price:,.0f} for {gpu_hours:,.0f} hours of a GPU"))
    layouts = result.layouts[: None if cluster.gpus > 1 else 1]  # alone, a GPU has nobody to share with
    table = [("memory of each GPU, one window", *(layout.name for layout in layouts))]
    for key, words in LINES.items():
        table.append((f"  {words}", *(size(getattr(layout.memory, key)) for layout in layouts)))
    table.append(("  together", *(size(layout.memory.total) for layout in layouts)))
    fit = (f"{layout.micro_batch:,}" if layout.micro_batch else "none" for layout in layouts)
    table.append((f"windows that fit into {cluster.gpu.memory_gb:g} GB", *fit))
    width = max(len(row[0]) for row in table)
    told = [f"{name:<8}{words}" for name, words in rows]
    told += [f"{head:<{width}}" + "".join(f"{cell:>12}" for cell in cells) for head, *cells in table]
    return [line.replace(THIN, " ") for line in told]
