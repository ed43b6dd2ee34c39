"""The day's work as an Airflow DAG: `serverload daily` is idempotent, so a retry goes on where the run before ended."""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

SERVERLOAD = "/opt/serverload/bin/serverload"
ENVIRONMENT = {
    "SERVERLOAD_HOME": "/var/lib/serverload/home",
    "SERVERLOAD_DAILY__PATHS": "/var/lib/serverload/history",
    "SERVERLOAD_LOGS__FORMAT": "json",
}

with DAG(
    dag_id="serverload_daily",
    description="New files, features, outcomes, retraining if needed, upkeep",
    schedule="10 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=15)},
) as dag:
    daily = BashOperator(
        task_id="daily",
        bash_command=f"{SERVERLOAD} daily",
        env=ENVIRONMENT,
        append_env=True,
        execution_timeout=timedelta(hours=6),
    )
    status = BashOperator(
        task_id="status",
        bash_command=f"{SERVERLOAD} status",
        env=ENVIRONMENT,
        append_env=True,
        trigger_rule="all_done",
    )
    daily >> status
