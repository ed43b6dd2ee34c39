# Spark's own image with serverload, for drivers and executors on Kubernetes. Build in the folder that environment.sh has
# filled, with the jars beside it (docs/cluster.md has the commands).
FROM apache/spark:4.2.0-scala2.13-java17-python3-ubuntu
COPY --chown=root:root environment /opt/serverload
COPY --chown=root:root jars/*.jar /opt/spark/jars/
