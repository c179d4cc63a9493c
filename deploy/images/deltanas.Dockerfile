# The one image of all of deltanas' own services; what a container becomes is its command.
#   BASE                 Debian 12 (or newer, with Python 3.11 or newer); pin it by its digest
#   EXTRAS               the parts of pyproject.toml that are installed
#   PIP_EXTRA_INDEX_URL  a further package index, such as PyTorch's own of builds without CUDA, which are much smaller
# Built from the repository's root. Whatever this place needs to reach packages (a CA bundle, /etc/pip.conf, apt's
# sources) is taken from BASE. No secret is asked for, none can get in.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS tools
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends ca-certificates python3-venv >/dev/null \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/pip

# deltanas itself, as a wheel: what changes often stays out of the layer that is large.
FROM tools AS wheel
WORKDIR /build
COPY pyproject.toml README.md ./
COPY contracts contracts
COPY deltanas deltanas
COPY filter_svc filter_svc
COPY gateway gateway
COPY generator_svc generator_svc
COPY sandbox_runner sandbox_runner
RUN /opt/pip/bin/python -m pip wheel --quiet --no-deps --no-cache-dir --wheel-dir /wheels .

FROM ${BASE}
# dataset-fashion-mnist: a data set to begin with, since the runner has no network. tini: collects orphans.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends \
        bubblewrap ca-certificates dataset-fashion-mnist libseccomp2 python3 tini >/dev/null \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 deltanas \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/deltanas --shell /usr/sbin/nologin deltanas \
    && install -d -m 0700 -o deltanas -g deltanas /var/lib/deltanas \
    && install -d -m 0750 -o deltanas -g deltanas /run/deltanas
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=/var/lib/deltanas DELTANAS_HOME=/var/lib/deltanas \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# pip is lent by the first stage and is not in the image.
ARG EXTRAS=gateway,generator,filter,runner,llm,farm,gpu
ARG PIP_EXTRA_INDEX_URL
RUN --mount=type=bind,from=tools,source=/opt/pip,target=/opt/pip \
    --mount=type=bind,source=pyproject.toml,target=/build/pyproject.toml \
    --mount=type=bind,source=deploy/images/requirements.py,target=/build/requirements.py \
    python3 -m venv --without-pip /opt/venv \
    && /opt/venv/bin/python /build/requirements.py /build/pyproject.toml "$EXTRAS" >/tmp/requirements.txt \
    && /opt/pip/bin/python -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir \
        --only-binary :all: --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt
RUN --mount=type=bind,from=tools,source=/opt/pip,target=/opt/pip \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/pip/bin/python -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-index \
        --no-deps /wheels/*.whl
COPY deploy/images/deltanas-entry deploy/images/is-ready /usr/local/bin/
USER deltanas
WORKDIR /var/lib/deltanas
ENTRYPOINT ["/usr/local/bin/deltanas-entry"]
CMD ["deltanas", "--help"]
