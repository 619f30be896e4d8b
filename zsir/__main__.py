"""``python -m zsir`` is the command ``zsir``."""

from zsir.cli import main

if __name__ == "__main__":
    main(prog_name="zsir")
