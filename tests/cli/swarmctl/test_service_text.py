from cli.swarmctl.service_text import pretty_service

SERVICE = {
    "ID": "s1",
    "Spec": {
        "Name": "web",
        "Labels": {"b": "2", "a": "1"},
        "Mode": {"Replicated": {"Replicas": 3}},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "hello:1",
                "Args": ["sh", "-c"],
                "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data", "ReadOnly": True}],
            },
            "Placement": {"Constraints": ["node.role==worker"], "MaxReplicas": 2},
            "Resources": {"Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 64 * 2**20, "Pids": 9}},
        },
        "UpdateConfig": {"Parallelism": 2, "Delay": 90 * 10**9, "Monitor": 5 * 10**9, "Order": "start-first"},
        "RollbackConfig": {"Parallelism": 1, "MaxFailureRatio": 0.1},
    },
    "UpdateStatus": {
        "State": "completed",
        "StartedAt": "1970-01-01T00:00:00Z",
        "CompletedAt": "1970-01-01T00:00:50Z",
        "Message": "update completed",
    },
    "Endpoint": {"Spec": {"Mode": "vip"}, "Ports": [{"PublishedPort": 8080, "TargetPort": 80}]},
}  # fmt: skip

TEXT = """
ID:\t\ts1
Name:\t\tweb
Labels:
 a=1
 b=2
Service Mode:\tReplicated
 Replicas:\t3
UpdateStatus:
 State:\t\tcompleted
 Started:\tAbout a minute ago
 Completed:\t10 seconds ago
 Message:\tupdate completed
Placement:
 Constraints:\t[node.role==worker]
 Max Replicas Per Node:\t2
UpdateConfig:
 Parallelism:\t2
 Delay:\t\t1m30s
 On failure:\tpause
 Monitoring Period: 5s
 Max failure ratio: 0
 Update order:      start-first
RollbackConfig:
 Parallelism:\t1
 On failure:\tpause
 Max failure ratio: 0.1
 Rollback order:    stop-first
ContainerSpec:
 Image:\t\thello:1
 Args:\t\tsh -c
Mounts:
 Target:\t/data
  Source:\tdata
  ReadOnly:\ttrue
  Type:\t\tvolume
Resources:
 Limits:
  CPU:\t\t0.5
  Memory:\t64MiB
  Pids:\t\t9
Endpoint Mode:\tvip
Ports:
 PublishedPort = 8080
  Protocol = tcp
  TargetPort = 80
  PublishMode = ingress"""


def test_a_service_in_readable_text() -> None:
    assert pretty_service(SERVICE, now=60.0) == TEXT
