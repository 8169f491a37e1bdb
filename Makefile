# make run         serve IMAP on 127.0.0.1:1143 with a demo account
# make check       everything that must pass: format, lint, types, tests, dialogs, mail clients
# make check-fast  the part of it that takes less than a minute (tests/conftest.py says which)
# make check-long  what takes many minutes: a kill and a failure at every step, both servers on one maildir for
#                  long (SOAK_S=180), sessions against the model of what they may be told
# make bench       figures beside Courier and Dovecot, into bench/results/
# make tools       fetch what `check` needs beyond Debian packages
# make clean       remove what the other targets made; `make distclean`: what was fetched too

PYTHON = /usr/bin/python3
VENV = .tools/venv/bin
SOAK_S = 180
CHECKED = src tests bench tools
PYTEST = $(PYTHON) -m pytest -q -p no:cacheprovider

export PYTHONPATH = src
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: run check check-fast check-long lint tools bench clean distclean

run:
	@tools/install run
	@exec $(PYTHON) tools/demo.py

check: tools lint
	@PYTEST='$(PYTEST)' tools/run-tests

check-fast: tools/venv
	@tools/install check
	@tools/venv
	@$(MAKE) --no-print-directory lint
	@PYTEST='$(PYTEST)' tools/run-tests fast

# What takes long: a kill and a failure at every step of what is done on disk, both servers on one maildir for minutes, more fuzz,
# sessions against a model.
check-long: tools
	EVERY_STEP=1 SOAK_S=$(SOAK_S) FUZZ_ROUNDS=100 MODEL_EXAMPLES=2000 MODEL_ROUNDS=300 $(PYTEST) \
		tests/imapd/commands/test_killed.py tests/imapd/commands/test_failing_disk.py tests/sessions/test_side_by_side.py \
		tests/imapd/test_fuzz.py tests/imapd/smap/test_fuzz.py tests/sessions/test_protocols.py \
		tests/sessions/test_model.py tests/sessions/test_model_processes.py
	SYNC_MESSAGES=10000 $(PYTEST) tests/clients/test_mbsync.py tests/clients/test_offlineimap.py -k two_ways

lint:
	$(VENV)/ruff format --quiet --check --diff $(CHECKED)
	$(VENV)/ruff check --quiet $(CHECKED)
	$(VENV)/mypy

tools:
	@tools/install check
	@tools/venv
	@tools/unpack courier
	@tools/unpack delivery
	@tools/unpack evolution
	@tools/unpack sysconftool
	@tools/unpack dovecot

bench:
	@tools/install bench
	@tools/unpack courier
	@tools/unpack dovecot
	$(PYTHON) -m bench.imap
	$(PYTHON) -m bench.folders
	$(PYTHON) -m bench.pop3
	$(PYTHON) -m bench.daemons
	$(PYTHON) -m bench.passwords

clean:
	rm -rf .run build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .tools

# --- Installation without a package -------------------------------------------------------------
# make install            programs, modules, manual pages, units, and settings as *.dist
# make install-configure  merge *.dist into the settings in use, which say what became of each
# The places are Debian's; each can be given: make install DESTDIR=/tmp/x prefix=/usr/local ...
# Users and directories in /run are made at boot, or at once by `systemd-sysusers` and
# `systemd-tmpfiles --create`, which find what is installed for them here.

DESTDIR =
prefix = /usr
bindir = $(prefix)/bin
sbindir = $(prefix)/sbin
libdir = $(prefix)/lib/pycourier
mandir = $(prefix)/share/man
sysconfdir = /etc/courier
localstatedir = /var/lib/courier
rundir = /run/courier
# Courier's configure: --with-piddir, --with-userdb, --with-syslog; for its other options see
# doc/installation.md.
piddir = $(rundir)
userdb = $(sysconfdir)/userdb
facility = mail
libexecdir = $(prefix)/lib/courier
unitdir = /usr/lib/systemd/system
generatordir = /usr/lib/systemd/system-generators
initdir = /etc/init.d
crondir = /etc/cron.monthly
pamdir = /etc/pam.d
# The rules in pam.d/: empty for Debian's, or redhat.
pamvariant = $(if $(wildcard /etc/pam.d/password-auth),redhat)
sysusersdir = /usr/lib/sysusers.d
tmpfilesdir = /usr/lib/tmpfiles.d
PLACES = bindir sbindir libdir mandir prefix sysconfdir localstatedir rundir piddir userdb facility \
    libexecdir unitdir generatordir initdir crondir pamdir pamvariant sysusersdir tmpfilesdir
INSTALL_TREE = $(PYTHON) tools/install_tree.py
PLACED = --destdir='$(DESTDIR)' --python='$(PYTHON)' $(foreach place,$(PLACES),--$(place)='$($(place))')

.PHONY: install install-strip install-configure

install:
	@$(INSTALL_TREE) install $(PLACED)

install-strip: install

install-configure:
	@$(INSTALL_TREE) configure $(PLACED)

# --- Packages -----------------------------------------------------------------------------------
# make deb   the Debian packages, into build/deb; needs no network once debhelper is installed

.PHONY: deb

deb:
	@tools/install deb
	@tools/build-deb

# make rpm   the packages of Fedora and its relatives, into build/rpm, with whatever rpmbuild there is

.PHONY: rpm

rpm:
	@tools/install rpm
	@tools/build-rpm
