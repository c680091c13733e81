//! Discovery from Kubernetes: the pods behind a service, as its EndpointSlices tell of them.
//!
//! ```text
//! list all slices of the service ─► watch from there ─► slices ─► merge ─► backends
//!        ▲                              │ ended: again from the last version
//!        └── version too old, or the API was away
//! ```
//!
//! Slices are listed once and then watched: the API sends what changes. A watch ends after 120 s and goes on where it was; a connection that is silently dead is
//! noticed by then. What comes in a burst counts as one change (over after 50 ms of quiet, at the latest after 1 s).
//! While the API is away, the last good list stays, and the balancer asks again at its pace.
//!
//! A service without any slice is an error, not an empty list: it is not there, or its name is wrong. One whose pods are all gone has a slice without
//! endpoints, and gives an empty list.
//!
//! What a slice means is decided by [`merge`](fn@merge). It lacks: hints for zones (metadata `zone` and the pool's `locality` do that here), names
//! instead of addresses (`FQDN`, deprecated), UDP and SCTP.

mod merge;

pub use lb_kube::{Access, Cluster};
pub use merge::merge;

use super::follow::jittered;
use super::{Discover, DiscoverError, DiscoverFuture};
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use lb_kube::kube::Api;
use lb_kube::kube::api::{ListParams, WatchEvent, WatchParams};
use lb_kube::{ApiError, Connection, check_name};
use lb_types::{Backend, Scheme, SettingsError};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The most slices of one service; each has 1000 endpoints at most.
pub const SLICES_MAX: usize = 1000;
/// Which service a slice is of.
const LABEL: &str = "kubernetes.io/service-name";
/// How long a watch lasts before it is made anew.
const WATCH_S: u32 = 120;
/// The status of a version that is too old.
const GONE: u16 = 410;
/// Slices in one answer of a list.
const PAGE: u32 = 500;
/// Watches that end at once are not made more often than this.
const AGAIN: Duration = Duration::from_secs(1);
/// A burst of events is over after this much quiet …
const QUIET: Duration = Duration::from_millis(50);
/// … or, if there is none, after this time.
const BURST_MAX: Duration = Duration::from_secs(1);

/// Which port of the pods takes the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PodPort {
    /// The only TCP port that the service has; with several it must be said which.
    #[default]
    Only,
    /// The service's port of this name.
    Named(String),
    /// This one, whatever the service says.
    Number(u16),
}

/// Of which family the addresses shall be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressFamily {
    /// Of either; of a pod that has both, IPv4.
    #[default]
    Either,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

/// The service whose pods are the backends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KubernetesService {
    /// Its name. No default.
    pub name: String,
    /// Its namespace, default `default`.
    pub namespace: String,
    /// Which port of the pods, default the only one.
    pub port: PodPort,
    /// What they speak, default `http`.
    pub scheme: Scheme,
    /// Of which family their addresses shall be, default either.
    pub family: AddressFamily,
    /// The cluster, default the one that we are in, else the kubeconfig's.
    pub cluster: Cluster,
}

impl KubernetesService {
    /// The service of this name; the rest as documented.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: "default".to_owned(),
            port: PodPort::default(),
            scheme: Scheme::Http,
            family: AddressFamily::default(),
            cluster: Cluster::default(),
        }
    }

    /// Another namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Says which port.
    #[must_use]
    pub fn port(mut self, port: PodPort) -> Self {
        self.port = port;
        self
    }

    /// Another scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Another family.
    #[must_use]
    pub fn family(mut self, family: AddressFamily) -> Self {
        self.family = family;
        self
    }

    /// Another cluster.
    #[must_use]
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = cluster;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        check_name("name", &self.name)?;
        check_name("namespace", &self.namespace)?;
        match &self.port {
            PodPort::Number(0) => return Err(SettingsError::new("port", 0, "must be from 1 to 65535")),
            PodPort::Named(name) => check_name("port", name)?,
            _ => {}
        }
        self.cluster.validate()
    }
}

