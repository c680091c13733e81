//! Orders go into the `scale` subresource of a workload: [`KubernetesDriver`].
//!
//! ```text
//! PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale
//! {"spec":{"replicas":5}}
//! ```
//!
//! Kubernetes makes and ends the pods; who goes is its choice, so [`Order::going`] says nothing to it, and the pool cannot drain them first: give pods a
//! `preStop` hook, and follow the service's endpoints, where a pod that ends is seen before it is gone. The pods come as backends by discovery
//! (`lb-balancer`, feature `discovery-kubernetes`), so [`Driver::instances`] is `None`.
//!
//! No connection, no answer in time, 408, 409, 425, 429 and 5xx are tried again; any other status is an error at once. Somebody else who scales the
//! same workload (an HPA, a person) is overruled at the next order and not noticed before: ask [`KubernetesDriver::replicas`] for what there is.
//!
//! It lacks other kinds than deployments and stateful sets.

use super::event::EventSink;
use super::latest::{Latest, Refused};
use super::retry::Retry;
use super::{Driven, Driver, DriverError, DriverFuture, Order};
use lb_kube::kube::Api;
use lb_kube::kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use lb_kube::{ApiError, Connection, check_name};
use lb_types::SettingsError;
use std::fmt;

pub use lb_kube::{Access, Cluster};

/// By which name changes are known in a workload's `managedFields`.
const FIELD_MANAGER: &str = "edge-lb";

/// What is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Workload {
    /// A `Deployment`.
    #[default]
    Deployment,
    /// A `StatefulSet`.
    StatefulSet,
}

impl Workload {
    /// Its kind, as manifests say it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }

    fn resource(self) -> ApiResource {
        let plural = match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("apps", "v1", self.kind()), plural)
    }
}

/// What is scaled, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KubernetesSettings {
    /// What it is, default a deployment.
    pub workload: Workload,
    /// Its namespace, default `default`.
    pub namespace: String,
    /// Its name. No default.
    pub name: String,
    /// The cluster, default the one that we are in, else the kubeconfig's. Its `timeout` is that of one try.
    pub cluster: Cluster,
    /// How often and when it is tried again, default 5 tries, 500 ms doubling to 30 s.
    pub retry: Retry,
}

impl KubernetesSettings {
    /// The deployment of this name; the rest as documented.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            workload: Workload::default(),
            namespace: "default".to_owned(),
            name: name.into(),
            cluster: Cluster::default(),
            retry: Retry::default(),
        }
    }

    /// Another kind.
    #[must_use]
    pub fn workload(mut self, workload: Workload) -> Self {
        self.workload = workload;
        self
    }

    /// Another namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Another cluster.
    #[must_use]
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = cluster;
        self
    }

    /// Other tries.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        check_name("name", &self.name)?;
        check_name("namespace", &self.namespace)?;
        self.cluster.validate()?;
        self.retry.validate()
    }
}

/// How many pods a workload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replicas {
    /// So many it shall have.
    pub desired: u32,
    /// So many there are, ready or not.
    pub current: u32,
}

/// Patches a workload's scale.
pub struct KubernetesDriver {
    settings: KubernetesSettings,
    connection: Connection,
    events: Option<EventSink>,
    latest: Latest,
}

impl KubernetesDriver {
    /// A driver for this workload that tells of its tries. Nothing is connected to yet.
    ///
    /// # Errors
    /// A setting is out of its bounds.
    pub fn new(settings: KubernetesSettings, events: Option<EventSink>) -> Result<Self, DriverError> {
        settings.validate()?;
        let connection = Connection::new(settings.cluster.clone());
        Ok(Self { settings, connection, events, latest: Latest::new() })
    }

    /// How many pods it has now, whoever scaled it: one question, not tried again. What [`Order::current`] wants to know.
    ///
    /// # Errors
    /// The API said no, or nothing.
    pub async fn replicas(&self) -> Result<Replicas, DriverError> {
        let failed = |e: ApiError| DriverError::Failed { tries: 1, reason: e.reason };
        let name = &self.settings.name;
        let asked = self.connection.ask(async |client| self.api(client).get_scale(name).await).await;
        let scale = asked.map_err(failed)?;
        let count = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        Ok(Replicas {
            desired: count(scale.spec.and_then(|s| s.replicas)),
            current: count(scale.status.map(|s| s.replicas)),
        })
    }

    fn api(&self, client: lb_kube::kube::Client) -> Api<DynamicObject> {
        Api::namespaced_with(client, &self.settings.namespace, &self.settings.workload.resource())
    }

    async fn once(&self, desired: u32) -> Result<(), Refused> {
        let patch = Patch::Merge(serde_json::json!({ "spec": { "replicas": desired } }));
        let (name, manager) = (&self.settings.name, PatchParams::apply(FIELD_MANAGER));
        let patched = async |client| self.api(client).patch_scale(name, &manager, &patch).await;
        let refused = |e: ApiError| Refused { again: e.is_passing(), reason: e.reason };
        self.connection.ask(patched).await.map(drop).map_err(refused)
    }
}

impl Driver for KubernetesDriver {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn scale(&self, order: Order) -> DriverFuture<'_> {
        Box::pin(async move {
            // Kubernetes counts in `int32`.
            let (desired, most) = (order.desired, i32::MAX.unsigned_abs());
            if desired > most {
                return Err(DriverError::TooMany { desired, most });
            }
            let (retry, events) = (&self.settings.retry, self.events.as_ref());
            self.latest.pass_on(&order, retry, events, |_| self.once(desired)).await
        })
    }

    fn instances(&self) -> Option<Vec<Driven>> {
        None
    }

    fn shutdown(&self) -> DriverFuture<'_> {
        Box::pin(async {
            self.latest.close().await;
            Ok(())
        })
    }
}

impl fmt::Debug for KubernetesDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesDriver").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_field_and_value() {
        let error = |s: KubernetesSettings| s.validate().unwrap_err().to_string();
        let must = "must be a Kubernetes name: lower-case letters, digits, '-' and '.'";
        assert_eq!(error(KubernetesSettings::new("a/b")), format!("name = \"a/b\": {must}"));
        assert_eq!(error(KubernetesSettings::new("a").namespace("")), format!("namespace = \"\": {must}"));
        let nowhere = KubernetesSettings::new("a").cluster(Cluster::at("nowhere"));
        assert!(error(nowhere).starts_with("url = \"nowhere\""));
        assert_eq!(KubernetesSettings::new("web").namespace("shop").validate(), Ok(()));
    }
}
