//! How many backends there are: when instances come and go, who starts them, and what they become.

use super::Default::{Required, Text, Value};
use super::kubernetes::API;
use super::proof::*;
use super::{Key, Kind, Section};

pub(super) static AUTOSCALE: Section = Section {
    path: "pools.NAME.autoscale",
    doc: "As many backends as the load needs: a driver makes instances, and ready ones become backends. `autoscale = { driver = { type = \"process\", \
          command = [\"./server\", \"--port\", \"{port}\"] } }` is enough. See [auto-scaling](autoscaling.md). When absent: only the backends that are \
          listed or discovered.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::section("driver", Kind::Table(&DRIVER), Text("required"), "Who makes instances."),
        Key::built(
            "min_instances",
            "whole number, 0–10000",
            Value("2"),
            set("min_instances = 1"),
            "Never fewer. 0: the last one goes when nothing was asked for a whole `metrics_window`, and a request brings it back; needs `queuing`.",
        ),
        Key::built(
            "max_instances",
            "whole number, 1–10000 (with `process` 1–500)",
            Value("10"),
            set("max_instances = 5"),
            "Never more.",
        ),
        Key::built(
            "metric",
            "`cpu`, `in-flight`, `queue-delay`, `requests`, `latency`, `latency-p50` or `latency-p99`",
            Value("\"cpu\""),
            set("metric = \"requests\""),
            "What is looked at: percent of a CPU, percent of `max_connections`, ms in the queue, requests a second for each instance, ms to the first byte (p95).",
        ),
        Key::built(
            "scale_up_threshold",
            "number above 0, in the metric's unit",
            Value("70"),
            set("scale_up_threshold = 80"),
            "One step up while the mean is above.",
        ),
        Key::built(
            "scale_down_threshold",
            "number, 0 or more, in the metric's unit",
            Value("30"),
            set("scale_down_threshold = 20"),
            "One step down while the mean is below.",
        ),
        Key::section(
            "target",
            Kind::Table(&TARGET),
            Text("thresholds"),
            "Hold a value instead of going by thresholds.",
        ),
        Key::built(
            "metrics_window",
            "duration, 1s–1d",
            Value("\"5m\""),
            set("metrics_window = \"1m\""),
            "What the mean is over; with a target, how long the highest demand is remembered before instances go.",
        ),
        Key::built(
            "cooldown_period",
            "duration, 0–1d",
            Value("\"5m\""),
            set("cooldown_period = \"1m\""),
            "How long after a step there is no other.",
        ),
        Key::built(
            "cooldown_up",
            "duration, 0–1d",
            Text("`cooldown_period`; with a target none"),
            set("cooldown_up = \"10s\""),
            "Another wait before a step up.",
        ),
        Key::built(
            "cooldown_down",
            "duration, 0–1d",
            Text("`cooldown_period`"),
            set("cooldown_down = \"10s\""),
            "Another wait before a step down.",
        ),
        Key::built(
            "step_up",
            "whole number, 1–10000",
            Text("1; with a target any"),
            set("step_up = 2"),
            "How many at once; with a target at most.",
        ),
        Key::built(
            "step_down",
            "whole number, 1–10000",
            Text("1; with a target any"),
            set("step_down = 2"),
            "How many at once; with a target at most.",
        ),
        Key::built(
            "known_percent",
            "percent, 0–100",
            Value("80"),
            set("known_percent = 50"),
            "Instances go only when so much of the window is known.",
        ),
        Key::built(
            "drain_grace",
            "duration, 0–1h",
            Value("\"30s\""),
            set("drain_grace = \"5s\""),
            "How long an instance that goes may finish its requests and sessions.",
        ),
        Key::built(
            "replace_unhealthy_after",
            "duration, 1s–1h, or `\"none\"`",
            Value("\"60s\""),
            set("replace_unhealthy_after = \"10s\""),
            "An instance whose health check fails for so long is replaced.",
        ),
        Key::built(
            "dry_run",
            "boolean",
            Value("false"),
            set("dry_run = true"),
            "Decide, tell and do nothing.",
        ),
    ],
};

