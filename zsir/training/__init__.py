"""Train priors: denoisers from folders of pictures, and consistency models from denoisers."""

from zsir.training.recipe import RECIPES, Recipe, recipe
from zsir.training.session import Run, distill, train_denoiser

__all__ = ["RECIPES", "Recipe", "Run", "distill", "recipe", "train_denoiser"]
