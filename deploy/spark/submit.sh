#!/bin/sh
# serverload JOB on a Spark cluster, by spark-submit:
#
#   ENVIRONMENT=FOLDER deploy/spark/submit.sh standalone|yarn|kubernetes JOB [ARGUMENT...]
#
# JOB and its arguments are those of `serverload`. ENVIRONMENT is the folder that environment.sh has filled. What the cluster
# gives a job (memory, cores, queues) stands in its own spark-defaults, or in SPARK_OPTIONS, words of spark-submit.
#   standalone    SPARK_MASTER=spark://HOST:7077; the driver runs here
#   yarn          HADOOP_CONF_DIR; the driver runs here, or in the cluster with DEPLOY_MODE=cluster
#   kubernetes    SPARK_MASTER=k8s://https://HOST:PORT, SPARK_IMAGE (kubernetes.Dockerfile); the driver runs in a pod
# ARCHIVE is environment.tar.gz where the cluster has it already (hdfs:///...).
set -eu
if [ $# -lt 2 ] || [ ! -x "${ENVIRONMENT:?the folder that environment.sh has filled}/environment/bin/python" ]; then
    echo "usage: ENVIRONMENT=FOLDER $0 standalone|yarn|kubernetes JOB [ARGUMENT...]" >&2
    exit 2
fi
manager=$1
shift
here=$(realpath "$(dirname "$0")")
folder=$(realpath "$ENVIRONMENT")
python=$folder/environment/bin/python
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
export SPARK_HOME="${SPARK_HOME:-$packages/pyspark}"

job=$1
main=batch/__main__.py
if [ "$job" = stream ]; then
    main=streaming/__main__.py
    shift
fi
mode=client
driver=$python
case $manager in
standalone | yarn)
    main=$packages/$main
    jars=$("$python" -c 'from serverload.store.jars import spark_jars; print(*spark_jars(), sep=",")')
    if [ "$manager" = yarn ]; then
        SPARK_MASTER=yarn
        mode=${DEPLOY_MODE:-client}
    fi
    if [ "$mode" = cluster ]; then
        driver=./environment/bin/python
    fi
    set -- --archives "${ARCHIVE:-$folder/environment.tar.gz}#environment" --jars "$jars" \
        --conf spark.pyspark.python=./environment/bin/python --conf "spark.pyspark.driver.python=$driver" "$main" "$@"
    ;;
kubernetes)
    # the image holds environment and jars
    main=local:///opt/serverload/lib/$(basename "$(dirname "$packages")")/site-packages/$main
    mode=cluster
    set -- --conf "spark.kubernetes.container.image=${SPARK_IMAGE:?}" \
        --conf "spark.kubernetes.driver.podTemplateFile=$here/kubernetes-driver.yaml" \
        --conf spark.pyspark.python=/opt/serverload/bin/python "$main" "$@"
    ;;
*)
    echo "$0: $manager is none of standalone, yarn, kubernetes" >&2
    exit 2
    ;;
esac
# executors run a Python worker a core: Polars is to have one thread in each
# shellcheck disable=SC2086
exec "$SPARK_HOME/bin/spark-submit" --master "${SPARK_MASTER:?}" --deploy-mode "$mode" --name "serverload $job" \
    --conf spark.executorEnv.POLARS_MAX_THREADS=1 ${SPARK_OPTIONS:-} "$@"