pub(super) static TARGET: Section = Section {
    path: "pools.NAME.autoscale.target",
    doc: "As many instances as hold a value of the metric. When absent: thresholds.",
    keys: &[
        Key::built(
            "value",
            "number above 0, in the metric's unit",
            Required,
            change(HOLD, "value = 50"),
            "What is held.",
        ),
        Key::built(
            "rise_window",
            "duration, 1s–`metrics_window`",
            Value("\"30s\""),
            change(HOLD, "value = 60\nrise_window = \"10s\""),
            "What the demand is the mean over before instances come.",
        ),
        Key::built(
            "tolerance_percent",
            "percent, 0–100",
            Value("10"),
            change(HOLD, "value = 60\ntolerance_percent = 5"),
            "How much more than the target is borne.",
        ),
        Key::built(
            "drain_within",
            "duration, 1s–1d",
            Value("\"120s\""),
            change(HOLD, "value = 60\ndrain_within = \"10s\""),
            "In what time a backlog in the queue shall be gone.",
        ),
    ],
};

const HOLD: &str = "value = 60";
const PROCESS: &str = "type = \"process\"\ncommand = [\"a\", \"{port}\"]";
const EXEC: &str = "type = \"exec\"\ncommand = [\"a\", \"{desired}\"]";
const KUBE: &str = "type = \"kubernetes\"\nname = \"web\"";
const HOOK: &str = "type = \"webhook\"\nurl = \"http://127.0.0.1:1/\"";

macro_rules! process {
    ($more:literal) => {
        change(PROCESS, concat!("type = \"process\"\ncommand = [\"a\", \"{port}\"]\n", $more))
    };
}

pub(super) static DRIVER: Section = Section {
    path: "pools.NAME.autoscale.driver",
    doc: "Who makes instances. A key of another type is an error. Places in braces are filled in; `{{name}}` is the text `{name}`. There is no shell.",
    keys: &[
        Key::built(
            "type",
            "`process`, `exec`, `webhook` or `kubernetes`",
            Required,
            change(PROCESS, EXEC),
            "`process`: processes of this machine. `exec`: a command is run with the number. `webhook`: the number is posted. `kubernetes`: a workload's \
             replicas are set. With the last three instances come by `discovery`.",
        ),
        Key::built(
            "command",
            "list of texts",
            Text("required with `process` and `exec`"),
            change(PROCESS, "type = \"process\"\ncommand = [\"b\", \"{port}\"]"),
            "Program and arguments: of an instance, with `{id}`, `{host}` and `{port}`; or what is run, with `{desired}`, `{current}`, `{going}` and `{reason}`.",
        ),
        Key::built(
            "environment",
            "table of texts",
            NONE,
            process!("environment = { A = \"{id}\" }"),
            "`process`, `exec`: variables, with the same places.",
        ),
        Key::built(
            "directory",
            "folder",
            Text("our own"),
            process!("directory = \"/srv\""),
            "`process`, `exec`: where it runs.",
        ),
        Key::built(
            "timeout",
            "duration, 10ms–1h",
            Text("`\"30s\"` with `exec`, else `\"10s\"`"),
            change(EXEC, "type = \"exec\"\ncommand = [\"a\", \"{desired}\"]\ntimeout = \"1s\""),
            "`exec`, `webhook`, `kubernetes`: how long one try may take.",
        ),
        Key::built(
            "url",
            "URL of plain http",
            Text("required with `webhook`"),
            change(HOOK, "type = \"webhook\"\nurl = \"http://127.0.0.1:2/\""),
            "`webhook`: where orders are posted.",
        ),
        Key::built(
            "secret",
            "text of 16 bytes or more, `env:NAME` or `file:PATH`",
            NONE,
            change(HOOK, "type = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\nsecret = \"0123456789abcdef\""),
            "`webhook`: what orders are signed with.",
        ),
        Key::built(
            "name",
            "text",
            Text("the pool's name; required with `kubernetes`"),
            process!("name = \"web\""),
            "`process`: instances are called `NAME-1`, `NAME-2` … (1–64 letters, digits, `-` and `_`). `kubernetes`: the workload.",
        ),
        Key::built(
            "kind",
            "`deployment` or `statefulset`",
            Value("\"deployment\""),
            change(KUBE, "type = \"kubernetes\"\nname = \"web\"\nkind = \"statefulset\""),
            "`kubernetes`: what is scaled.",
        ),
        Key::built(
            "namespace",
            "text",
            Value("\"default\""),
            change(KUBE, "type = \"kubernetes\"\nname = \"web\"\nnamespace = \"shop\""),
            "`kubernetes`: the workload's namespace.",
        ),
        Key::section(
            "api",
            Kind::Table(&API),
            Text("automatic"),
            "`kubernetes`: how the cluster is reached.",
        ),
        Key::built(
            "inherit_environment",
            "boolean",
            ON,
            process!("inherit_environment = false"),
            "`process`: our own environment comes before `environment`.",
        ),
        Key::built(
            "host",
            "IP address",
            Value("\"127.0.0.1\""),
            process!("host = \"127.0.0.2\""),
            "`process`: where instances listen.",
        ),
        Key::built(
            "ports",
            "list of the first and the last, 1–65535",
            Text("any that is free"),
            process!("ports = [9000, 9099]"),
            "`process`: the ports that are given out.",
        ),
        Key::built(
            "ready",
            "`tcp`, or a path",
            Value("\"tcp\""),
            process!("ready = \"/health\""),
            "`process`: ready when it accepts a connection, or answers a GET of this path with 2xx.",
        ),
        Key::built(
            "start_timeout",
            "duration, 10ms–1h",
            Value("\"60s\""),
            process!("start_timeout = \"5s\""),
            "`process`: not ready after this time counts as a crash.",
        ),
        Key::built(
            "probe_timeout",
            "duration, 10ms–1h",
            Value("\"1s\""),
            process!("probe_timeout = \"2s\""),
            "`process`: how long one question for readiness may take.",
        ),
        Key::built(
            "probe_interval",
            "duration, 10ms–1h",
            Value("\"200ms\""),
            process!("probe_interval = \"50ms\""),
            "`process`: the time between two of them.",
        ),
        Key::built(
            "crash_window",
            "duration, 1ms–1h",
            Value("\"5m\""),
            process!("crash_window = \"1m\""),
            "`process`: an instance is given up at `retry.tries` crashes within this time, or in a row without having been ready.",
        ),
        Key::built(
            "rest",
            "duration, 1ms–1h",
            Value("\"30s\""),
            process!("rest = \"5s\""),
            "`process`: after one was given up none is made for so long, twice as long each further time.",
        ),
        Key::built(
            "stop_grace",
            "duration, 0–1h",
            Value("\"30s\""),
            process!("stop_grace = \"5s\""),
            "`process`: from SIGTERM to SIGKILL.",
        ),
        Key::built(
            "state_file",
            "file name",
            NONE,
            process!("state_file = \"/run/a.json\""),
            "`process`: where it is written which instances there are, for the next start to find.",
        ),
        Key::built(
            "orphans",
            "`die` or `stay`",
            Value("\"die\""),
            change(
                "type = \"process\"\ncommand = [\"a\", \"{port}\"]\nstate_file = \"/run/a.json\"",
                "type = \"process\"\ncommand = [\"a\", \"{port}\"]\nstate_file = \"/run/a.json\"\norphans = \"stay\"",
            ),
            "`process`: what becomes of instances when the proxy is killed. `stay` needs `state_file`: the next start takes them over.",
        ),
        Key::section(
            "retry",
            Kind::Table(&TRIES),
            Text("as below"),
            "How an order is tried again; with `process` how a crashed instance is started again.",
        ),
    ],
};

