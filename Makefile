# The only list of developer commands; `make` prints it. .ci/run calls these and nothing else.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
MIGRATIONS := rqube/store/migrations
TAG := dev
# Each process of the tests has servers of its own; servers that are given have room for one.
TEST_PROCESSES := $(if $(RQUBE_TEST_POSTGRES_URL)$(RQUBE_TEST_REDIS_URL),0,2)
export CLUSTER_DIR ?= $(abspath ../shared/cluster)

# The last step of the set-up writes the tree's path into the stamp. A set-up that was interrupted,
# or that came along when the tree was copied, is therefore made again.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

.DEFAULT_GOAL := help
.PHONY: help run test cluster-test check fix bench soak docs dashboards k8s lock migrate migration images

help:
	@awk -F '## ' '/^[a-z0-9-]+:.*## / { sub(/:.*/, "", $$1); printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: $(READY) ## run everything on this machine, embedded Postgres and Valkey included
	@$(BIN)/rqube dev

test: $(READY) ## run every test that needs no cluster (PYTEST_ARGS="-k name")
	@$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

cluster-test: $(READY) ## install the chart on the cluster of KUBECONFIG and test it there; see CONTRIBUTING.md
	@$(BIN)/pytest tests/images tests/cluster -p no:randomly --timeout 1200 --session-timeout 3600 $(PYTEST_ARGS)

check: $(READY) ## check format, lint, types, imports, dependencies, generated files; run the unit tests
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m charts.monitoring --check
	$(BIN)/pytest tests/unit

fix: $(READY) ## format, and mend what ruff can mend
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

bench: $(READY) ## measure jobs per second, beside RQ's own workers
	@$(BIN)/python -m tests.bench

soak: $(READY) ## run 10,000 jobs while services are killed, flushed, restarted and cut off; 6 minutes
	@$(BIN)/python -m tests.soak $(SOAK_ARGS)

migrate: $(READY) ## apply the migrations to the database of RQUBE_POSTGRES_URL
	@$(BIN)/rqube migrate

migration: ## begin the next numbered migration: make migration NAME=job_tags
	@sh -euc "$$NEXT_MIGRATION" -- '$(NAME)'

docs: $(READY) ## rebuild docs/reference from the code
	@$(BIN)/python docs/generate.py

images: ## build the images by docker, buildah or podman: make images TAG=1.2 REGISTRY=registry.example
	@sh -euc "$$IMAGES" -- '$(TAG)' '$(REGISTRY)' '$(BUILDER)'

dashboards: $(READY) ## rebuild the chart's dashboards, alerts and recording rules from the code
	@$(BIN)/python -m charts.monitoring

k8s: ## render k8s/rendered from the chart; needs helm
	@helm template rqube charts/rqube --namespace rqube --values k8s/values.yaml --skip-tests > k8s/rendered/rqube.yaml

lock: | $(BIN)/uv ## bring requirements.lock up to pyproject.toml (LOCK_ARGS=--upgrade: newer versions)
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group checks --universal \
		--python-version 3.11 --generate-hashes --quiet --system-certs \
		--custom-compile-command 'make lock' --output-file requirements.lock $(LOCK_ARGS)

$(READY): requirements.lock pyproject.toml
	@sh -euc "$$SET_UP"
	@printf %s '$(CURDIR)' > $@

$(BIN)/uv:
	@$(MAKE) $(READY)

define SET_UP
python=
for name in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do
    if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$$name
        break
    fi
done
if [ -z "$$python" ]; then
    echo 'Python 3.11 or newer is missing: neither python3 nor python3.11 to 3.13 is one.' >&2
    echo 'On Debian 12: apt-get install python3-venv. Elsewhere name it: make PYTHON=/path/to/python3' >&2
    exit 1
fi
if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$$python has no venv module. On Debian 12: apt-get install python3-venv" >&2
    exit 1
fi
echo "Setting up $(VENV) with $$($$python --version), once; this takes up to a minute."
rm -rf $(VENV)
$$python -m venv $(VENV)
# What installs the rest: uv, and setuptools because one package comes as source only.
sed -n '/^\(uv\|setuptools\)==/,/[^\\]$$/p' requirements.lock > $(VENV)/first.txt
pip="$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes"
uv="$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-build-isolation"
$$pip -r $(VENV)/first.txt
# pip is slower, but knows the mirrors and certificates of its own settings.
if ! $$uv --require-hashes -r requirements.lock 2>$(VENV)/uv.log; then
    echo 'uv could not install the packages ($(VENV)/uv.log); pip tries, which takes longer.'
    $$pip --no-build-isolation -r requirements.lock
fi
$$uv --offline --no-deps --editable .
endef
export SET_UP

define NEXT_MIGRATION
case "$$1" in
'' | *[!a-z0-9_]*)
    echo 'Give it a name in lower case: make migration NAME=job_tags' >&2
    exit 2
    ;;
esac
last=$$(ls $(MIGRATIONS) | sed -n 's/^\([0-9]\{4\}\)_.*\.sql$$/\1/p' | tail -n 1)
file=$(MIGRATIONS)/$$(printf %04d $$(expr "$$last" + 1))_$$1.sql
echo '-- What this adds, and why the release before can work with it.' > "$$file"
echo "$$file"
endef
export NEXT_MIGRATION

# BUILDER is one of the three, or a program that is called as `PROGRAM build NAME CONTEXT …`.
define IMAGES
tag=$$1 registry=$$2 builder=$$3
for name in docker buildah podman; do
    # A client without its engine builds nothing, and says so in `version`.
    [ -n "$$builder" ] || ! $$name version >/dev/null 2>&1 || builder=$$name
done
if [ -z "$$builder" ]; then
    echo 'Neither docker, buildah nor podman works here. Name one: make images BUILDER=/path/to/docker' >&2
    exit 1
fi
revision=$$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null) || revision=
for target in api worker scheduler; do
    image=$${registry:+$$registry/}rqube-$$target:$$tag
    set -- --file services/Dockerfile --target "$$target" \
        --build-arg "REVISION=$$revision" --build-arg "VERSION=$$tag"
    case $${builder##*/} in
    docker | buildah | podman) "$$builder" build --tag "$$image" "$$@" . ;;
    *) "$$builder" build "$$image" . "$$@" ;;
    esac
    echo "built $$image"
done
endef
export IMAGES
