//! How a cluster of Kubernetes is reached: one section, for discovery and for the driver.

use super::Default::Text;
use super::proof::*;
use super::{Key, Section};

/// It is the same below `autoscale.driver`; a section has one place.
pub(super) static API: Section = Section {
    path: "pools.NAME.discovery.api",
    doc: "How a Kubernetes API is reached, here and in `autoscale.driver`: by a kubeconfig, or by `url`. When absent: in a pod by its service account, \
          elsewhere by the kubeconfig that `KUBECONFIG` names or `~/.kube/config`.",
    keys: &[
        Key::built(
            "kubeconfig",
            "file name",
            Text("where kubectl looks"),
            set("kubeconfig = \"kube.yaml\""),
            "A kubeconfig. Relative to the configuration file's folder.",
        ),
        Key::built(
            "context",
            "text",
            Text("the current one"),
            change("kubeconfig = \"kube.yaml\"", "kubeconfig = \"kube.yaml\"\ncontext = \"there\""),
            "Which context of the kubeconfig.",
        ),
        Key::built(
            "url",
            "URL of http or https",
            NONE,
            set("url = \"https://10.0.0.1:6443\""),
            "Where the API is; no kubeconfig is read.",
        ),
        Key::built(
            "token",
            "secret, `env:NAME` or `file:PATH`",
            NONE,
            change(URL, "url = \"https://10.0.0.1:6443\"\ntoken = \"a-token\""),
            "With `url`: sent with each request. Read once, at the start.",
        ),
        Key::built(
            "ca",
            "file name",
            Text("the system's authorities"),
            change(URL, "url = \"https://10.0.0.1:6443\"\nca = \"ca.pem\""),
            "With `url`: a PEM file of authorities. Relative to the configuration file's folder.",
        ),
    ],
};
const URL: &str = "url = \"https://10.0.0.1:6443\"";
