"""Programs for the makers of zsir: they run from a clone and are no part of the wheel."""
