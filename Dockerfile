# The image that every task of a workflow runs; `lockgate` is its entry point.
#
#   uv build --wheel                      # or: pip wheel --no-deps --wheel-dir dist .
#   docker build --build-arg PYTHON=python:3.13-slim@sha256:… --tag … .
#
# PYTHON has no default: an image is as reproducible as the digest it begins with. Everything Python is locked
# by hash in requirements.image.lock; git and its libraries are those of the day in the base's distribution.
ARG PYTHON

FROM ${PYTHON} AS installed
COPY requirements.image.lock /build/
# Wheels only: nothing is compiled here, so that no compiler is needed and none is left.
RUN python -m venv --without-pip /opt/lockgate \
 && python -m pip --python /opt/lockgate/bin/python install --no-cache-dir --no-compile --no-deps \
      --only-binary :all: --require-hashes --requirement /build/requirements.image.lock
COPY dist/lockgate-*.whl /build/
RUN python -m pip --python /opt/lockgate/bin/python install --no-cache-dir --no-compile --no-deps --no-index \
      /build/lockgate-*.whl
# Nothing can be written when it runs. Compiled now, by content and not by date, a step begins a second sooner;
# what the packages test themselves with would be a tenth of it all.
RUN find /opt/lockgate/lib -type d -name tests -prune -exec rm -r {} + \
 && /opt/lockgate/bin/python -m compileall -qf --invalidation-mode unchecked-hash /opt/lockgate/lib

FROM ${PYTHON}
LABEL org.opencontainers.image.title="lockgate" \
      org.opencontainers.image.description="Moves machine-learning models to 100 % of live traffic, through gates" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log \
 && python -m pip uninstall --yes --quiet --root-user-action ignore pip \
 && mkdir /var/cache/lockgate \
 && chown 65532:65532 /var/cache/lockgate
COPY --from=installed /opt/lockgate /opt/lockgate
ENV PATH=/opt/lockgate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    LOCKGATE_STATE_DIR=/var/cache/lockgate
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["lockgate"]