pub(super) static TRIES: Section = Section {
    path: "pools.NAME.autoscale.driver.retry",
    doc: "Tries with waits between them that double; half of each wait is random.",
    keys: &[
        Key::built("tries", "whole number, 1–100", Value("5"), set("tries = 3"), "How many in all."),
        Key::built(
            "first",
            "duration, 1ms–1h",
            Value("\"500ms\""),
            set("first = \"100ms\""),
            "The wait after the first.",
        ),
        Key::built(
            "longest",
            "duration, `first`–1h",
            Value("\"30s\""),
            set("longest = \"10s\""),
            "The longest wait.",
        ),
    ],
};

pub(super) static TEMPLATE: Section = Section {
    path: "pools.NAME.instance_template",
    doc: "What an instance becomes, with a driver that keeps a list (`process`).",
    keys: &[
        Key::built(
            "url",
            "URL with `{port}`",
            Value("\"http://{host}:{port}\""),
            set("url = \"http://127.0.0.1:{port}\""),
            "Where it is reached, with `{id}`, `{host}` and `{port}` filled in.",
        ),
        Key::built(
            "weight",
            "whole number, 1–1000000",
            Value("1"),
            set("weight = 3"),
            "Its share of the traffic.",
        ),
        Key::built(
            "max_connections",
            "whole number, 1–4294967295",
            Text("the pool's"),
            set("max_connections = 7"),
            "The most requests in flight to it.",
        ),
        Key::built(
            "metadata",
            "table of texts",
            NONE,
            set("metadata = { auto_scaled = \"true\" }"),
            "What is said of it: region, version …",
        ),
    ],
};