type Events = Pin<Box<dyn Stream<Item = lb_kube::kube::Result<WatchEvent<EndpointSlice>>> + Send>>;

/// See the module's documentation.
pub struct KubernetesDiscovery {
    service: KubernetesService,
    connection: Connection,
    slices: BTreeMap<String, EndpointSlice>,
    /// Up to where the slices are known; `None`: they have to be listed.
    version: Option<String>,
    /// The watch, and when it was begun.
    events: Option<(Events, Instant)>,
    /// Before this time there is no other watch.
    not_before: Option<Instant>,
    /// The balancer has not been told yet.
    changed: bool,
    /// The last word was an error: the next is a list, also if it is the old one.
    failed: bool,
}

impl KubernetesDiscovery {
    /// The backends of this service. Nothing is asked yet.
    ///
    /// # Errors
    /// A setting is out of its bounds.
    pub fn new(service: KubernetesService) -> Result<Self, SettingsError> {
        service.validate()?;
        let connection = Connection::new(service.cluster.clone());
        Ok(Self {
            service,
            connection,
            slices: BTreeMap::new(),
            version: None,
            events: None,
            not_before: None,
            changed: false,
            failed: false,
        })
    }

    fn error(&self, error: &ApiError) -> DiscoverError {
        DiscoverError::Kubernetes { service: self.full_name(), error: error.to_string() }
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.service.namespace, self.service.name)
    }

    fn selector(&self) -> String {
        format!("{LABEL}={}", self.service.name)
    }

    /// All slices as they are now, and their version.
    async fn list(&mut self) -> Result<(), ApiError> {
        let mut params = ListParams::default().labels(&self.selector()).limit(PAGE);
        let mut slices = BTreeMap::new();
        let namespace = self.service.namespace.as_str();
        let version = loop {
            let params_now = &params;
            let page = self.connection.ask(async |client| {
                Api::<EndpointSlice>::namespaced(client, namespace).list(params_now).await
            });
            let page = page.await?;
            let ours = page.items.into_iter().filter(|slice| self.is_ours(slice));
            slices.extend(ours.filter_map(|slice| Some((slice.metadata.name.clone()?, slice))));
            if slices.len() > SLICES_MAX {
                let reason = format!("more than {SLICES_MAX} slices");
                return Err(ApiError::refused(reason));
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break page.metadata.resource_version,
            }
        };
        // That there are none is news also at the first time.
        self.changed |= slices != self.slices || slices.is_empty();
        self.slices = slices;
        // Without a version: from any, which begins with all there is.
        self.version = Some(version.unwrap_or_else(|| "0".to_owned()));
        Ok(())
    }

    /// Lists, if that has to be; else begins to watch from the last version.
    async fn begin(&mut self) -> Result<(), DiscoverError> {
        if let Some(at) = self.not_before {
            tokio::time::sleep_until(at).await;
        }
        if self.version.is_none() {
            // Told at once: whether it can be watched is another question.
            let listed = self.list().await.map_err(|e| self.error(&e));
            self.changed |= listed.is_ok() && std::mem::take(&mut self.failed);
            return listed;
        }
        let (namespace, version) =
            (self.service.namespace.as_str(), self.version.clone().unwrap_or_default());
        let params = WatchParams::default().labels(&self.selector()).timeout(WATCH_S);
        let watched = self.connection.ask(async |client| {
            Api::<EndpointSlice>::namespaced(client, namespace).watch(&params, &version).await
        });
        match watched.await {
            Ok(events) => {
                self.events = Some((Box::pin(events), Instant::now()));
                self.changed |= std::mem::take(&mut self.failed);
                Ok(())
            }
            Err(e) => {
                // Whatever it was: what happened meanwhile is found out by a list.
                self.version = None;
                self.not_before = Some(Instant::now() + jittered(AGAIN, fastrand::f64()));
                if e.status == Some(GONE) { Ok(()) } else { Err(self.error(&e)) }
            }
        }
    }

    fn is_ours(&self, slice: &EndpointSlice) -> bool {
        slice.metadata.labels.as_ref().and_then(|l| l.get(LABEL)) == Some(&self.service.name)
    }

    /// What the API told.
    fn take(&mut self, event: WatchEvent<EndpointSlice>) -> Result<(), DiscoverError> {
        match event {
            WatchEvent::Added(slice) | WatchEvent::Modified(slice) if self.is_ours(&slice) => {
                self.saw(&slice.metadata.resource_version);
                let Some(name) = slice.metadata.name.clone() else { return Ok(()) };
                self.changed |= self.slices.get(&name) != Some(&slice);
                if self.slices.len() >= SLICES_MAX && !self.slices.contains_key(&name) {
                    return Err(self.error(&ApiError::refused(format!("more than {SLICES_MAX} slices"))));
                }
                self.slices.insert(name, slice);
            }
            // One that is no longer of this service is as good as deleted.
            WatchEvent::Added(slice) | WatchEvent::Modified(slice) | WatchEvent::Deleted(slice) => {
                self.saw(&slice.metadata.resource_version);
                let gone = slice.metadata.name.and_then(|name| self.slices.remove(&name));
                self.changed |= gone.is_some();
            }
            WatchEvent::Bookmark(mark) => self.version = Some(mark.metadata.resource_version),
            WatchEvent::Error(status) => {
                self.end_watch();
                self.version = None;
                if status.code != GONE {
                    return Err(self.error(&ApiError::from(&lb_kube::kube::Error::Api(status))));
                }
            }
        }
        Ok(())
    }

    fn saw(&mut self, version: &Option<String>) {
        if version.is_some() {
            self.version.clone_from(version);
        }
    }

    /// The watch is over; the next one begins a while after this one had begun.
    fn end_watch(&mut self) {
        if let Some((_, begun)) = self.events.take() {
            self.not_before = Some(begun + jittered(AGAIN, fastrand::f64()));
        }
    }

    /// Waits for the next event and takes it; or for the next watch, if this one is over.
    async fn step(&mut self) -> Result<(), DiscoverError> {
        let Some((events, begun)) = &mut self.events else { return self.begin().await };
        // The API ends it; if it does not, there is nobody any more.
        let end = *begun + Duration::from_secs(WATCH_S.into()) + self.connection.timeout();
        match timeout_at(end, events.next()).await {
            Ok(Some(Ok(event))) => self.take(event),
            Ok(Some(Err(e))) if !is_broken_off(&e) => {
                // What it says cannot be read: from a list it may.
                self.end_watch();
                self.version = None;
                Err(self.error(&ApiError::from(&e)))
            }
            // Over, broken off, or dead: from there on anew.
            _ => {
                self.end_watch();
                Ok(())
            }
        }
    }

    /// Takes all of a burst.
    async fn settle(&mut self) -> Result<(), DiscoverError> {
        let latest = Instant::now() + BURST_MAX;
        while self.events.is_some() && Instant::now() < latest {
            match timeout(QUIET, self.step()).await {
                Ok(stepped) => stepped?,
                Err(_quiet) => break,
            }
        }
        Ok(())
    }

    async fn next_list(&mut self) -> Result<Vec<Backend>, DiscoverError> {
        while !self.changed {
            self.step().await?;
        }
        self.settle().await?;
        self.changed = false;
        if self.slices.is_empty() {
            let reason = format!("service {}: there are no EndpointSlices of it", self.full_name());
            return Err(DiscoverError::Content(reason));
        }
        merge(self.slices.values(), &self.service)
    }
}

/// Is it the connection that failed, and not what came on it?
fn is_broken_off(error: &lb_kube::kube::Error) -> bool {
    use lb_kube::kube::Error as E;
    matches!(error, E::ReadEvents(_) | E::HyperError(_) | E::Service(_))
}

impl Discover for KubernetesDiscovery {
    fn describe(&self) -> String {
        format!("kubernetes service {}", self.full_name())
    }

    fn next(&mut self) -> DiscoverFuture<'_> {
        Box::pin(async {
            let list = self.next_list().await;
            self.failed |= list.is_err();
            list
        })
    }
}
