# One image for every job: the wheel, its pinned packages, Java and the jars; it needs no network when it runs.
FROM python:3.11.13-slim-bookworm AS base
# the folder of manual pages is not there, and Java's package wants it
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jdk-headless procps \
    && rm -rf /var/lib/apt/lists/*
ENV JAVA_HOME=/usr/lib/jvm/default-java \
    PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
RUN ln -s "$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")" "$JAVA_HOME"

FROM base AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/venv \
    && python -m pip wheel --no-deps --wheel-dir /wheels . \
    && for wheel in /wheels/*.whl; do \
        /opt/venv/bin/python -m pip install --no-cache-dir --constraint constraints.txt "serverload[fast] @ file://$wheel"; \
    done
ENV SERVERLOAD_JARS=/opt/jars
RUN /opt/venv/bin/python -m serverload.store.jars

FROM base
RUN groupadd --gid 10001 serverload \
    && useradd --uid 10001 --gid 10001 --create-home serverload \
    # a volume takes its owner from the folder that it is mounted over first
    && mkdir -p /data/home /data/mlflow /data/sessions /data/serving \
    && chown -R 10001:10001 /data
COPY --from=build /opt/jars /opt/jars
COPY --from=build /opt/venv /opt/venv
ENV SERVERLOAD_JARS=/opt/jars \
    SERVERLOAD_HOME=/data/home
WORKDIR /data
USER 10001:10001
CMD ["serverload", "--help"]
