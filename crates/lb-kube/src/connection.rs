//! The client: made when it is needed, and kept.

use crate::cluster::{Access, Cluster, parse};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

/// Set by Kubernetes in every pod.
const IN_POD: &str = "KUBERNETES_SERVICE_HOST";

/// A request of the API failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// How.
    pub reason: String,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
}

impl ApiError {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), status: None }
    }

    /// What the API said is not taken, for this reason.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::new(reason)
    }

    /// May it be another time that it succeeds? No answer, a conflict, too many requests, and what servers are to blame for.
    pub fn is_passing(&self) -> bool {
        self.status.is_none_or(|s| matches!(s, 408 | 409 | 425 | 429) || s >= 500)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for ApiError {}

impl From<&kube::Error> for ApiError {
    fn from(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(s) => {
                // A status that is not in the answer's text is unknown, not 0.
                let status = Some(s.code).filter(|&code| code > 0);
                let what = if s.message.is_empty() { &s.reason } else { &s.message };
                Self { reason: format!("the API answered {}: {what}", s.code), status }
            }
            other => Self::new(with_causes(other)),
        }
    }
}

/// kube tells the kind of an error and keeps the cause as its source; some say it twice.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = e.source();
    }
    text
}

/// A cluster, and the client that talks to it.
pub struct Connection {
    cluster: Cluster,
    client: Mutex<Option<Client>>,
}

impl Connection {
    /// Nothing is read or connected to yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, client: Mutex::new(None) }
    }

    /// How long one request may take.
    pub fn timeout(&self) -> Duration {
        self.cluster.timeout
    }

    /// Makes one request of the API within the time limit: `ask` is given the client.
    ///
    /// # Errors
    /// There is no client (a file that is missing, say), it took too long, or the API said no.
    pub async fn ask<T, F>(&self, ask: impl FnOnce(Client) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let limit = self.cluster.timeout;
        let asked = async {
            let client = self.client().await?;
            ask(client).await.map_err(|e| ApiError::from(&e))
        };
        let late = |_| Err(ApiError::new(format!("no answer within {limit:?}")));
        let asked = tokio::time::timeout(limit, asked).await.unwrap_or_else(late);
        if asked.as_ref().is_err_and(|e| e.status.is_none() || e.status == Some(401)) {
            // Made anew next time: the address or the credentials may be others by then.
            *self.client.lock().await = None;
        }
        asked
    }

    async fn client(&self) -> Result<Client, ApiError> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let (cluster, runtime) = (self.cluster.clone(), Handle::current());
        // Files are read and programs run for credentials: not on a thread that serves requests.
        let made = tokio::task::spawn_blocking(move || runtime.block_on(connect(&cluster))).await;
        let made = made.map_err(|e| ApiError::new(e.to_string()))?.map_err(ApiError::new)?;
        *client = Some(made.clone());
        Ok(made)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.cluster).finish()
    }
}

async fn connect(cluster: &Cluster) -> Result<Client, String> {
    let mut config = config(&cluster.access).await?;
    config.connect_timeout = Some(cluster.timeout);
    config.write_timeout = Some(cluster.timeout);
    // Whoever asks decides when it is tried again.
    config.default_retry = false;
    Client::try_from(config).map_err(|e| with_causes(&e))
}

async fn config(access: &Access) -> Result<Config, String> {
    let in_cluster = || Config::incluster().map_err(|e| with_causes(&e));
    match access {
        Access::Auto if std::env::var_os(IN_POD).is_some() => in_cluster(),
        Access::InCluster => in_cluster(),
        Access::Auto => kubeconfig(None, None).await,
        Access::Kubeconfig { path, context } => kubeconfig(path.as_deref(), context.clone()).await,
        Access::Url { url, token, ca_file } => {
            let mut config = Config::new(parse(url).map_err(|e| e.to_string())?);
            config.auth_info.token = token.clone().map(Into::into);
            config.root_cert_file = ca_file.clone();
            Ok(config)
        }
    }
}

async fn kubeconfig(path: Option<&std::path::Path>, context: Option<String>) -> Result<Config, String> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = match path {
        None => Config::from_kubeconfig(&options).await,
        Some(path) => {
            let read = Kubeconfig::read_from(path).map_err(|e| with_causes(&e))?;
            Config::from_custom_kubeconfig(read, &options).await
        }
    };
    config.map_err(|e| with_causes(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const CONFIG: &str = "
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: one, user: me, namespace: shop}}
- {name: there, context: {cluster: two, user: me}}
clusters:
- {name: one, cluster: {server: 'http://127.0.0.1:1'}}
- {name: two, cluster: {server: 'http://127.0.0.1:2'}}
users:
- {name: me, user: {token: secret}}
";

    #[tokio::test]
    async fn a_kubeconfig_is_read_with_its_context() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, CONFIG).unwrap();
        for (context, url) in [(None, "http://127.0.0.1:1/"), (Some("there"), "http://127.0.0.1:2/")] {
            let access = Access::Kubeconfig { path: Some(path.clone()), context: context.map(str::to_owned) };
            assert_eq!(config(&access).await.unwrap().cluster_url.to_string(), url);
        }
        let unknown = Access::Kubeconfig { path: Some(path), context: Some("nowhere".into()) };
        assert!(config(&unknown).await.unwrap_err().contains("nowhere"));
        let missing = Access::Kubeconfig { path: Some(PathBuf::from("/no/such/file")), context: None };
        assert!(config(&missing).await.unwrap_err().contains("/no/such/file"));
    }

    #[tokio::test]
    async fn an_api_that_says_nothing_is_given_up_in_time() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let connection = Connection::new(Cluster::at(url).timeout(Duration::from_millis(50)));
        let error =
            connection.ask(async |client: Client| client.apiserver_version().await).await.unwrap_err();
        assert_eq!((error.reason.as_str(), error.status), ("no answer within 50ms", None));
        assert!(error.is_passing());
        drop(silent);
        let error =
            connection.ask(async |client: Client| client.apiserver_version().await).await.unwrap_err();
        assert!(error.reason.contains("onnect") && error.is_passing(), "{error}");
    }
}
