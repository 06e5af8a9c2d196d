"""What `healer heal` is measured against: the same looks at the same things, as a Python program makes them.

`python_pass.py FILE.json`, with docker, postgres, redis, url in the file. Like healer it is started anew for every pass,
asks all containers at once, and reads of their logs only what is new.
"""

import concurrent.futures
import json
import re
import sys
import time

import docker
import psutil
import redis
import requests
import sqlalchemy

ERRORS = re.compile(r"429|Traceback|ERROR|connection refused|timed? ?out|out of memory", re.IGNORECASE)


def check_container(client, container):
    container.reload()
    state = container.attrs["State"]
    stats = container.stats(stream=False)
    memory = stats["memory_stats"].get("usage", 0) / max(1, stats["memory_stats"].get("limit", 1))
    cpu = stats["cpu_stats"]["cpu_usage"]["total_usage"] - stats["precpu_stats"]["cpu_usage"]["total_usage"]
    log = container.logs(since=int(time.time()) - 1, timestamps=True).decode(errors="replace")
    errors = sum(1 for line in log.splitlines() if ERRORS.search(line))
    return state["Status"], container.attrs["RestartCount"], state["OOMKilled"], memory, cpu, errors


def check_docker(where):
    client = docker.DockerClient(base_url=where, max_pool_size=128)
    containers = client.containers.list(all=True)
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(containers))) as pool:
        results = list(pool.map(lambda container: check_container(client, container), containers))
    return all(state == "running" and not errors for state, *_, errors in results)


def check_postgres(url):
    engine = sqlalchemy.create_engine(url.replace("postgres://", "postgresql+psycopg2://"))
    with engine.connect() as connection:
        used = connection.execute(sqlalchemy.text("select count(*) from pg_stat_activity")).scalar_one()
        most = connection.execute(sqlalchemy.text("select current_setting('max_connections')::int")).scalar_one()
    return used / most < 0.8


def check_redis(url):
    client = redis.Redis.from_url(url, socket_timeout=3)
    info = client.info("memory")
    return client.ping() and (not info["maxmemory"] or info["used_memory"] / info["maxmemory"] < 0.8)


def check_url(url):
    answer = requests.get(url, timeout=10, allow_redirects=False)
    return answer.status_code == 200 and answer.elapsed.total_seconds() < 5


def check_host():
    disks = [psutil.disk_usage(part.mountpoint).percent for part in psutil.disk_partitions()]
    # 100 as in the configuration measured beside it: a busy machine is no reason to end.
    return psutil.cpu_percent(interval=None) <= 100 and psutil.virtual_memory().percent < 90 and max(disks) < 95


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        where = json.load(file)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = [
            pool.submit(check_docker, where["docker"]),
            pool.submit(check_postgres, where["postgres"]),
            pool.submit(check_redis, where["redis"]),
            pool.submit(check_url, where["url"]),
            pool.submit(check_host),
        ]
        healthy = [result.result() for result in results]
    print(json.dumps(healthy))
    return 0 if all(healthy) else 2


if __name__ == "__main__":
    sys.exit(main())
