# Framewarden on the CPU. On x86-64 the runtime inside is the one build that serves GPUs as well, which makes the
# image large; NVIDIA's libraries are not in it.
#
#   docker build -t framewarden .
#   docker run --rm -v "$PWD:/media:ro" framewarden --help

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Dependencies first: they change less often than the code. The build backend stays out of what is shipped.
COPY constraints.txt constraints-build.txt ./
RUN python -m venv /opt/framewarden \
    && /opt/framewarden/bin/pip install --require-hashes --requirement constraints.txt \
    && pip install --require-hashes --requirement constraints-build.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/framewarden/bin/pip install --no-deps /wheels/*.whl

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 framewarden
COPY --from=build /opt/framewarden /opt/framewarden
ENV PATH=/opt/framewarden/bin:$PATH PYTHONUNBUFFERED=1
# By number, so that Kubernetes can see that it is not root.
USER 10001
WORKDIR /media
# The weights are fetched once, here, and checked against the manifests: a container starts without a network.
RUN framewarden models pull
ENTRYPOINT ["framewarden"]
