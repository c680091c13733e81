//! A cluster of Kubernetes: how it is reached, what is scaled there, and whose pods are backends.
//!
//! Plain values: the crates that talk to a cluster have settings of their own, with a client that a reader of files should not bring along.

use lb_autoscale::driver::retry::Retry;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a cluster's API is reached.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KubernetesApi {
    /// In a pod by its service account, elsewhere by the kubeconfig that `KUBECONFIG` names or `~/.kube/config`.
    #[default]
    Auto,
    /// By a kubeconfig.
    Kubeconfig {
        /// Where it is; [`load`](crate::load) makes it relative to the configuration file's folder. `None`: where kubectl looks for it.
        path: Option<PathBuf>,
        /// Which of its contexts. `None`: the current one.
        context: Option<String>,
    },
    /// By URL.
    Url {
        /// `http` or `https`.
        url: String,
        /// Sent with each request.
        token: Option<String>,
        /// The file with the authorities that its certificate is checked by; [`load`](crate::load) makes it relative to the configuration
        /// file's folder. `None`: the system's.
        ca: Option<PathBuf>,
    },
}

impl KubernetesApi {
    /// The files that it names.
    pub(crate) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        match self {
            Self::Auto => None,
            Self::Kubeconfig { path, .. } => path.as_mut(),
            Self::Url { ca, .. } => ca.as_mut(),
        }
        .into_iter()
    }
}

impl fmt::Debug for KubernetesApi {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("Auto"),
            Self::Kubeconfig { path, context } => {
                f.debug_struct("Kubeconfig").field("path", path).field("context", context).finish()
            }
            Self::Url { url, token, ca } => f
                .debug_struct("Url")
                .field("url", url)
                .field("has_token", &token.is_some())
                .field("ca", ca)
                .finish(),
        }
    }
}

/// What kind of workload is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkloadKind {
    /// A `Deployment`.
    #[default]
    Deployment,
    /// A `StatefulSet`.
    StatefulSet,
}

/// What is scaled, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KubernetesWorkload {
    /// What it is, default a deployment.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Its namespace, default `default`.
    pub namespace: String,
    /// How its cluster is reached.
    pub api: KubernetesApi,
    /// How long one try may take, default 10 s.
    pub timeout: Duration,
    /// How often and when an order is tried again.
    pub retry: Retry,
}

/// The service whose pods are backends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KubernetesPods {
    /// Its name.
    pub service: String,
    /// Its namespace, default `default`.
    pub namespace: String,
    /// Which port of the pods.
    pub port: PodPort,
    /// Of which family their addresses are.
    pub family: PodFamily,
    /// How its cluster is reached.
    pub api: KubernetesApi,
    /// How long one request of the API may take, default 10 s.
    pub timeout: Duration,
}

/// Which port of the pods takes the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PodPort {
    /// The only TCP port that the service has.
    #[default]
    Only,
    /// The service's port of this name.
    Named(String),
    /// This one, whatever the service says.
    Number(u16),
}

/// Of which family the pods' addresses are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PodFamily {
    /// Of either; of a pod that has both, IPv4.
    #[default]
    Either,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}
