# syntax=docker/dockerfile:1
# One image for every service and for the operator; which of them runs is the container's arguments.
#
# Built to run as `runAsNonRoot`, `readOnlyRootFilesystem`, with all capabilities dropped: nothing in it is owned or
# writable by the user that it runs as, and nothing is written at run time.
#
# The base is named by tag. For a release pin its digest with
#   docker build --build-arg BASE=python:3.13-slim@sha256:… .
# A digest in this file would be a promise that somebody renews it: security fixes of the base come with the tag.
ARG BASE=python:3.13-slim

# ------------------------------------------------------------------ build: has pip and the build back end
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src

# Dependencies first: this layer changes with the lock only. `--without-pip`: the result holds no installer.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/alpha-panda \
 && python -m venv /opt/build \
 && /opt/build/bin/python -m pip --python /opt/alpha-panda/bin/python install --no-compile \
      --require-hashes --no-deps --only-binary :all: -r requirements.lock \
 && /opt/build/bin/python -m pip install --require-hashes --no-deps --only-binary :all: -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY operator operator
# Byte code is made here, at the path where it will be read: at run time nothing can be written. unchecked-hash:
# sources are never compared with it, so copying layers with other time stamps can't make it stale.
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
 && /opt/build/bin/python -m pip --python /opt/alpha-panda/bin/python install --no-compile \
      --no-deps --no-index /dist/*.whl \
 && /opt/alpha-panda/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/alpha-panda/lib

# ------------------------------------------------------------------ final: Python and what runs, nothing else
FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="alpha-panda" \
      org.opencontainers.image.description="Trading strategies as Kubernetes resources" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# The base's own installer is no use here, and a shell in the container should find none.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
 && groupadd --gid 10001 panda \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin panda

COPY --from=build /opt/alpha-panda /opt/alpha-panda

ENV PATH=/opt/alpha-panda/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1
# A number, not a name: Kubernetes can check `runAsNonRoot` only on a number.
USER 10001:10001
WORKDIR /
ENTRYPOINT ["alpha-panda"]
CMD ["--help"]
