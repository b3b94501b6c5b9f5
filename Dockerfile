# syntax=docker/dockerfile:1
# The service, for `docker build .` at the root of a checkout.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.lock LICENSE CHANGELOG.md README.md ./
COPY proto proto
COPY client client
COPY server server
COPY docs docs
# The lock file fixes the versions of everything that the two distributions need.
RUN python -m venv /opt/venv \
    && sed -e '/^ *--hash/d' -e '/^ *#/d' -e 's/ *\\$//' requirements.lock > /tmp/versions.txt \
    && /opt/venv/bin/pip install --constraint /tmp/versions.txt ./client './server[jwt,otel]' \
    && /opt/venv/bin/pip uninstall --yes pip \
    && find /opt/venv -name tests -type d -prune -exec rm -rf {} +

FROM python:${PYTHON}-slim-trixie
LABEL org.opencontainers.image.title="scheduling-srv" \
      org.opencontainers.image.description="A durable job scheduler over Kafka and Redis" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin scheduling
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SCHEDULING_GRPC_ADDRESS=0.0.0.0:50054 \
    SCHEDULING_ADMIN_ADDRESS=0.0.0.0:8080
# The root file system may be read-only: the service writes nothing.
USER 10001:10001
EXPOSE 50054 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["scheduling-srv", "health", "--live"]
ENTRYPOINT ["scheduling-srv"]
CMD ["serve"]
