//! Makes one connection: TCP, TLS if it is wanted, login, database.

use super::error::store_error;
use super::settings::RedisSettings;
use lb_types::SettingsError;
use lb_types::StoreError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// The most calls under way on the connection; more wait for their turn, within their time limit.
const CALLS_UNDER_WAY_MAX: usize = 4096;

/// Knows how to connect; made once, so that a missing file is an error of the settings and not of the first call.
pub(super) struct Connector {
    host: String,
    port: u16,
    login: RedisConnectionInfo,
    #[cfg(feature = "tls")]
    tls: Option<super::tls::Tls>,
}

impl Connector {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, SettingsError> {
        settings.validate()?;
        let url = &settings.url;
        let mut login = RedisConnectionInfo::default()
            .set_db(url.database.into())
            .set_lib_name("edge-lb", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &url.user {
            login = login.set_username(user);
        }
        if let Some(password) = &url.password {
            login = login.set_password(password);
        }
        Ok(Self {
            host: url.host.clone(),
            port: url.port,
            login,
            #[cfg(feature = "tls")]
            tls: url.tls.then(|| super::tls::Tls::new(&url.host, settings.ca.as_deref())).transpose()?,
        })
    }

    /// A connection whose driver runs on `runtime` until the connection is dropped.
    pub(super) async fn connect(&self, runtime: &Handle) -> Result<Connection, StoreError> {
        let failed = |e: std::io::Error| StoreError::Unavailable {
            reason: format!("connecting to {}:{}: {e}", self.host, self.port),
        };
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(failed)?;
        // Each call is one small write that somebody waits for.
        stream.set_nodelay(true).map_err(failed)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return self.log_in(tls.handshake(stream).await.map_err(failed)?, runtime).await;
        }
        self.log_in(stream, runtime).await
    }

    async fn log_in<S>(&self, stream: S, runtime: &Handle) -> Result<Connection, StoreError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        // No response time-out here: the callers limit the whole call.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_concurrency_limit(CALLS_UNDER_WAY_MAX);
        let (redis, driver) = MultiplexedConnection::new_with_config(&self.login, stream, config)
            .await
            .map_err(|e| store_error(&e))?;
        let driver = runtime.spawn(driver).abort_handle();
        Ok(Connection { redis, driver: std::sync::Arc::new(AbortOnDrop(driver)) })
    }
}

/// One connection, shared by all calls.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) redis: MultiplexedConnection,
    driver: std::sync::Arc<AbortOnDrop>,
}

impl Connection {
    /// Its driver has ended: the server closed it, or it broke.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.0.is_finished()
    }
}

/// The driver waits for answers that may never come; it must not outlive the calls that want them.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
