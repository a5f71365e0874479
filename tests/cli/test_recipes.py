"""Every recipe reads, and says at its top how it is run."""

from pathlib import Path

import pytest

from homespun.pipeline.configuration import load_toml

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_reads_and_tells_its_command(recipe: Path) -> None:
    load_toml(recipe)
    assert f"--config recipes/{recipe.name}" in recipe.read_text("utf-8")


def test_there_are_recipes() -> None:
    assert RECIPES
