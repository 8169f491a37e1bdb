# make run         serve IMAP on 127.0.0.1:1143 with a demo account
# make check       everything that must pass: format, lint, types, tests, dialogs, mail clients
# make check-fast  the part of it that takes seconds
# make bench       figures beside Courier and Dovecot, into bench/results/
# make tools       fetch what `check` needs beyond Debian packages
# make clean       remove what the other targets made; `make distclean`: what was fetched too

PYTHON = /usr/bin/python3
VENV = .tools/venv/bin
CHECKED = src tests bench tools
PYTEST = $(PYTHON) -m pytest -q -p no:cacheprovider
FAST = not slow and not courier and not client and not root

export PYTHONPATH = src
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: run check check-fast lint tools bench clean distclean

run:
	@tools/install run
	@exec $(PYTHON) tools/demo.py

check: tools lint
	$(PYTEST)

check-fast: tools/venv
	@tools/install check
	@tools/venv
	@$(MAKE) --no-print-directory lint
	$(PYTEST) -m "$(FAST)"

lint:
	$(VENV)/ruff format --quiet --check --diff $(CHECKED)
	$(VENV)/ruff check --quiet $(CHECKED)
	$(VENV)/mypy

tools:
	@tools/install check
	@tools/venv
	@tools/unpack courier
	@tools/unpack sysconftool

bench:
	@tools/install bench
	@tools/unpack courier
	@tools/unpack dovecot
	$(PYTHON) -m bench.imap

clean:
	rm -rf .run .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .tools
