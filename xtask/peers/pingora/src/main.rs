//! A Pingora load balancer as its users write it: `bench-pingora PORT ORIGIN ORIGIN ORIGIN`, one thread, round robin.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

struct Proxy(Arc<LoadBalancer<RoundRobin>>);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();
    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        let origin = self.0.select(b"", 8).ok_or_else(|| Error::new_str("no origin"))?;
        Ok(Box::new(HttpPeer::new(origin, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _ctx: &mut (),
    ) -> Result<()> {
        let client = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip().to_string());
        request.insert_header("X-Forwarded-For", client.unwrap_or_default())
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|port| format!("127.0.0.1:{port}"));
    let Some(listen) = arguments.next().filter(|first| !first.ends_with("--version")) else {
        println!("pingora 0.9");
        return;
    };
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 512, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let origins = LoadBalancer::try_from_iter(arguments).expect("origins are addresses");
    let mut service = http_proxy_service(&server.configuration, Proxy(Arc::new(origins)));
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
